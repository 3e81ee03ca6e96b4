// Sessions that are bound to a key (RFC 9449), from the login to the logout, and what a copy of their tokens is worth without
// that key: nothing, not even the end of the session.

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as open } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:http2'
import type { IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2'
import { text } from 'node:stream/consumers'
import { Writable } from 'node:stream'
import fastifyAuth from '@fastify/auth'
import cookie from '@fastify/cookie'
import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import type { BreakableStore } from '../../helpers/broken-store.js'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { athOf, createProofKey, Holder, writeProof } from '../../helpers/dpop.js'
import type { Sent } from '../../helpers/dpop.js'

const NONCE = /^[\w-]{43}$/
const credentials = { username: 'ann', password: PASSWORD }
const oauth = {
  issuer: 'https://auth.test',
  audience: 'api',
  oauth: { clients: [{ clientId: 'phone' }] }
}
const form = { 'content-type': 'application/x-www-form-urlencoded' }

interface World extends TestApp {
  readonly breakable: BreakableStore
  readonly holder: Holder
  readonly row: () => Promise<unknown>
  readonly names: () => string[]
}

async function start (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<World> {
  const breakable = createBreakableStore(given.store ?? new MemoryStore())
  const test = await createTestApp({
    ...given,
    store: breakable.store,
    options: { dpop: true, ...options }
  })
  t.teardown(() => test.app.close())

  return {
    ...test,
    breakable,
    holder: new Holder(test.app),
    row: async () => (await test.store.list('u-ann', { now: 0, limit: 1 }))[0],
    names: () => test.events.map(({ name }) => name)
  }
}

async function signIn (
  holder: Holder,
  sent: Sent = {}
): Promise<TokenResponse & { readonly refresh_token: string }> {
  const response = await holder.send('POST', '/auth/login', { body: credentials, ...sent })

  if (response.statusCode !== 200) {
    throw new Error(response.body)
  }

  return response.json()
}

const refresh = async (holder: Holder, token: string): Promise<LightMyRequestResponse> =>
  holder.send('POST', '/auth/refresh', { body: { refresh_token: token } })

const claimsOf = (token: string): jose.JWTPayload & { cnf?: { jkt: string } } =>
  jose.decodeJwt(token)

function refused (t: Test, response: LightMyRequestResponse, code: string, name: string): void {
  t.strictSame([response.statusCode, response.json().code], [401, code], name)
}

t.test('a login with a proof: its tokens are bound to the key', async t => {
  const { app, holder, get } = await start(t)
  const key = createProofKey('ES256')
  const jkt = await jose.calculateJwkThumbprint(key.jwk as jose.JWK)
  const { access_token: access, refresh_token: token, token_type: type } = await signIn(
    new Holder(app, key)
  )
  t.equal(type, 'DPoP')
  t.strictSame(claimsOf(access).cnf, { jkt })
  t.strictSame(claimsOf(token).cnf, { jkt })
  const plain = (await app.inject({ method: 'POST', url: '/auth/login', payload: credentials }))
    .json()
  t.equal(plain.token_type, 'bearer', 'without a proof it is an ordinary one')
  t.notOk(claimsOf(plain.access_token).cnf)
  t.equal((await get('/protected', plain.access_token)).statusCode, 200)
  refused(
    t,
    await holder.send('GET', '/protected', { token: plain.access_token }),
    'AUTH_ACCESS_INVALID',
    'which is none under the scheme DPoP'
  )
})

t.test('the first answer tells the nonce, once, also to pages of other origins', async t => {
  const { app, holder } = await start(t, {}, {
    before: app => {
      app.addHook('onRequest', async (_request, reply) => {
        reply.header('access-control-expose-headers', 'x-own')
      })
    }
  })
  const response = await holder.once('POST', '/auth/login', { body: credentials })
  refused(t, response, 'AUTH_DPOP_NONCE', 'the first')
  t.match(response.headers['dpop-nonce'], NONCE)
  t.match(
    response.headers['www-authenticate'],
    /^DPoP realm="auth", algs="ES256 Ed25519 EdDSA PS256 RS256", error="use_dpop_nonce", error_description="[^"\\]+"$/
  )
  t.equal(response.headers['access-control-expose-headers'], 'x-own, www-authenticate, dpop-nonce')
  t.equal(response.headers['cache-control'], 'no-store')
  const { access_token: token } = await signIn(holder)
  const shown = await holder.once('GET', '/protected', { token })
  t.equal(shown.statusCode, 200)
  t.notOk(shown.headers['dpop-nonce'], 'who has it is not told again')
  t.notOk((await app.inject('/protected')).headers['dpop-nonce'], 'nor who has no proof')
})

t.test('a nonce of the last minute is good, and answered with the next; an older one is not', async t => {
  const { holder, clock } = await start(t)
  const { access_token: token } = await signIn(holder)
  const { nonce } = holder
  clock.advance(MINUTE)
  const response = await holder.once('GET', '/protected', { token })
  t.equal(response.statusCode, 200)
  t.match(response.headers['dpop-nonce'], NONCE)
  t.not(response.headers['dpop-nonce'], nonce)
  t.equal(response.headers['cache-control'], 'no-store', 'which no cache may give to others')
  clock.advance(MINUTE)
  refused(
    t,
    await holder.once('GET', '/protected', { token, claims: { nonce } }),
    'AUTH_DPOP_NONCE',
    'of the minute before'
  )
  t.equal((await holder.once('GET', '/protected', { token })).statusCode, 200)
})

t.test('OAuth clients are asked for the nonce by 400 use_dpop_nonce', async t => {
  const { holder } = await start(t, oauth)
  const { refresh_token: token } = await signIn(holder, {
    body: { ...credentials, client_id: 'phone' }
  })
  const body = (token: string): string =>
    String(
      new URLSearchParams({ grant_type: 'refresh_token', client_id: 'phone', refresh_token: token })
    )
  const ask = async (sent: Sent): Promise<LightMyRequestResponse> =>
    holder.once('POST', '/auth/token', { body: body(token), headers: form, ...sent })
  const first = await ask({ claims: { nonce: undefined } })
  t.strictSame([first.statusCode, first.json().error], [400, 'use_dpop_nonce'])
  t.match(first.headers['dpop-nonce'], NONCE)
  t.match(first.headers['access-control-expose-headers'], /dpop-nonce/)
  t.notOk(first.headers['www-authenticate'])
  const wrong = await ask({ claims: { htm: 'GET' } })
  t.strictSame([wrong.statusCode, wrong.json().error], [400, 'invalid_dpop_proof'])
  const answer = await ask({})
  t.match(answer.json(), { token_type: 'DPoP' })
  const next = answer.json().refresh_token
  t.strictSame(claimsOf(next).cnf, claimsOf(token).cnf)
  const bare = await ask({ body: body(next), headers: { ...form, dpop: 'x' } })
  t.strictSame([bare.statusCode, bare.json().error], [400, 'invalid_dpop_proof'])
  t.equal((await ask({ body: body(next) })).statusCode, 200)
})

t.test('a client whose clock is wrong by a year is let in with nonces, and told why not without', async t => {
  const clock = { iat: Math.floor(Date.UTC(2025, 0, 1) / 1000) }
  const { holder } = await start(t)
  const { access_token: token } = await signIn(holder, { claims: clock })
  t.equal((await holder.send('GET', '/protected', { token, claims: clock })).statusCode, 200)

  const other = await start(t, { dpop: { nonces: false } })
  const response = await other.holder.once('POST', '/auth/login', {
    body: credentials,
    claims: clock
  })
  refused(t, response, 'AUTH_DPOP_INVALID', 'without')
  t.match(response.json().message, 'iat is too far from the server time')
  t.notOk(response.headers['dpop-nonce'])
  const now = { iat: other.clock() / 1000 }
  const { access_token: good } = await signIn(other.holder, { claims: now })
  t.equal(
    (await other.holder.once('GET', '/protected', { token: good, claims: now })).statusCode,
    200
  )
})

t.test('a bound access token takes a proof of its key, for itself and this request', async t => {
  const { app, holder, post } = await start(t)
  const { access_token: token } = await signIn(holder)
  const { access_token: another } = await signIn(holder)
  const thief = new Holder(app)
  thief.nonce = holder.nonce
  t.match((await holder.once('GET', '/protected', { token })).json(), { userId: 'u-ann' })

  for (const scheme of ['dpop', 'DPOP', 'DPoP ']) {
    t.equal(
      (await holder.once('GET', '/protected', {
        token,
        headers: { authorization: `${scheme} ${token}` }
      })).statusCode,
      200,
      scheme
    )
  }

  const bearer = { authorization: `Bearer ${token}` }
  const bare = await app.inject({ url: '/protected', headers: bearer })
  refused(t, bare, 'AUTH_ACCESS_INVALID', 'as a bearer token')
  t.match(
    bare.headers['www-authenticate'],
    /^Bearer realm="auth", error="invalid_token", error_description="[^"]+", DPoP realm="auth", algs="ES256 /
  )
  refused(
    t,
    await app.inject({ url: '/protected', headers: bearer }),
    'AUTH_ACCESS_INVALID',
    'also when it is remembered'
  )
  const proven = await holder.once('GET', '/protected', { token, headers: bearer })
  refused(t, proven, 'AUTH_ACCESS_INVALID', 'as one with a proof')
  t.match(
    proven.headers['www-authenticate'],
    /^DPoP realm="auth", algs="[^"]+", error="invalid_token", error_description="[^"]+"$/
  )
  refused(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `DPoP ${token}` } }),
    'AUTH_DPOP_INVALID',
    'no proof'
  )
  refused(
    t,
    await thief.once('GET', '/protected', { token }),
    'AUTH_ACCESS_INVALID',
    'of another key'
  )
  const wrong: Record<string, object> = {
    'of another token': { ath: athOf(another) },
    'of no token': { ath: undefined },
    'of another method': { htm: 'POST' },
    'of another path': { htu: 'http://localhost/auth/me' },
    'of another host': { htu: 'http://evil.test/protected' }
  }

  for (const [name, claims] of Object.entries(wrong)) {
    const response = await holder.once('GET', '/protected', { token, claims })
    refused(t, response, 'AUTH_DPOP_INVALID', name)
    t.match(
      response.headers['www-authenticate'],
      /^DPoP realm="auth", algs="[^"]+", error="invalid_dpop_proof"/
    )
  }

  const dpop = holder.prove('POST', '/auth/logout/all', { ath: athOf(token) })
  refused(
    t,
    await post('/auth/logout/all', undefined, { dpop, ...bearer }),
    'AUTH_ACCESS_INVALID',
    'nor does it end sessions'
  )
  t.equal((await holder.once('POST', '/auth/logout/all', { token })).statusCode, 204)
})

t.test('a proof that was used is refused, and of fifty at once one passes', async t => {
  const { app, holder, clock } = await start(t)
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder)
  const dpop = holder.prove('GET', '/protected', { ath: athOf(token) })
  const send = async (): Promise<LightMyRequestResponse> =>
    app.inject({ url: '/protected', headers: { dpop, authorization: `DPoP ${token}` } })
  const statuses = await Promise.all(
    Array.from({ length: 50 }, async () => (await send()).statusCode)
  )
  t.equal(statuses.filter(status => status === 200).length, 1)
  refused(t, await send(), 'AUTH_DPOP_INVALID', 'later')
  clock.advance(3 * MINUTE)
  refused(t, await send(), 'AUTH_DPOP_NONCE', 'when it is forgotten')

  await holder.send('GET', '/protected', { token })
  const jti = randomUUID()
  t.equal(
    (await holder.once('POST', '/auth/refresh', {
      body: { refresh_token: refreshToken },
      claims: { jti }
    })).statusCode,
    200
  )
  const again = await holder.once('POST', '/auth/refresh', {
    body: { refresh_token: refreshToken },
    claims: { jti }
  })
  refused(t, again, 'AUTH_DPOP_INVALID', 'at a refresh too')
  t.match(again.json().message, 'used before')
})

t.test('what a request has proved holds for all of it, however often it is asked', async t => {
  const { holder } = await start(t, {}, {
    after: app => {
      app.get(
        '/twice',
        { onRequest: [app.authenticate, app.authenticate] },
        async request => request.auth
      )
      app.post(
        '/anew',
        { onRequest: app.authenticate },
        async request => app.tokenAuth.openSession('u-ann', request)
      )
    }
  })
  const { access_token: token } = await signIn(holder)
  t.equal(
    (await holder.send('GET', '/twice', { token })).statusCode,
    200,
    'a hook of the app and one of the route'
  )
  const anew = await holder.send('POST', '/anew', { token })
  t.equal(anew.statusCode, 200, 'a session that is opened by a request with a token')
  t.strictSame(claimsOf(anew.json().access_token).cnf, claimsOf(token).cnf)
})

t.test('what strangers sign is not remembered', async t => {
  let taken = 0
  const replays = new MemoryAttempts()
  const { app, holder } = await start(t, {
    dpop: {
      replays: Object.assign(new MemoryAttempts(), {
        consume: async (...given: Parameters<MemoryAttempts['consume']>) => {
          taken++
          return replays.consume(...given)
        }
      })
    }
  })
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder)
  t.equal(taken, 1)
  const thief = new Holder(app)
  thief.nonce = holder.nonce
  const strange = [
    await thief.once('GET', '/protected', { token }),
    await thief.once('GET', '/protected', { token: `${token.slice(0, -4)}AAAA` }),
    await thief.once('POST', '/auth/login', { body: { ...credentials, password: 'wrong' } }),
    await thief.once('POST', '/auth/login', { body: { ...credentials, username: 'nobody' } }),
    await thief.once('POST', '/auth/refresh', { body: { refresh_token: refreshToken } }),
    await thief.once('POST', '/auth/refresh', { body: { refresh_token: 'x' } }),
    await thief.once('POST', '/auth/logout', { body: { refresh_token: 'x' } })
  ]
  t.strictSame(strange.map(({ statusCode }) => statusCode), [401, 401, 401, 401, 401, 401, 204])
  t.equal(taken, 1)
})

t.test('a memory of proofs that is down: 503, and nothing is moved', async t => {
  let isDown = false
  const memory = new MemoryAttempts()
  const replays = Object.assign(new MemoryAttempts(), {
    consume: async (...given: Parameters<MemoryAttempts['consume']>) =>
      isDown ? Promise.reject(new Error('down')) : memory.consume(...given)
  })
  const { holder, row, names, store } = await start(t, { dpop: { replays } })
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder)
  const before = await row()
  isDown = true

  for (
    const response of [
      await refresh(holder, refreshToken),
      await holder.send('GET', '/protected', { token }),
      await holder.send('POST', '/auth/login', { body: credentials })
    ]
  ) {
    t.strictSame([response.statusCode, response.json().code, response.headers['retry-after']], [
      503,
      'AUTH_STORE_UNAVAILABLE',
      '1'
    ])
  }

  t.strictSame(await row(), before)
  t.equal((await store.list('u-ann', { now: 0, limit: 9 })).length, 1)
  isDown = false
  t.equal((await refresh(holder, refreshToken)).statusCode, 200)
  t.strictSame(names(), ['login', 'refresh'])
})

t.test('a copied refresh token without the key moves nothing and ends nothing, whatever generation it is of', async t => {
  const { app, post, holder, clock, breakable, row, names } = await start(t)
  const thief = new Holder(app)
  const { refresh_token: first } = await signIn(holder)

  const steal = async (token: string, name: string): Promise<void> => {
    const before = [await row(), names()]
    breakable.break('throws')
    refused(
      t,
      await post('/auth/refresh', { refresh_token: token }),
      'AUTH_DPOP_INVALID',
      `${name}, without a proof`
    )
    refused(t, await refresh(thief, token), 'AUTH_REFRESH_INVALID', `${name}, with another key`)

    for (const dpop of ['', 'x', 'x, y']) {
      refused(
        t,
        await post('/auth/refresh', { refresh_token: token }, { dpop }),
        'AUTH_DPOP_INVALID',
        `${name}, ${dpop}`
      )
    }

    const dpop = holder.prove('POST', '/auth/login')
    refused(
      t,
      await post('/auth/refresh', { refresh_token: token }, { dpop }),
      'AUTH_DPOP_INVALID',
      `${name}, with a proof for another request`
    )
    breakable.break(null)
    t.strictSame([await row(), names()], before, 'nothing has changed, nor was the store asked')
  }

  const next = async (token: string): Promise<string> =>
    (await refresh(holder, token)).json().refresh_token
  await steal(first, 'the current one')
  const second = await next(first)
  await steal(first, 'a replay within grace')
  t.equal(await next(first), second, 'with the key it is answered with the same text')
  t.equal(await next(second), second, 'and the current one is kept')
  clock.advance(MINUTE)
  const third = await next(second)
  clock.advance(MINUTE)
  await steal(second, 'a recovery after grace')
  t.equal(await next(second), third, 'with the key it recovers')
  clock.advance(DAY)
  const fourth = await next(third)
  await steal(first, 'an ancient one')
  await steal(third, 'the one before')
  clock.advance(MINUTE)
  t.ok(await next(fourth), 'after all of that the session goes on')
  t.notMatch(names(), /reuse|revoke/)
  refused(
    t,
    await refresh(holder, first),
    'AUTH_REFRESH_REUSED',
    'with the key, an ancient one is reuse'
  )
  t.strictSame(names().filter(name => name === 'reuse' || name === 'revoke').sort(), [
    'reuse',
    'revoke'
  ])
  refused(t, await refresh(holder, fourth), 'AUTH_REFRESH_REVOKED', 'and the session is over')
})

t.test('a bound access token confirms its generation with its proof alone', async t => {
  for (const isProven of [false, true]) {
    const { app, holder, clock } = await start(t)
    const { refresh_token: first } = await signIn(holder)
    const { access_token: token } = (await refresh(holder, first)).json()
    const thief = new Holder(app)

    for (const authorization of [`Bearer ${token}`, `DPoP ${token}`]) {
      await app.inject({ url: '/protected', headers: { authorization } })
    }

    await thief.send('GET', '/protected', { token })
    await holder.once('GET', '/protected', { token, claims: { ath: 'x' } })

    if (isProven) {
      t.equal((await holder.send('GET', '/protected', { token })).statusCode, 200)
    }

    clock.advance(MINUTE)
    const response = await refresh(holder, first)
    t.equal(
      response.statusCode,
      isProven ? 401 : 200,
      isProven
        ? 'its client has it: the one before is reuse'
        : 'its client may not have it: it recovers'
    )

    if (isProven) {
      t.equal(response.json().code, 'AUTH_REFRESH_REUSED')
    }
  }
})

t.test('a session that is not bound may be refreshed with a proof: its access token is bound, its refresh token is not', async t => {
  const { app, holder, login, refresh: refreshBare, clock } = await start(t)
  const { refresh_token: first = '' } = await login()
  const response = await refresh(holder, first)
  t.equal(response.json().token_type, 'DPoP')
  const { access_token: token, refresh_token: second } = response.json()
  t.ok(claimsOf(token).cnf)
  t.notOk(claimsOf(second).cnf)
  t.equal((await holder.once('GET', '/protected', { token })).statusCode, 200)
  refused(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `Bearer ${token}` } }),
    'AUTH_ACCESS_INVALID',
    'as bearer'
  )
  clock.advance(MINUTE)
  const bare = (await refreshBare(second)).json()
  t.equal(bare.token_type, 'bearer', 'and without one as ever')
  t.notOk(claimsOf(bare.access_token).cnf)
})

t.test('an access token that is renewed silently stays bound to its key', async t => {
  const { app, holder, clock } = await start(t, {
    accessToken: { lifetime: '15m', renewWithin: '5m' }
  })
  const { access_token: token } = await signIn(holder)
  clock.advance(11 * MINUTE)
  const bare = await app.inject({
    url: '/protected',
    headers: { authorization: `Bearer ${token}` }
  })
  t.equal(bare.statusCode, 401)
  t.notOk(bare.headers['x-new-token'], 'who has no key is given none')
  const { headers } = await holder.send('GET', '/protected', { token })
  const renewed = String(headers['x-new-token'])
  t.strictSame(claimsOf(renewed).cnf, claimsOf(token).cnf)
  t.equal((await holder.once('GET', '/protected', { token: renewed })).statusCode, 200)
  refused(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `Bearer ${renewed}` } }),
    'AUTH_ACCESS_INVALID',
    'as bearer'
  )
})

t.test('tokens in cookies take the proof too', async t => {
  const options = { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } } as const
  const { app, holder } = await start(t, options, { before: app => app.register(cookie) })
  const origin = { 'sec-fetch-site': 'same-origin' }
  const response = await holder.send('POST', '/auth/login', { body: credentials, headers: origin })
  t.match(response.json(), { token_type: 'DPoP' })
  const headers = {
    ...origin,
    cookie: response.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  }
  const access = response.cookies.find(({ name }) => name.endsWith('access'))?.value ?? ''
  t.ok(claimsOf(access).cnf)
  const ath = athOf(access)
  t.equal((await holder.once('GET', '/protected', { headers, claims: { ath } })).statusCode, 200)
  refused(t, await app.inject({ url: '/protected', headers }), 'AUTH_DPOP_INVALID', 'none')
  t.equal(
    (await holder.once('GET', '/protected', { headers })).statusCode,
    200,
    'a page cannot name a token that it cannot read'
  )
  const thief = new Holder(app)
  thief.nonce = holder.nonce
  refused(
    t,
    await thief.once('GET', '/protected', { headers, claims: { ath } }),
    'AUTH_ACCESS_INVALID',
    'of another key'
  )
  refused(
    t,
    await app.inject({ method: 'POST', url: '/auth/refresh', headers }),
    'AUTH_DPOP_INVALID',
    'a refresh without'
  )
  t.equal((await holder.once('POST', '/auth/refresh', { headers })).statusCode, 200)
})

t.test('a logout takes no proof: by the refresh token, or by the access token under either scheme', async t => {
  const { app, holder, post } = await start(t)
  const ways: Array<(answer: TokenResponse) => Promise<LightMyRequestResponse>> = [
    ({ refresh_token: token }) => post('/auth/logout', { refresh_token: token }),
    ({ access_token: token }) =>
      post('/auth/logout', undefined, { authorization: `DPoP ${token}` }),
    ({ access_token: token }) => holder.once('POST', '/auth/logout', { token })
  ]

  for (const way of ways) {
    const answer = await signIn(holder)
    t.equal((await way(answer)).statusCode, 204)
    refused(t, await refresh(holder, answer.refresh_token), 'AUTH_REFRESH_REVOKED', 'it is over')
    refused(
      t,
      await holder.once('GET', '/protected', { token: answer.access_token }),
      'AUTH_SESSION_REVOKED',
      'at once'
    )
  }

  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 0)
})

t.test('a session that the app opens is bound by the proof in the request', async t => {
  const { app, holder } = await start(t, {}, {
    after: app => {
      app.post('/passkey', async request => app.tokenAuth.openSession('u-ann', request))
    }
  })
  refused(t, await holder.once('POST', '/passkey'), 'AUTH_DPOP_NONCE', 'the nonce comes first')
  const answer = (await holder.once('POST', '/passkey')).json()
  t.equal(answer.token_type, 'DPoP')
  t.equal((await holder.once('GET', '/protected', { token: answer.access_token })).statusCode, 200)
  refused(
    t,
    await app.inject({ method: 'POST', url: '/passkey', headers: { dpop: 'x' } }),
    'AUTH_DPOP_INVALID',
    'a wrong one opens nothing'
  )
  t.equal((await app.inject({ method: 'POST', url: '/passkey' })).json().token_type, 'bearer')
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 2)
})

t.test('where proofs are required, a login without one makes no session; sessions from before go on', async t => {
  const store = new MemoryStore()
  const before = await createTestApp({ store })
  t.teardown(() => before.app.close())
  const old = await before.login()
  const world = await start(t, { dpop: { required: true } }, { store, clock: before.clock })
  const { app, holder, get, post, refresh: refreshBare, names } = world
  const response = await post('/auth/login', credentials)
  refused(t, response, 'AUTH_DPOP_INVALID', 'none')
  t.match(response.headers['www-authenticate'], /DPoP realm="auth", algs="/)
  refused(
    t,
    await post('/auth/login', credentials, { dpop: 'x' }),
    'AUTH_DPOP_INVALID',
    'a wrong one'
  )
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 1)
  t.strictSame(names(), [])
  t.equal((await get('/protected', old.access_token)).statusCode, 200)
  t.equal((await refreshBare(old.refresh_token)).statusCode, 200)
  t.equal((await signIn(holder)).token_type, 'DPoP')
})

t.test('where there are no proofs, tokens that are bound are refused everywhere, and nothing of it is read or said', async t => {
  const bound = await start(t)
  const { access_token: token, refresh_token: refreshToken } = await signIn(bound.holder)
  const { app, login, holder, row } = await start(t, { dpop: false }, {
    store: bound.store,
    clock: bound.clock
  })
  const before = await row()
  const bearer = { authorization: `Bearer ${token}` }

  for (const url of ['/protected', '/auth/me', '/auth/sessions']) {
    refused(t, await holder.once('GET', url, { token }), 'AUTH_ACCESS_MISSING', url)
    refused(t, await holder.once('GET', url, { headers: bearer }), 'AUTH_ACCESS_INVALID', url)
    refused(t, await app.inject({ url, headers: bearer }), 'AUTH_ACCESS_INVALID', url)
  }

  for (
    const response of [
      await holder.once('POST', '/auth/refresh', { body: { refresh_token: refreshToken } }),
      await app.inject({
        method: 'POST',
        url: '/auth/refresh',
        payload: { refresh_token: refreshToken }
      })
    ]
  ) {
    t.equal(response.statusCode, 401)
    t.notOk(response.headers['dpop-nonce'])
    t.notMatch(response.headers['www-authenticate'], /DPoP realm|algs=/)
  }

  t.strictSame(await row(), before)

  for (const dpop of ['', 'x', 'x, y']) {
    const response = await app.inject({
      method: 'POST',
      url: '/auth/login',
      payload: credentials,
      headers: { dpop }
    })
    t.equal(response.json().token_type, 'bearer')
    t.notOk(response.headers['dpop-nonce'])
    t.equal(
      (await app.inject({
        url: '/protected',
        headers: { dpop, authorization: `Bearer ${response.json().access_token}` }
      })).statusCode,
      200
    )
  }

  t.ok(await login())
  t.equal(
    (await bound.holder.send('GET', '/protected', { token })).statusCode,
    200,
    'where there are, it is good'
  )
})

t.test('two headers over a real socket, and two proofs in one, are none', async t => {
  const { app, holder, names } = await start(t)
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const url = new URL('/auth/login', base)

  async function send (
    dpop: string | string[]
  ): Promise<{ readonly status: number | undefined, readonly body: string }> {
    const sent = open(url, {
      method: 'POST',
      headers: { dpop, 'content-type': 'application/json' }
    }).end(JSON.stringify(credentials))
    const [response] = await once(sent, 'response') as [IncomingMessage]
    return { status: response.statusCode, body: await text(response) }
  }

  await holder.once('POST', '/auth/login', { body: credentials })
  const prove = (): string => holder.prove('POST', '', { htu: url.href })
  const same = prove()

  for (
    const dpop of [
      [prove(), prove()],
      [same, same],
      [prove(), ''],
      ['', prove()],
      `${prove()}, ${prove()}`,
      `${prove()},`,
      `${prove()} ${prove()}`
    ]
  ) {
    const { status, body } = await send(dpop)
    t.strictSame([status, JSON.parse(body).code], [401, 'AUTH_DPOP_INVALID'])
    t.notMatch(body, /eyJ/)
  }

  t.strictSame(names(), [])
  t.equal((await send(prove())).status, 200)
})

t.test('over HTTP/2 as over HTTP/1', async t => {
  const { app, holder } = await start(t, {}, { fastify: { http2: true } as object })
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const session = connect(base)
  t.teardown(() => {
    session.close()
  })

  async function send (
    dpop: string | string[]
  ): Promise<{ readonly status: number | undefined, readonly nonce: string }> {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/auth/login',
      'content-type': 'application/json',
      dpop
    })
    stream.end(JSON.stringify(credentials))
    const [headers] = await once(stream, 'response') as [
      IncomingHttpHeaders & IncomingHttpStatusHeader
    ]
    await text(stream)
    return { status: headers[':status'], nonce: String(headers['dpop-nonce']) }
  }

  const prove = (): string => holder.prove('POST', '', { htu: `${base}/auth/login` })
  holder.nonce = (await send(prove())).nonce
  t.equal((await send([prove(), prove()])).status, 401)
  t.equal((await send(prove())).status, 200)
})

t.test('the address is the one that the client has asked: behind a proxy that is trusted, and below publicUrl', async t => {
  const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'api.test' }
  const statusOf = async (
    { holder }: World,
    htu: string,
    headers: Record<string, string> = {}
  ): Promise<number> =>
    (await holder.send('POST', '/auth/login', { body: credentials, headers, claims: { htu } }))
      .statusCode
  const plain = await start(t)
  t.equal(await statusOf(plain, 'http://localhost/auth/login', forwarded), 200)
  t.equal(
    await statusOf(plain, 'https://api.test/auth/login', forwarded),
    401,
    'a proxy that is not trusted says nothing'
  )
  t.equal(await statusOf(plain, 'http://api.test:8080/auth/login', { host: 'API.test:8080' }), 200)
  t.equal(await statusOf(plain, 'http://api.test/auth/login', { host: 'api.test:8080' }), 401)

  const proxied = await start(t, {}, { fastify: { trustProxy: true } })
  t.equal(await statusOf(proxied, 'https://api.test/auth/login', forwarded), 200)
  t.equal(await statusOf(proxied, 'http://localhost/auth/login', forwarded), 401)

  const named = await start(t, { publicUrl: 'https://api.test/v1' })
  t.equal(await statusOf(named, 'https://api.test/v1/auth/login'), 200)
  t.equal(
    await statusOf(named, 'https://api.test/v1/auth/login', { host: 'evil.test', ...forwarded }),
    200
  )

  for (
    const htu of [
      'http://localhost/auth/login',
      'https://api.test/auth/login',
      'https://api.test/v1',
      'https://evil.test/auth/login'
    ]
  ) {
    t.equal(await statusOf(named, htu, { host: 'evil.test' }), 401, htu)
  }
})

t.test('query and rewritten URLs: the address is the one that came', async t => {
  const { holder } = await start(t, {}, {
    fastify: { rewriteUrl: ({ url = '' }) => url.replace('/api/', '/') }
  })
  const { access_token: token } = await signIn(holder)
  t.equal((await holder.once('GET', '/protected?a=1', { token })).statusCode, 200)
  t.equal(
    (await holder.once('GET', '/protected?a=1', {
      token,
      claims: { htu: 'http://localhost/protected?b=2#c' }
    })).statusCode,
    200
  )
  t.equal((await holder.once('GET', '/api/protected', { token })).statusCode, 200)
  const inner = await holder.once('GET', '/api/protected', {
    token,
    claims: { htu: 'http://localhost/protected' }
  })
  refused(t, inner, 'AUTH_DPOP_INVALID', 'not the one it was made into')
})

t.test('beside another way in of @fastify/auth, a bound token is still worth nothing without its proof', async t => {
  const { app, holder } = await start(t, {}, {
    before: app => app.register(fastifyAuth),
    after: app => {
      app.get('/either', {
        onRequest: app.auth([app.authenticate, (request, _reply, done) => {
          done(request.headers['x-key'] === 'k' ? undefined : new Error('no key'))
        }])
      }, async request => ({ userId: request.auth?.userId ?? null }))
      app.get('/both', {
        onRequest: app.auth([app.authenticate, app.requireFresh('5m')], { relation: 'and' })
      }, async request => request.auth)
    }
  })
  const { access_token: token } = await signIn(holder)
  t.strictSame((await holder.once('GET', '/either', { token })).json(), { userId: 'u-ann' })
  t.equal((await holder.once('GET', '/both', { token })).statusCode, 200)
  const bearer = { authorization: `Bearer ${token}` }
  t.not((await app.inject({ url: '/either', headers: bearer })).statusCode, 200)
  t.not((await app.inject({ url: '/both', headers: bearer })).statusCode, 200)
  const other = await app.inject({ url: '/either', headers: { ...bearer, 'x-key': 'k' } })
  t.strictSame([other.statusCode, other.json(), other.headers['www-authenticate']], [200, {
    userId: null
  }, undefined])
  const wrong = await holder.once('GET', '/either', {
    token,
    claims: { htm: 'POST' },
    headers: { 'x-key': 'k' }
  })
  t.strictSame([wrong.statusCode, wrong.json()], [200, { userId: null }])
})

t.test('no answer and no log at level trace holds a proof, a nonce or what is read of them', async t => {
  let log = ''
  const stream = new Writable({
    write (line, _encoding, done) {
      log += String(line)
      done()
    }
  })
  const { app, holder, clock } = await start(t, {}, {
    fastify: { logger: { level: 'trace', stream } }
  })
  const jti = 'MARK-jti'
  const answers: LightMyRequestResponse[] = []
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder, {
    claims: { jti: `${jti}-1` }
  })
  const proofs = [
    holder.prove('GET', '/protected', { jti, ath: athOf(token) }),
    holder.prove('GET', '/protected', { jti, ath: 'MARK-ath' }),
    holder.prove('MARK-htm', '/protected', { jti }),
    holder.prove('GET', '/MARK-htu', { jti }),
    holder.prove('GET', '/protected', { jti, nonce: 'MARK-nonce' }),
    writeProof(createProofKey(), { jti: ['MARK-jti'] }, { typ: 'MARK-typ' }),
    'MARK-nonsense'
  ]

  for (const dpop of [...proofs, `${proofs[0] ?? ''}, ${proofs[1] ?? ''}`, proofs[0] ?? '']) {
    answers.push(
      await app.inject({ url: '/protected', headers: { dpop, authorization: `DPoP ${token}` } })
    )
    answers.push(
      await app.inject({
        method: 'POST',
        url: '/auth/refresh',
        payload: { refresh_token: refreshToken },
        headers: { dpop }
      })
    )
  }

  t.strictSame(
    answers.map(({ statusCode }) => statusCode).filter(status => status !== 401),
    [200],
    'one of them was good'
  )
  clock.advance(10 * SECOND)
  t.match(log, /"req"/)

  for (
    const [name, text] of [...answers.map(({ body }) => ['a body', body]), [
      'the log',
      log
    ]] as Array<[string, string]>
  ) {
    t.notMatch(text, /MARK/, name)

    if (name !== 'a body' || !text.includes('userId')) {
      t.notMatch(text, /eyJ/, name)
    }

    t.notOk(text.includes(String(holder.nonce)), name)
  }
})

t.test('a client with a secret may change its key and keeps its session; its access tokens are bound to the one that it has', async t => {
  const clientSecret = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
  const { app, holder } = await start(t, {
    issuer: 'https://auth.example',
    oauth: { clients: [{ clientId: 'gateway', clientSecret }] }
  })
  const client = { client_id: 'gateway', client_secret: clientSecret }
  const first = (await holder.send('POST', '/auth/login', { body: { ...credentials, ...client } }))
    .json<TokenResponse>()
  t.ok(claimsOf(first.access_token).cnf)
  const other = new Holder(app)
  other.nonce = holder.nonce
  const dpop = other.prove('POST', '/auth/token')
  const answer = await app.inject({
    method: 'POST',
    url: '/auth/token',
    headers: { dpop, 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: first.refresh_token ?? '',
      ...client
    }).toString()
  })
  t.match([answer.statusCode, answer.json().token_type], [200, 'DPoP'])
  t.not(claimsOf(answer.json().access_token).jti, claimsOf(first.access_token).jti)
  t.notSame(claimsOf(answer.json().access_token).cnf, claimsOf(first.access_token).cnf)
})
