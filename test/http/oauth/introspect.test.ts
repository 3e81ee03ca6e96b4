import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, DAY, MINUTE } from '../../helpers/clock.js'
import { REALM } from '../../helpers/app.js'
import { assertRejected, basic, createOAuthApp, decodeClaims, ISSUER } from './demo.js'
import type { Form, Headers } from './demo.js'
import { asOrders, inspect, ORDERS, OTHER_SECRET } from './introspection.js'

const INACTIVE = '{"active":false}'

const pair = generateKeyPairSync('ed25519').privateKey

t.test('only clients with a secret can introspect tokens', async t => {
  const app = await createOAuthApp(t)
  const { access: token } = await app.signIn()
  const table: ReadonlyArray<
    readonly [what: string, form: Form | string, status: number, error: string, headers?: Headers]
  > = [
    ['nobody', { token }, 401, 'invalid_client'],
    ['a public client', { token, client_id: 'phone' }, 401, 'invalid_client'],
    ['a public client, by Basic', { token }, 401, 'invalid_client', basic('phone', '')],
    ['unknown', { token, client_id: 'nobody' }, 401, 'invalid_client'],
    ['no secret', { token, client_id: 'orders' }, 401, 'invalid_client'],
    [
      'a wrong secret',
      { token, client_id: 'orders', client_secret: 'wrong' },
      401,
      'invalid_client'
    ],
    ['a wrong secret, by Basic', { token }, 401, 'invalid_client', basic('orders', 'wrong')],
    ['the token itself', { token }, 401, 'invalid_client', { authorization: `Bearer ${token}` }],
    ['two ways', { token, ...asOrders }, 400, 'invalid_request', ORDERS],
    ['no token', {}, 400, 'invalid_request', ORDERS],
    ['an empty token', { token: '' }, 400, 'invalid_request', ORDERS],
    ['two tokens', `token=${token}&token=${token}`, 400, 'invalid_request', ORDERS],
    ['JSON', JSON.stringify({ token }), 400, 'invalid_request', {
      ...ORDERS,
      'content-type': 'application/json'
    }],
    ['a text', `token=${token}`, 400, 'invalid_request', {
      ...ORDERS,
      'content-type': 'text/plain'
    }],
    ['a body that is too big', { token, x: 'x'.repeat(20_000) }, 400, 'invalid_request', ORDERS]
  ]

  for (const [what, form, status, error, headers] of table) {
    assertRejected(t, await app.send('/auth/introspect', form, headers), status, error, what)
  }

  assertRejected(
    t,
    await app.send(`/auth/introspect?token=${token}`, {}, ORDERS),
    400,
    'invalid_request',
    'the token in the URL'
  )

  for (const method of ['GET', 'HEAD', 'PUT'] as const) {
    t.equal(
      (await app.app.inject({ method, url: `/auth/introspect?token=${token}`, headers: ORDERS }))
        .statusCode,
      404,
      method
    )
  }

  for (const hint of ['access_token', 'refresh_token', 'bogus', '']) {
    t.match((await app.send('/auth/introspect', { token, token_type_hint: hint }, ORDERS)).json(), {
      active: true
    }, hint)
  }

  t.match((await app.send('/auth/introspect', { token, ...asOrders })).json(), { active: true })
})

t.test('introspection returns the claims of a valid token', async t => {
  const app = await createOAuthApp(t, { options: { keys: [pair] } })
  const iat = app.clock() / 1000

  for (
    const [clientId, named] of [['phone', 'phone'], ['orders', 'orders'], [null, 'auth']] as const
  ) {
    const { access } = await app.signIn(clientId)
    const { answer } = await inspect(t, app, access)
    t.strictSame(
      answer,
      { ...decodeClaims(access), active: true, token_type: 'Bearer' },
      'its own claims, and no other'
    )
    t.match(answer, {
      iss: ISSUER,
      aud: 'api',
      sub: 'u-ann',
      client_id: named,
      iat,
      exp: iat + 900,
      jti: /./
    })
  }

  const { refresh } = await app.signIn('orders')
  const { answer, body } = await inspect(t, app, refresh)
  t.match(answer, {
    active: true,
    sub: 'u-ann',
    client_id: 'orders',
    iat,
    exp: iat + 7 * 24 * 3600
  })
  t.notHas(answer, 'secret')
  t.notMatch(body, decodeClaims(refresh).secret as string)
  t.strictSame(
    [...new Set(app.events.map(({ name }) => name))],
    ['login'],
    'nothing is moved by it'
  )
  t.match(await app.store.find(REALM, decodeClaims(refresh).sid as string), {
    generation: 0,
    confirmedGeneration: 0,
    revokedAt: null
  })
})

t.test('introspection of an access token confirms its generation', async t => {
  const app = await createOAuthApp(t)
  const other = await createOAuthApp(t, { store: app.store, clock: app.clock })
  const { refresh: first } = await app.signIn('phone')
  const { access_token: access, refresh_token: second } = (await app.refreshAs(first)).json()
  t.match((await inspect(t, other, second)).answer, { active: false }, 'of another client')
  t.match((await inspect(t, other, access)).answer, { active: true, sub: 'u-ann' })
  app.clock.advance(MINUTE)
  const reused = await other.refreshAs(first)
  t.strictSame([reused.statusCode, reused.json().error], [400, 'invalid_grant'])
  t.match(other.events.at(-1), { name: 'reuse' })
})

t.test('introspection confirms nothing with confirmBy "refresh"', async t => {
  const app = await createOAuthApp(t, { options: { refreshToken: { confirmBy: 'refresh' } } })
  const { refresh: first } = await app.signIn('phone')
  const { access_token: access, refresh_token: second } = (await app.refreshAs(first)).json()
  t.match((await inspect(t, app, access)).answer, { active: true })
  app.clock.advance(MINUTE)
  t.equal((await app.refreshAs(first)).json().refresh_token, second, 'recovered')
})

t.test('claims of the app do not replace members of the introspection response', async t => {
  const claims = (): object => ({ active: false, token_type: 'x', scope: 'read' })
  const app = await createOAuthApp(t, {
    options: { users: { findByLogin: () => null, findById: id => ({ id }), claims } }
  })
  const { access_token: access } = await app.app.tokenAuth.openSession('u-ann', {
    headers: {},
    raw: { rawHeaders: [] }
  }, { clientId: 'phone' })
  t.match((await inspect(t, app, access)).answer, {
    active: true,
    token_type: 'Bearer',
    scope: 'read'
  })
})

t.test('introspection of any invalid token returns only active false', async t => {
  const clock = createClock()
  const app = await createOAuthApp(t, { clock, options: { keys: [pair] } })
  const { store } = app
  const others = {
    'of another store': await createOAuthApp(t, { clock, options: { keys: [pair] } }),
    'of another registration': await createOAuthApp(t, {
      clock,
      store,
      options: { name: 'other', prefix: '/auth' }
    }),
    'for another audience': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], audience: 'other' }
    }),
    'of another issuer': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], issuer: `${ISSUER}/other` }
    }),
    'by another key': await createOAuthApp(t, {
      clock,
      store,
      options: { secret: OTHER_SECRET, keys: [generateKeyPairSync('ed25519').privateKey] }
    }),
    'by a secret': await createOAuthApp(t, { clock, store, options: { secret: OTHER_SECRET } }),
    'that names no client': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], oauth: undefined as never }
    })
  }
  const tokens: Record<string, string> = {
    garbage: 'garbage',
    blank: ' ',
    odd: '"\\\0é',
    'too long': 'x'.repeat(9000)
  }

  for (const [what, other] of Object.entries(others)) {
    tokens[what] = (await other.signIn(null)).access
  }

  tokens['a refresh token of another store'] =
    (await others['of another store'].signIn('orders')).refresh
  tokens['a refresh token by another secret'] =
    (await others['by a secret'].signIn('orders')).refresh

  const gone = await app.signIn('orders', 'bob')
  const disabled = await app.signIn('orders', 'cyd')
  app.users.delete('u-bob')
  const cyd = app.users.get('u-cyd')

  if (cyd) {
    cyd.disabled = true
  }

  const over = await app.signIn('orders')
  clock.advance(15 * MINUTE)
  tokens['an access token that has ended'] = over.access
  const revoked = await app.signIn('orders')
  await app.send('/auth/revoke', { token: revoked.access }, ORDERS)
  Object.assign(tokens, {
    'revoked, access': revoked.access,
    'revoked, refresh': revoked.refresh,
    'user gone, access': gone.access,
    'user gone, refresh': gone.refresh,
    'user disabled, access': disabled.access,
    'user disabled, refresh': disabled.refresh,
    'a refresh token of another client': (await app.signIn('stock')).refresh,
    'a refresh token of a public client': (await app.signIn()).refresh,
    'a refresh token of the app itself': (await app.signIn(null)).refresh
  })
  const { access, refresh } = await app.signIn('orders')
  t.match((await inspect(t, app, access)).answer, { active: true })
  t.match((await inspect(t, app, refresh)).answer, { active: true })
  tokens['another signature'] = `${access.slice(0, -5)}AAAAA`
  tokens['another signature, refresh'] = `${refresh.slice(0, -5)}AAAAA`
  const second = (await app.refreshAs(refresh, asOrders)).json().refresh_token
  clock.advance(MINUTE)
  await app.refreshAs(second, asOrders)
  tokens['an old generation'] = refresh

  for (const [what, token] of Object.entries(tokens)) {
    t.equal((await inspect(t, app, token)).body, INACTIVE, what)
  }

  clock.advance(8 * DAY)
  t.equal((await inspect(t, app, second)).body, INACTIVE, 'expired')
  t.notOk(app.events.some(({ name }) => name === 'reuse'), 'the session is still valid')
})

t.test('introspection results in 503 while the store is unavailable', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const app = await createOAuthApp(t, { store: breakable.store, options: { storeTimeout: '40ms' } })
  const { access, refresh } = await app.signIn('orders')

  for (const fault of ['throws', 'hangs'] as const) {
    breakable.break(fault)

    for (const token of [access, refresh]) {
      const response = await app.send('/auth/introspect', { token }, ORDERS)
      assertRejected(t, response, 503, 'temporarily_unavailable', fault)
      t.equal(response.headers['retry-after'], '1')
    }

    t.equal((await inspect(t, app, 'garbage')).body, INACTIVE)
  }
})

t.test('introspection returns inactive immediately for a disabled user', async t => {
  const app = await createOAuthApp(t)
  const { access, refresh } = await app.signIn('orders')
  const ann = app.users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  for (const token of [access, refresh]) {
    t.equal((await inspect(t, app, token)).body, INACTIVE)
  }

  t.equal((await app.get('/protected', access)).statusCode, 200)
  t.equal((await app.refreshAs(refresh, asOrders)).statusCode, 400)
  t.equal((await app.get('/protected', access)).statusCode, 401)
})
