// Runs itself again under helpers/ci/trace-watch.ts. That run leaks secrets in passing tests, and
// must fail nevertheless.

import { spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { channel } from 'node:diagnostics_channel'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import cookie from '@fastify/cookie'
import t from 'tap'
import type { Test } from 'tap'
import { deriveKey } from '../../../src/tokens/key-derivation.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import { childEnv } from '../../helpers/child-env.js'
import { MINUTE } from '../../helpers/clock.js'

const PEPPER = 'Zr4kW9tBq2LmX7vNc5Hj8Dg3Ys6Fp1Ea'
const WRONG = 'no horse was ever so wrong'
const LOUD = 'this stream is told of warnings'

/** Kinds of leaks, by the origin of the secret. */
const leaks: Record<string, string> = {
  'an access token': 'access_token in an answer',
  'a piece of one': 'access_token in an answer',
  'the signature of a refresh token': 'refresh_token in an answer',
  'what is inside a refresh token': 'secret in|refresh_token in',
  'a renewed token': 'x-new-token in an answer',
  'a bearer that is none': 'authorization in a request',
  'a cookie': 'set-cookie in an answer',
  'a cookie that was sent': 'cookie in a request',
  'a password': 'password in a request',
  'a password in base64': 'password in a request',
  'a password in a URL': 'password in a request',
  'a password in a broken body': 'password in a request',
  'the secret': 'the option secret',
  'the secret in hexadecimal': 'the option secret',
  'a derived key': 'what hkdfSync made',
  'the pepper': 'the option pepper',
  'a private key': 'a private key',
  'a member of a private JWK': 'what generateKeyPairSync made',
  'a password hash': 'a password hash',
  'below the level of a logger': 'a JWT',
  'a token in a URL, in words of our own': 'refresh_token in an answer'
}

const watch = new URL('../../helpers/ci/trace-watch.ts', import.meta.url).href
const isWatched = process.execArgv.some(arg => arg.includes('trace-watch'))

if (process.env.TRACE_LEAKS === undefined) {
  const [leaking, clean] = [runAgain('all'), runAgain('none')]
  t.test('the trace watch finds every leak without printing it', async t => {
    t.ok(isWatched || !process.env.CI, 'CI watches all tests')
    const { code, told } = await leaking
    t.equal(code, 1)

    for (const [name, kind] of Object.entries(leaks)) {
      t.match(
        told,
        new RegExp(`trace\\.slow\\.test\\.ts: a log line holds .*(${kind}).*: leak of ${name}\\n`),
        name
      )
    }

    t.match(
      told,
      /trace\.slow\.test\.ts: a log line holds a JWT.*: fastify-token-auth:any\n/,
      'in an event'
    )
    t.match(told, /trace\.slow\.test\.ts: a log line holds a JWT.*: in its msg\n/)
    t.match(
      told,
      /undefined: a log line holds a JWT: leak of a child\n/,
      'in a process that it started'
    )

    for (const secret of [PASSWORD, PASSWORD_HASH, SECRET, PEPPER, WRONG, 'eyJ']) {
      t.notOk(told.includes(secret))
    }
  })

  t.test('the trace watch finds nothing in a run without leaks', async t => {
    t.strictSame(await clean, { code: 0, told: '' })
  })
} else {
  t.test('leaks and passes', t => leak(t, process.env.TRACE_LEAKS === 'all'))
}

async function runAgain (TRACE_LEAKS: string): Promise<{ code: number, told: string }> {
  const child = spawn(process.execPath, [
    ...process.execArgv,
    ...isWatched ? [] : [`--import=${watch}`],
    fileURLToPath(import.meta.url)
  ], {
    env: childEnv({ TRACE_LEAKS, TRACE_WATCH: '', NODE_OPTIONS: '' }),
    stdio: ['ignore', 'ignore', 'pipe']
  })
  const [told, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  return { code: code as number, told }
}

async function leak (t: Test, does: boolean): Promise<void> {
  const loud: string[] = []
  const { privateKey } = generateKeyPairSync('ed25519')
  const { app, clock, ...test } = await createTestApp({
    before: app => app.register(cookie),
    options: {
      passwords: { pepper: PEPPER },
      refreshToken: { transport: 'both' },
      accessToken: { lifetime: '15m', renewWithin: '5m' }
    },
    fastify: {
      logger: {
        level: 'warn',
        stream: {
          write: line => {
            loud.push(line)
          }
        }
      }
    }
  })
  const silent = await createTestApp()

  const say = (name: string, value: unknown): void => {
    if (does) {
      silent.app.log.trace({ value }, `leak of ${name}`)
    }
  }

  const { access_token: access, refresh_token: refresh = '' } = await test.login()
  say('an access token', access)
  say('a piece of one', access.slice(-40, -15))
  say('the signature of a refresh token', refresh.split('.')[2])
  say(
    'what is inside a refresh token',
    JSON.parse(Buffer.from(refresh.split('.')[1] ?? '', 'base64url').toString()).secret
  )
  clock.advance(11 * MINUTE)
  const { headers } = await test.get('/protected', access)
  say('a renewed token', String(headers['x-new-token']).split('.')[2])
  const odd = randomBytes(20).toString('hex')
  await test.get('/protected', odd)
  say('a bearer that is none', odd)
  const { cookies } = await test.post('/auth/login', { username: 'ann', password: PASSWORD }, {
    'x-token-transport': 'cookie'
  })
  say('a cookie', cookies[0]?.value.split('.')[2])
  await test.post('/auth/refresh', {}, { cookie: `a=b; __Host-auth-refresh=${odd}-` })
  say('a cookie that was sent', `${odd}-`.slice(-12))
  say('a password', PASSWORD)
  say('a password in base64', btoa(PASSWORD))
  say('a password in a URL', encodeURIComponent(PASSWORD))
  await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'application/json' },
    payload: `{"password":"${WRONG}`
  })
  say('a password in a broken body', WRONG)
  say('the secret', SECRET)
  say('the secret in hexadecimal', Buffer.from(SECRET).toString('hex'))
  say('a derived key', deriveKey(SECRET, 'auth', 'access').key.toString('base64'))
  say('the pepper', PEPPER)
  say('a private key', privateKey.export({ format: 'pem', type: 'pkcs8' }))
  say('a member of a private JWK', privateKey.export({ format: 'jwk' }).d)
  say('a password hash', PASSWORD_HASH)
  await test.post(`/auth/refresh?refresh_token=${refresh}`)
  await test.get(`/nowhere?refresh_token=${refresh}`)
  say('a token in a URL, in words of our own', refresh)

  app.log.warn({}, LOUD)
  t.strictSame(
    loud.map(line => JSON.parse(line).msg).filter(msg => msg === LOUD || msg.startsWith('leak')),
    [LOUD],
    'keeps its level'
  )

  if (!does) {
    return
  }

  app.log.trace({ access }, 'leak of below the level of a logger')
  app.log.trace(`leak of ${access}`)
  app.log.trace(`leak of {"password":"${PASSWORD}"}`)
  channel('fastify-token-auth:any').publish({ access })
  const code =
    `import Fastify from 'fastify'; Fastify().log.trace({ value: '${access}' }, 'leak of a child')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    env: childEnv(),
    stdio: 'inherit'
  })
  t.strictSame(await once(child, 'exit'), [0, null])
}
