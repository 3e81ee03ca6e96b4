import { randomUUID } from 'node:crypto'
import fastifyAuth from '@fastify/auth'
import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { MINUTE } from '../../helpers/clock.js'
import { DpopClient, hashAccessToken } from '../../helpers/dpop.js'
import { REALM } from '../../helpers/app.js'
import { assertRejected, credentials, decodeClaims, refresh, signIn, start } from './dpop-app.js'

t.test('a bound access token requires a proof of its key for itself and the request', async t => {
  const { app, holder, post } = await start(t)
  const { access_token: token } = await signIn(holder)
  const { access_token: another } = await signIn(holder)
  const thief = new DpopClient(app)
  thief.nonce = holder.nonce
  t.match((await holder.sendOnce('GET', '/protected', { token })).json(), { userId: 'u-ann' })

  for (const scheme of ['dpop', 'DPOP', 'DPoP ']) {
    t.equal(
      (await holder.sendOnce('GET', '/protected', {
        token,
        headers: { authorization: `${scheme} ${token}` }
      })).statusCode,
      200,
      scheme
    )
  }

  const bearer = { authorization: `Bearer ${token}` }
  const bare = await app.inject({ url: '/protected', headers: bearer })
  assertRejected(t, bare, 'AUTH_ACCESS_INVALID', 'as a bearer token')
  t.match(
    bare.headers['www-authenticate'],
    new RegExp(
      '^Bearer realm="auth", error="invalid_token", error_description="[^"]+", ' +
        'DPoP realm="auth", algs="ES256 '
    )
  )
  assertRejected(
    t,
    await app.inject({ url: '/protected', headers: bearer }),
    'AUTH_ACCESS_INVALID',
    'also when it is remembered'
  )
  const proven = await holder.sendOnce('GET', '/protected', { token, headers: bearer })
  assertRejected(t, proven, 'AUTH_ACCESS_INVALID', 'as one with a proof')
  t.match(
    proven.headers['www-authenticate'],
    /^DPoP realm="auth", algs="[^"]+", error="invalid_token", error_description="[^"]+"$/
  )
  assertRejected(
    t,
    await app.inject({ url: '/protected', headers: { authorization: `DPoP ${token}` } }),
    'AUTH_DPOP_INVALID',
    'no proof'
  )
  assertRejected(
    t,
    await thief.sendOnce('GET', '/protected', { token }),
    'AUTH_ACCESS_INVALID',
    'of another key'
  )
  const wrong: Record<string, object> = {
    'of another token': { ath: hashAccessToken(another) },
    'of no token': { ath: undefined },
    'of another method': { htm: 'POST' },
    'of another path': { htu: 'http://localhost/auth/me' },
    'of another host': { htu: 'http://evil.test/protected' }
  }

  for (const [name, claims] of Object.entries(wrong)) {
    const response = await holder.sendOnce('GET', '/protected', { token, claims })
    assertRejected(t, response, 'AUTH_DPOP_INVALID', name)
    t.match(
      response.headers['www-authenticate'],
      /^DPoP realm="auth", algs="[^"]+", error="invalid_dpop_proof"/
    )
  }

  const dpop = holder.createProof('POST', '/auth/logout/all', { ath: hashAccessToken(token) })
  assertRejected(
    t,
    await post('/auth/logout/all', undefined, { dpop, ...bearer }),
    'AUTH_ACCESS_INVALID',
    'nor does it end sessions'
  )
  t.equal((await holder.sendOnce('POST', '/auth/logout/all', { token })).statusCode, 204)
})

t.test('one of 50 concurrent copies of a proof is accepted', async t => {
  const { app, holder, clock } = await start(t)
  const { access_token: token, refresh_token: refreshToken } = await signIn(holder)
  const dpop = holder.createProof('GET', '/protected', { ath: hashAccessToken(token) })
  const send = async (): Promise<LightMyRequestResponse> =>
    app.inject({ url: '/protected', headers: { dpop, authorization: `DPoP ${token}` } })
  const statuses = await Promise.all(
    Array.from({ length: 50 }, async () => (await send()).statusCode)
  )
  t.equal(statuses.filter(status => status === 200).length, 1)
  assertRejected(t, await send(), 'AUTH_DPOP_INVALID', 'later')
  clock.advance(3 * MINUTE)
  assertRejected(t, await send(), 'AUTH_DPOP_NONCE', 'when it is forgotten')

  await holder.send('GET', '/protected', { token })
  const jti = randomUUID()
  t.equal(
    (await holder.sendOnce('POST', '/auth/refresh', {
      body: { refresh_token: refreshToken },
      claims: { jti }
    })).statusCode,
    200
  )
  const again = await holder.sendOnce('POST', '/auth/refresh', {
    body: { refresh_token: refreshToken },
    claims: { jti }
  })
  assertRejected(t, again, 'AUTH_DPOP_INVALID', 'at a refresh too')
  t.match(again.json().message, 'used before')
})

t.test('a verified proof is valid for all hooks and handlers of its request', async t => {
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
  t.strictSame(decodeClaims(anew.json().access_token).cnf, decodeClaims(token).cnf)
})

t.test('proofs of unknown keys are not saved', async t => {
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
  const thief = new DpopClient(app)
  thief.nonce = holder.nonce
  const strange = [
    await thief.sendOnce('GET', '/protected', { token }),
    await thief.sendOnce('GET', '/protected', { token: `${token.slice(0, -4)}AAAA` }),
    await thief.sendOnce('POST', '/auth/login', { body: { ...credentials, password: 'wrong' } }),
    await thief.sendOnce('POST', '/auth/login', { body: { ...credentials, username: 'nobody' } }),
    await thief.sendOnce('POST', '/auth/refresh', { body: { refresh_token: refreshToken } }),
    await thief.sendOnce('POST', '/auth/refresh', { body: { refresh_token: 'x' } }),
    await thief.sendOnce('POST', '/auth/logout', { body: { refresh_token: 'x' } })
  ]
  t.strictSame(strange.map(({ statusCode }) => statusCode), [401, 401, 401, 401, 401, 401, 204])
  t.equal(taken, 1)
})

t.test('a failed replay store results in 503 and rotates no token', async t => {
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
  t.equal((await store.list(REALM, 'u-ann', { now: 0, limit: 9 })).length, 1)
  isDown = false
  t.equal((await refresh(holder, refreshToken)).statusCode, 200)
  t.strictSame(names(), ['login', 'refresh'])
})

t.test('without the option dpop, bound tokens are rejected on every route', async t => {
  const bound = await start(t)
  const { access_token: token, refresh_token: refreshToken } = await signIn(bound.holder)
  const { app, login, holder, row } = await start(t, { dpop: false }, {
    store: bound.store,
    clock: bound.clock
  })
  const before = await row()
  const bearer = { authorization: `Bearer ${token}` }

  for (const url of ['/protected', '/auth/me', '/auth/sessions']) {
    assertRejected(t, await holder.sendOnce('GET', url, { token }), 'AUTH_ACCESS_MISSING', url)
    assertRejected(
      t,
      await holder.sendOnce('GET', url, { headers: bearer }),
      'AUTH_ACCESS_INVALID',
      url
    )
    assertRejected(t, await app.inject({ url, headers: bearer }), 'AUTH_ACCESS_INVALID', url)
  }

  for (
    const response of [
      await holder.sendOnce('POST', '/auth/refresh', { body: { refresh_token: refreshToken } }),
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

t.test('@fastify/auth does not accept a bound token without its proof', async t => {
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
  t.strictSame((await holder.sendOnce('GET', '/either', { token })).json(), { userId: 'u-ann' })
  t.equal((await holder.sendOnce('GET', '/both', { token })).statusCode, 200)
  const bearer = { authorization: `Bearer ${token}` }
  t.not((await app.inject({ url: '/either', headers: bearer })).statusCode, 200)
  t.not((await app.inject({ url: '/both', headers: bearer })).statusCode, 200)
  const other = await app.inject({ url: '/either', headers: { ...bearer, 'x-key': 'k' } })
  t.strictSame([other.statusCode, other.json(), other.headers['www-authenticate']], [200, {
    userId: null
  }, undefined])
  const wrong = await holder.sendOnce('GET', '/either', {
    token,
    claims: { htm: 'POST' },
    headers: { 'x-key': 'k' }
  })
  t.strictSame([wrong.statusCode, wrong.json()], [200, { userId: null }])
})
