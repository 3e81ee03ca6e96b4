import cookie from '@fastify/cookie'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import type { TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { createProofKey, DpopClient, hashAccessToken } from '../../helpers/dpop.js'
import { assertRejected, credentials, decodeClaims, refresh, signIn, start } from './dpop-app.js'

t.test('a login with a proof binds its tokens to the key', async t => {
  const { app, holder, get } = await start(t)
  const key = createProofKey('ES256')
  const jkt = await jose.calculateJwkThumbprint(key.jwk as jose.JWK)
  const { access_token: access, refresh_token: token, token_type: type } = await signIn(
    new DpopClient(app, key)
  )
  t.equal(type, 'DPoP')
  t.strictSame(decodeClaims(access).cnf, { jkt })
  t.strictSame(decodeClaims(token).cnf, { jkt })
  const plain = (await app.inject({ method: 'POST', url: '/auth/login', payload: credentials }))
    .json()
  t.equal(plain.token_type, 'bearer', 'without a proof, the token is a bearer token')
  t.notOk(decodeClaims(plain.access_token).cnf)
  t.equal((await get('/protected', plain.access_token)).statusCode, 200)
  assertRejected(
    t,
    await holder.send('GET', '/protected', { token: plain.access_token }),
    'AUTH_ACCESS_INVALID',
    'which is none under the scheme DPoP'
  )
})

t.test('a copied refresh token without the key does not change the session', async t => {
  // The feed polls by a timer and would report the broken store as an event.
  const { app, post, holder, clock, breakable, row, names } = await start(t, { revocations: false })
  const thief = new DpopClient(app)
  const { refresh_token: first } = await signIn(holder)

  const steal = async (token: string, name: string): Promise<void> => {
    const before = [await row(), names()]
    breakable.break('throws')
    assertRejected(
      t,
      await post('/auth/refresh', { refresh_token: token }),
      'AUTH_DPOP_INVALID',
      `${name}, without a proof`
    )
    assertRejected(
      t,
      await refresh(thief, token),
      'AUTH_REFRESH_INVALID',
      `${name}, with another key`
    )

    for (const dpop of ['', 'x', 'x, y']) {
      assertRejected(
        t,
        await post('/auth/refresh', { refresh_token: token }, { dpop }),
        'AUTH_DPOP_INVALID',
        `${name}, ${dpop}`
      )
    }

    const dpop = holder.createProof('POST', '/auth/login')
    assertRejected(
      t,
      await post('/auth/refresh', { refresh_token: token }, { dpop }),
      'AUTH_DPOP_INVALID',
      `${name}, with a proof for another request`
    )
    breakable.break(null)
    t.strictSame(
      [await row(), names()],
      before,
      'the session is unchanged, and the store was not called'
    )
  }

  const next = async (token: string): Promise<string> =>
    (await refresh(holder, token)).json().refresh_token
  await steal(first, 'the current one')
  const second = await next(first)
  await steal(first, 'a replay within grace')
  t.equal(await next(first), second, 'with the key, the response contains the same token')
  t.equal(await next(second), second, 'the current token stays current')
  clock.advance(MINUTE)
  const third = await next(second)
  clock.advance(MINUTE)
  await steal(second, 'a recovery after grace')
  t.equal(await next(second), third, 'the key recovers the session')
  clock.advance(DAY)
  const fourth = await next(third)
  await steal(first, 'an old token')
  await steal(third, 'the previous token')
  clock.advance(MINUTE)
  t.ok(await next(fourth), 'the session is still valid')
  t.notMatch(names(), /reuse|revoke/)
  clock.advance(1)
  assertRejected(
    t,
    await refresh(holder, first),
    'AUTH_REFRESH_REUSED',
    'with the key, an ancient one is reuse'
  )
  t.strictSame(names().filter(name => name === 'reuse' || name === 'session-ended').sort(), [
    'reuse',
    'session-ended'
  ])
  assertRejected(
    t,
    await refresh(holder, fourth),
    'AUTH_REFRESH_REVOKED',
    'and the session is over'
  )
})

t.test('a bound access token confirms its generation only with its proof', async t => {
  for (const isProven of [false, true]) {
    const { app, holder, clock } = await start(t)
    const { refresh_token: first } = await signIn(holder)
    const { access_token: token } = (await refresh(holder, first)).json()
    const thief = new DpopClient(app)

    for (const authorization of [`Bearer ${token}`, `DPoP ${token}`]) {
      await app.inject({ url: '/protected', headers: { authorization } })
    }

    await thief.send('GET', '/protected', { token })
    await holder.sendOnce('GET', '/protected', { token, claims: { ath: 'x' } })

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

t.test('a refresh with a proof binds the access token of an unbound session', async t => {
  const { app, holder, login, refresh: refreshBare, clock } = await start(t)
  const { refresh_token: first = '' } = await login()
  const response = await refresh(holder, first)
  t.equal(response.json().token_type, 'DPoP')
  const { access_token: token, refresh_token: second } = response.json()
  t.ok(decodeClaims(token).cnf)
  t.notOk(decodeClaims(second).cnf)
  t.equal((await holder.sendOnce('GET', '/protected', { token })).statusCode, 200)
  assertRejected(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `Bearer ${token}` } }),
    'AUTH_ACCESS_INVALID',
    'as bearer'
  )
  clock.advance(MINUTE)
  const bare = (await refreshBare(second)).json()
  t.equal(bare.token_type, 'bearer', 'without a proof, the token is a bearer token')
  t.notOk(decodeClaims(bare.access_token).cnf)
})

t.test('a silently renewed access token stays bound to its key', async t => {
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
  t.notOk(bare.headers['x-new-token'], 'a client without a key gets no bound token')
  const { headers } = await holder.send('GET', '/protected', { token })
  const renewed = String(headers['x-new-token'])
  t.strictSame(decodeClaims(renewed).cnf, decodeClaims(token).cnf)
  t.equal((await holder.sendOnce('GET', '/protected', { token: renewed })).statusCode, 200)
  assertRejected(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `Bearer ${renewed}` } }),
    'AUTH_ACCESS_INVALID',
    'as bearer'
  )
})

t.test('bound tokens in cookies require a proof', async t => {
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
  t.ok(decodeClaims(access).cnf)
  const ath = hashAccessToken(access)
  t.equal(
    (await holder.sendOnce('GET', '/protected', { headers, claims: { ath } })).statusCode,
    200
  )
  assertRejected(t, await app.inject({ url: '/protected', headers }), 'AUTH_DPOP_INVALID', 'none')
  t.equal(
    (await holder.sendOnce('GET', '/protected', { headers })).statusCode,
    200,
    'a page cannot name a token that it cannot read'
  )
  const thief = new DpopClient(app)
  thief.nonce = holder.nonce
  assertRejected(
    t,
    await thief.sendOnce('GET', '/protected', { headers, claims: { ath } }),
    'AUTH_ACCESS_INVALID',
    'of another key'
  )
  assertRejected(
    t,
    await app.inject({ method: 'POST', url: '/auth/refresh', headers }),
    'AUTH_DPOP_INVALID',
    'a refresh without'
  )
  t.equal((await holder.sendOnce('POST', '/auth/refresh', { headers })).statusCode, 200)
})

t.test('logout/all with a bound refresh token requires a proof of its key', async t => {
  const { app, holder, post } = await start(t)
  const { refresh_token: token, access_token: access } = await signIn(holder)
  const body = { refresh_token: token }
  const url = '/auth/logout/all'
  assertRejected(t, await post(url, body), 'AUTH_DPOP_INVALID', 'without a proof')
  const thief = new DpopClient(app, createProofKey('ES256'))
  assertRejected(
    t,
    await thief.send('POST', url, { body }),
    'AUTH_REFRESH_INVALID',
    'of another key'
  )
  t.equal((await holder.sendOnce('GET', '/protected', { token: access })).statusCode, 200)
  const dpop = holder.createProof('POST', url)
  t.equal((await post(url, body, { dpop })).statusCode, 204)
  const second = await signIn(holder)
  assertRejected(
    t,
    await post(url, { refresh_token: second.refresh_token }, { dpop }),
    'AUTH_DPOP_INVALID',
    'a proof that was consumed'
  )
})

t.test('logout requires no proof', async t => {
  const { app, holder, post } = await start(t)
  const ways: Array<(answer: TokenResponse) => Promise<LightMyRequestResponse>> = [
    ({ refresh_token: token }) => post('/auth/logout', { refresh_token: token }),
    ({ access_token: token }) =>
      post('/auth/logout', undefined, { authorization: `DPoP ${token}` }),
    ({ access_token: token }) => holder.sendOnce('POST', '/auth/logout', { token })
  ]

  for (const way of ways) {
    const answer = await signIn(holder)
    t.equal((await way(answer)).statusCode, 204)
    assertRejected(
      t,
      await refresh(holder, answer.refresh_token),
      'AUTH_REFRESH_REVOKED',
      'it is over'
    )
    assertRejected(
      t,
      await holder.sendOnce('GET', '/protected', { token: answer.access_token }),
      'AUTH_SESSION_REVOKED',
      'at once'
    )
  }

  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 0)
})

t.test('openSession binds the session to the key of the proof in the request', async t => {
  const { app, holder } = await start(t, {}, {
    after: app => {
      app.post('/passkey', async request => app.tokenAuth.openSession('u-ann', request))
    }
  })
  assertRejected(
    t,
    await holder.sendOnce('POST', '/passkey'),
    'AUTH_DPOP_NONCE',
    'the nonce comes first'
  )
  const answer = (await holder.sendOnce('POST', '/passkey')).json()
  t.equal(answer.token_type, 'DPoP')
  t.equal(
    (await holder.sendOnce('GET', '/protected', { token: answer.access_token })).statusCode,
    200
  )
  assertRejected(
    t,
    await app.inject({ method: 'POST', url: '/passkey', headers: { dpop: 'x' } }),
    'AUTH_DPOP_INVALID',
    'a wrong one opens nothing'
  )
  t.equal((await app.inject({ method: 'POST', url: '/passkey' })).json().token_type, 'bearer')
  t.equal((await app.tokenAuth.listSessions('u-ann')).length, 2)
})

t.test('with dpop.required, a login without a proof opens no session', async t => {
  const store = new MemoryStore()
  const before = await createTestApp({ store })
  t.teardown(() => before.app.close())
  const old = await before.login()
  const world = await start(t, { dpop: { required: true } }, { store, clock: before.clock })
  const { app, holder, get, post, refresh: refreshBare, names } = world
  const response = await post('/auth/login', credentials)
  assertRejected(t, response, 'AUTH_DPOP_INVALID', 'none')
  t.equal(response.json().message, 'DPoP proof is invalid: request must have a DPoP header')
  t.match(response.headers['www-authenticate'], /DPoP realm="auth", algs="/)
  assertRejected(
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

t.test('a confidential client can change its key during a session', async t => {
  const clientSecret = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
  const { app, holder } = await start(t, {
    issuer: 'https://auth.example',
    oauth: { clients: [{ clientId: 'gateway', clientSecret }] }
  })
  const client = { client_id: 'gateway', client_secret: clientSecret }
  const first = (await holder.send('POST', '/auth/login', { body: { ...credentials, ...client } }))
    .json<TokenResponse>()
  t.ok(decodeClaims(first.access_token).cnf)
  const other = new DpopClient(app)
  other.nonce = holder.nonce
  const dpop = other.createProof('POST', '/auth/token')
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
  t.not(decodeClaims(answer.json().access_token).jti, decodeClaims(first.access_token).jti)
  t.notSame(decodeClaims(answer.json().access_token).cnf, decodeClaims(first.access_token).cnf)
})
