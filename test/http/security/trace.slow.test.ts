// This file runs itself again under helpers/ci/trace-watch.ts. That run leaks secrets in passing
// tests, so it must fail.

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
import { createChildEnv } from '../../helpers/child-env.js'
import { MINUTE } from '../../helpers/clock.js'

const PEPPER = 'Zr4kW9tBq2LmX7vNc5Hj8Dg3Ys6Fp1Ea'
const WRONG = 'no horse was ever so wrong'
const WARNING = 'this stream receives warnings'

/** Kinds of leaks, by the origin of the secret. */
const leaks: Record<string, string> = {
  'an access token': 'access_token in a response',
  'a piece of an access token': 'access_token in a response',
  'the signature of a refresh token': 'refresh_token in a response',
  'the payload of a refresh token': 'secret in|refresh_token in',
  'a renewed token': 'x-new-token in a response',
  'an invalid bearer token': 'authorization in a request',
  'a cookie of a response': 'set-cookie in a response',
  'a cookie of a request': 'cookie in a request',
  'a password': 'password in a request',
  'a password in base64': 'password in a request',
  'a password in a URL': 'password in a request',
  'a password in a malformed body': 'password in a request',
  'the secret': 'the option secret',
  'the secret in hexadecimal': 'the option secret',
  'a derived key': 'result of hkdfSync',
  'the pepper': 'the option pepper',
  'a private key': 'a private key',
  'a member of a private JWK': 'result of generateKeyPairSync',
  'a password hash': 'a password hash',
  'a token below the level of a logger': 'a JWT',
  'a token of a URL, outside of the logged URL': 'refresh_token in a response'
}

const watch = new URL('../../helpers/ci/trace-watch.ts', import.meta.url).href
const isWatched = process.execArgv.some(arg => arg.includes('trace-watch'))

if (process.env.TRACE_LEAKS === undefined) {
  const [leaking, clean] = [runAgain('all'), runAgain('none')]
  t.test('the trace watch finds every leak without printing it', async t => {
    t.ok(isWatched || !process.env.CI, 'CI watches all tests')
    const { code, report } = await leaking
    t.equal(code, 1)
    const prefix = 'trace\\.slow\\.test\\.ts: a log line contains'

    for (const [name, kind] of Object.entries(leaks)) {
      t.match(report, new RegExp(`${prefix} .*(${kind}).*: leak of ${name}\\n`), name)
    }

    t.match(report, new RegExp(`${prefix} a JWT.*: fastify-token-auth:any\\n`), 'in an event')
    t.match(report, new RegExp(`${prefix} a JWT.*: in its msg\\n`))
    t.match(
      report,
      /undefined: a log line contains a JWT: leak of a child\n/,
      'in a child process'
    )

    for (const secret of [PASSWORD, PASSWORD_HASH, SECRET, PEPPER, WRONG, 'eyJ']) {
      t.notOk(report.includes(secret))
    }
  })

  t.test('the trace watch finds nothing in a run without leaks', async t => {
    t.strictSame(await clean, { code: 0, report: '' })
  })
} else {
  t.test('leaks and passes', t => logSecrets(t, process.env.TRACE_LEAKS === 'all'))
}

async function runAgain (TRACE_LEAKS: string): Promise<{ code: number, report: string }> {
  const child = spawn(process.execPath, [
    ...process.execArgv,
    ...isWatched ? [] : [`--import=${watch}`],
    fileURLToPath(import.meta.url)
  ], {
    env: createChildEnv({ TRACE_LEAKS, TRACE_WATCH: '', NODE_OPTIONS: '' }),
    stdio: ['ignore', 'ignore', 'pipe']
  })
  const [report, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  return { code: code as number, report }
}

async function logSecrets (t: Test, shouldLeak: boolean): Promise<void> {
  const ownLines: string[] = []
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
            ownLines.push(line)
          }
        }
      }
    }
  })
  const silent = await createTestApp()

  const leak = (name: string, value: unknown): void => {
    if (shouldLeak) {
      silent.app.log.trace({ value }, `leak of ${name}`)
    }
  }

  const { access_token: access, refresh_token: refresh = '' } = await test.login()
  leak('an access token', access)
  leak('a piece of an access token', access.slice(-40, -15))
  leak('the signature of a refresh token', refresh.split('.')[2])
  leak(
    'the payload of a refresh token',
    JSON.parse(Buffer.from(refresh.split('.')[1] ?? '', 'base64url').toString()).secret
  )
  clock.advance(11 * MINUTE)
  const { headers } = await test.get('/protected', access)
  leak('a renewed token', String(headers['x-new-token']).split('.')[2])
  const invalidToken = randomBytes(20).toString('hex')
  await test.get('/protected', invalidToken)
  leak('an invalid bearer token', invalidToken)
  const { cookies } = await test.post('/auth/login', { username: 'ann', password: PASSWORD }, {
    'x-token-transport': 'cookie'
  })
  leak('a cookie of a response', cookies[0]?.value.split('.')[2])
  await test.post('/auth/refresh', {}, { cookie: `a=b; __Host-auth-refresh=${invalidToken}-` })
  leak('a cookie of a request', `${invalidToken}-`.slice(-12))
  leak('a password', PASSWORD)
  leak('a password in base64', btoa(PASSWORD))
  leak('a password in a URL', encodeURIComponent(PASSWORD))
  await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'application/json' },
    payload: `{"password":"${WRONG}`
  })
  leak('a password in a malformed body', WRONG)
  leak('the secret', SECRET)
  leak('the secret in hexadecimal', Buffer.from(SECRET).toString('hex'))
  leak('a derived key', deriveKey(SECRET, 'auth', 'access').key.toString('base64'))
  leak('the pepper', PEPPER)
  leak('a private key', privateKey.export({ format: 'pem', type: 'pkcs8' }))
  leak('a member of a private JWK', privateKey.export({ format: 'jwk' }).d)
  leak('a password hash', PASSWORD_HASH)
  await test.post(`/auth/refresh?refresh_token=${refresh}`)
  await test.get(`/nowhere?refresh_token=${refresh}`)
  leak('a token of a URL, outside of the logged URL', refresh)

  app.log.warn({}, WARNING)
  t.strictSame(
    ownLines.map(line => JSON.parse(line).msg).filter(msg =>
      msg === WARNING || msg.startsWith('leak')
    ),
    [WARNING],
    'the logger keeps its level'
  )

  if (!shouldLeak) {
    return
  }

  app.log.trace({ access }, 'leak of a token below the level of a logger')
  app.log.trace(`leak of ${access}`)
  app.log.trace(`leak of {"password":"${PASSWORD}"}`)
  channel('fastify-token-auth:any').publish({ access })
  const code =
    `import Fastify from 'fastify'; Fastify().log.trace({ value: '${access}' }, 'leak of a child')`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    env: createChildEnv(),
    stdio: 'inherit'
  })
  t.strictSame(await once(child, 'exit'), [0, null])
}
