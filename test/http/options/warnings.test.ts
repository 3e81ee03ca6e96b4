import Fastify from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { required } from '../../options/resolve.js'

const inCookies = { refreshToken: { transport: 'cookie' } }

async function readWarnings (given: object, starts = 1): Promise<string[]> {
  const lines: Array<{ level: number, msg: string, registration?: string }> = []
  const app = Fastify({
    logger: {
      level: 'info',
      stream: {
        write: (line: string) => {
          lines.push(JSON.parse(line))
        }
      }
    }
  })
  await app.register(tokenAuth, { ...required, sweep: false, ...given } as TokenAuthOptions)

  for (let i = 0; i < starts; i++) {
    await app.ready()
  }

  await app.inject({ url: '/auth/me' })
  await app.close()

  for (const { level, registration } of lines) {
    if (level >= 40) {
      t.strictSame([level, registration], [40, 'auth'])
    }
  }

  return lines.filter(({ level }) => level >= 40).map(({ msg }) => msg)
}

const weakOptions: ReadonlyArray<readonly [given: object, ...warnings: RegExp[]]> = [
  [{ rotation: false }, /^"rotation" is false: a stolen refresh token stays valid and unnoticed/],
  [{ accessToken: { lifetime: '3601s' } }, /^"accessToken\.lifetime" is more than 1h: a stolen/],
  [{ ...inCookies, cookie: { secure: false } }, /^"cookie\.secure" is false: an attacker/],
  [{ dpop: true }, /^"dpop" is set without "publicUrl"/],
  [{ dpop: true, publicUrl: 'https://example.org' }],
  [
    { rotation: false, accessToken: { lifetime: '1d' }, ...inCookies, cookie: { secure: false } },
    /^"rotation"/,
    /^"accessToken/,
    /^"cookie/
  ],
  [{ rotation: false, refreshToken: false }],
  [{ accessToken: { lifetime: '1h' } }],
  [{ ...inCookies, cookie: { accessToken: true, path: '/auth', sameSite: 'lax' } }],
  [{ accessToken: { renewWithin: '5m' } }],
  [{}]
]

t.test('an option that weakens security is logged once at startup', async t => {
  for (const [given, ...expected] of weakOptions) {
    const warnings = await readWarnings(given, 2)
    t.equal(warnings.length, expected.length, JSON.stringify(given))
    t.match(warnings, expected)
  }
})

t.test('a memory store in production is logged as a warning', async t => {
  const { NODE_ENV: before } = process.env
  process.env.NODE_ENV = 'production'
  t.teardown(() => {
    if (before === undefined) {
      delete process.env.NODE_ENV
    } else {
      process.env.NODE_ENV = before
    }
  })
  t.match(await readWarnings({}), [/^sessions are in the memory of this process/])
})
