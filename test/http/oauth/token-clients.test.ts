import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { PASSWORD, REALM } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'
import {
  assertRejected,
  basic,
  CLIENT_SECRET,
  clients,
  createOAuthApp,
  decodeClaims
} from './demo.js'
import type { Form, Headers } from './demo.js'
import { getGeneration, GRANT } from './grant.js'

t.test('a client must authenticate with exactly one method', async t => {
  const odd = { clientId: 'a:b+c%/~', clientSecret: 'p:%+&=~!"\'()*-_.<>Zt5vRk2mQx8Lw4Yn' }
  // Secrets as `openssl rand -base64` prints them and curl sends them.
  const plain = { clientId: 'plain', clientSecret: 'Zt5v+k2mQx/Lw4Yn7Bc1+d6Hf9Gs3Pa0==' }
  const app = await createOAuthApp(t, { options: { oauth: { clients: [...clients, odd, plain] } } })
  const orders = { client_id: 'orders', client_secret: CLIENT_SECRET }
  const good = basic('orders', CLIENT_SECRET)
  const table: ReadonlyArray<
    readonly [what: string, form: Form, headers: Headers, status: number, error: string]
  > = [
    ['unknown', { client_id: 'nobody' }, {}, 400, 'invalid_client'],
    ['unknown, by Basic', {}, basic('nobody', CLIENT_SECRET), 401, 'invalid_client'],
    ['no secret', { client_id: 'orders' }, {}, 400, 'invalid_client'],
    ['an empty secret', { client_id: 'orders', client_secret: '' }, {}, 400, 'invalid_client'],
    ['an empty secret, by Basic', {}, basic('orders', ''), 401, 'invalid_client'],
    [
      'a wrong secret',
      { ...orders, client_secret: `${CLIENT_SECRET}x` },
      {},
      400,
      'invalid_client'
    ],
    [
      'a wrong secret, by Basic',
      {},
      basic('orders', CLIENT_SECRET.slice(1)),
      401,
      'invalid_client'
    ],
    [
      'the secret of another client',
      { ...orders, client_secret: `${CLIENT_SECRET}-2` },
      {},
      400,
      'invalid_client'
    ],
    [
      'a secret where there is none',
      { client_id: 'phone', client_secret: CLIENT_SECRET },
      {},
      400,
      'invalid_client'
    ],
    [
      'a secret where there is none, by Basic',
      {},
      basic('phone', CLIENT_SECRET),
      401,
      'invalid_client'
    ],
    ['a secret without a name', { client_secret: CLIENT_SECRET }, {}, 400, 'invalid_client'],
    ['both ways', orders, good, 400, 'invalid_request'],
    [
      'both ways, one of them wrong',
      { ...orders, client_secret: 'x' },
      good,
      400,
      'invalid_request'
    ],
    ['a secret beside Basic', { client_secret: CLIENT_SECRET }, good, 400, 'invalid_request'],
    ['two names', { client_id: 'phone' }, good, 400, 'invalid_request'],
    [
      'Basic without a colon',
      {},
      { authorization: `Basic ${Buffer.from('orders').toString('base64')}` },
      401,
      'invalid_client'
    ],
    ['Basic that is none', {}, { authorization: 'Basic !!!' }, 401, 'invalid_client'],
    [
      'Basic that is none, beside a secret',
      orders,
      { authorization: 'Basic !!!' },
      401,
      'invalid_client'
    ],
    ['Basic alone', orders, { authorization: 'Basic' }, 401, 'invalid_client'],
    ['an access token in place of Basic', {}, { authorization: 'Bearer x' }, 401, 'invalid_client']
  ]
  const { refresh } = await app.signIn('orders')

  for (const [what, form, headers, status, error] of table) {
    assertRejected(
      t,
      await app.send('/auth/token', { ...GRANT, refresh_token: refresh, ...form }, headers),
      status,
      error,
      what
    )
  }

  t.equal(await getGeneration(app, refresh), 0)

  const right: ReadonlyArray<
    readonly [what: string, clientId: string, form: Form, headers: Headers]
  > = [
    ['by its name', 'phone', { client_id: 'phone' }, {}],
    ['by its name, in Basic', 'phone', {}, basic('phone', '')],
    ['by the form', 'orders', orders, {}],
    ['by Basic', 'orders', {}, good],
    ['by Basic in lower case', 'orders', {}, {
      authorization: (good.authorization as string).replace('Basic', 'basic')
    }],
    ['by Basic, and its name', 'orders', { client_id: 'orders', client_secret: '' }, good],
    ['by Basic, with odd characters', odd.clientId, {}, basic(odd.clientId, odd.clientSecret)],
    ['by Basic that is not encoded as a form', 'plain', {}, {
      authorization: `Basic ${Buffer.from(`plain:${plain.clientSecret}`).toString('base64')}`
    }],
    ['by the form, with odd characters', odd.clientId, {
      client_id: odd.clientId,
      client_secret: odd.clientSecret
    }, {}]
  ]

  for (const [what, clientId, form, headers] of right) {
    const { refresh_token: token = '' } = await app.app.tokenAuth.openSession('u-ann', {
      headers: {},
      raw: { rawHeaders: [] }
    }, { clientId })
    t.equal(
      (await app.send('/auth/token', { ...GRANT, refresh_token: token, ...form }, headers))
        .statusCode,
      200,
      what
    )
  }
})

t.test('token rejects two Authorization headers', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn('orders')
  await app.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.app.server.address() as AddressInfo
  const { authorization = '' } = basic('orders', CLIENT_SECRET)
  const status = await new Promise(resolve => {
    request({
      port,
      host: '127.0.0.1',
      method: 'POST',
      path: '/auth/token',
      agent: false,
      headers: {
        Authorization: [authorization, 'Basic eDp5'],
        'content-type': 'application/x-www-form-urlencoded'
      }
    }, response => {
      resolve(response.resume().statusCode)
    }).end(`grant_type=refresh_token&refresh_token=${refresh}`)
  })
  t.equal(status, 400)
  t.equal(await getGeneration(app, refresh), 0)
})

t.test('a refresh token of another client is rejected and stays valid for its owner', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const { refresh_token: second } = (await app.refreshAs(refresh)).json()
  app.clock.advance(MINUTE)
  const before = await app.store.find(REALM, decodeClaims(refresh).sid as string)

  for (const token of [refresh, second]) {
    assertRejected(t, await app.refreshAs(token, { client_id: 'pad' }), 400, 'invalid_grant')
    assertRejected(
      t,
      await app.send(
        '/auth/token',
        { ...GRANT, refresh_token: token },
        basic('orders', CLIENT_SECRET)
      ),
      400,
      'invalid_grant'
    )
    const own = await app.refresh(token)
    t.equal(own.statusCode, 401)
    t.equal(own.json().code, 'AUTH_REFRESH_INVALID')
  }

  t.strictSame(
    await app.store.find(REALM, decodeClaims(refresh).sid as string),
    before,
    'the row is as it was'
  )
  t.equal((await app.refreshAs(second)).statusCode, 200)
  t.notOk(app.events.some(({ name }) => name === 'session-ended' || name === 'reuse'))

  const own = await app.signIn(null)
  assertRejected(t, await app.refreshAs(own.refresh), 400, 'invalid_grant')
  t.equal((await app.refresh(own.refresh)).statusCode, 200)
})

t.test('the tokens of a client cannot use the app\'s session routes except logout', async t => {
  const app = await createOAuthApp(t, {
    options: { accessToken: { lifetime: '15m', renewWithin: '5m' } }
  })
  const { access, refresh } = await app.signIn()
  const own = await app.signIn(null)
  t.equal(
    decodeClaims(own.access).client_id,
    'auth',
    'the registration is the client of the app\'s own'
  )
  t.equal((await app.get('/protected', own.access)).json().clientId, null)
  t.equal('client_id' in decodeClaims(own.refresh), false)

  const sid = decodeClaims(access).sid as string
  const routes = [
    ['GET', '/auth/sessions'],
    ['DELETE', `/auth/sessions/${sid}`],
    ['DELETE', '/auth/sessions'],
    ['POST', '/auth/logout/all'],
    ['GET', '/auth/me']
  ] as const

  for (const [method, url] of routes) {
    const response = await app.app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${access}` }
    })
    t.equal(response.statusCode, 403, `${method} ${url}`)
    t.equal(response.json().code, 'AUTH_CLAIMS_INSUFFICIENT')
  }

  const byRefresh = await app.post('/auth/logout/all', { refresh_token: refresh })
  t.equal(byRefresh.statusCode, 401)
  t.equal(byRefresh.json().code, 'AUTH_REFRESH_INVALID')
  t.equal(await getGeneration(app, refresh), 0, 'the session is still valid')
  t.equal(await getGeneration(app, own.refresh), 0)

  app.clock.advance(14 * MINUTE)
  t.equal(
    (await app.get('/protected', access)).headers['x-new-token'],
    undefined,
    'no token is renewed for a client'
  )
  t.match((await app.get('/protected', own.access)).headers['x-new-token'], /^ey/)

  t.equal((await app.post('/auth/logout', { refresh_token: refresh })).statusCode, 204)
  assertRejected(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  const byAccess = await app.signIn()
  t.equal(
    (await app.post('/auth/logout', undefined, { authorization: `Bearer ${byAccess.access}` }))
      .statusCode,
    204
  )
  assertRejected(t, await app.refreshAs(byAccess.refresh), 400, 'invalid_grant')
})

t.test('a login with client_id opens a session of that client', async t => {
  const app = await createOAuthApp(t, { options: { refreshToken: { transport: 'cookie' } } })
  const person = { username: 'ann', password: PASSWORD }
  const page = { 'sec-fetch-site': 'same-origin' }
  const right: ReadonlyArray<readonly [form: Form, headers: Headers, clientId: string]> = [
    [{ client_id: 'phone' }, {}, 'phone'],
    [{ client_id: 'phone' }, page, 'phone'],
    [{ client_id: 'orders', client_secret: CLIENT_SECRET }, {}, 'orders'],
    [{ client_id: 'orders' }, basic('orders', CLIENT_SECRET), 'orders']
  ]

  for (const [form, headers, clientId] of right) {
    const response = await app.send('/auth/login', { ...person, ...form }, headers)
    t.equal(response.statusCode, 200, JSON.stringify(form))
    t.strictSame(response.cookies, [], 'its tokens are in no cookie')
    const { access_token: access, refresh_token: refresh } = response.json()
    t.equal(decodeClaims(access).client_id, clientId)
    t.equal(decodeClaims(refresh).client_id, clientId)
  }

  const wrong: ReadonlyArray<
    readonly [form: Form, headers: Headers, status: number, code: string]
  > = [
    [{ client_id: 'nobody' }, {}, 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'auth' }, {}, 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'orders' }, {}, 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'orders', client_secret: 'wrong' }, {}, 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'orders' }, basic('orders', 'wrong'), 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'phone', client_secret: CLIENT_SECRET }, {}, 401, 'AUTH_CLIENT_REJECTED'],
    [{ client_id: 'phone' }, basic('orders', CLIENT_SECRET), 400, 'AUTH_REQUEST_INVALID']
  ]

  for (const [form, headers, status, code] of wrong) {
    const response = await app.send('/auth/login', { ...person, ...form }, headers)
    t.equal(response.statusCode, status, JSON.stringify(form))
    t.equal(response.json().code, code)
    t.equal(response.headers['cache-control'], 'no-store')
  }

  t.equal(app.events.filter(({ name }) => name === 'login').length, right.length)
  const { statusCode, cookies } = await app.send('/auth/login', { ...person, client_id: '' }, {
    ...page,
    ...basic('x', 'y')
  })
  t.equal(statusCode, 200)
  t.ok(cookies.length > 0, 'a request without a client gets cookies')
})

t.test('openSession with clientId opens a session of that client', async t => {
  const app = await createOAuthApp(t)
  const nobody = { headers: {}, raw: { rawHeaders: [] } }
  const { access_token: access, refresh_token: refresh = '' } = await app.app.tokenAuth.openSession(
    'u-ann',
    nobody,
    { clientId: 'pad' }
  )
  t.equal((await app.get('/protected', access)).json().clientId, 'pad')
  assertRejected(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  t.equal((await app.refreshAs(refresh, { client_id: 'pad' })).statusCode, 200)

  for (const clientId of ['nobody', 'auth', '']) {
    await t.rejects(
      app.app.tokenAuth.openSession('u-ann', nobody, { clientId }),
      /"clientId" of openSession must be one of "oauth\.clients"/,
      clientId
    )
  }
})

t.test('tokens of a client that was removed are rejected', async t => {
  const app = await createOAuthApp(t)
  const without = await createOAuthApp(t, {
    store: app.store,
    clock: app.clock,
    options: { oauth: { clients: clients.filter(({ clientId }) => clientId !== 'phone') } }
  })
  const phone = await app.signIn('phone')
  const pad = await app.signIn('pad')
  const first = await app.signIn(null)

  for (const { access } of [phone, pad, first]) {
    t.equal((await app.get('/protected', access)).statusCode, 200)
  }

  t.match((await without.get('/protected', phone.access)).json(), {
    statusCode: 401,
    code: 'AUTH_ACCESS_INVALID'
  })
  const refreshed = await without.refreshAs(phone.refresh)
  t.strictSame([refreshed.statusCode, refreshed.json().error], [400, 'invalid_client'])

  for (const { access } of [pad, first]) {
    t.equal((await without.get('/protected', access)).statusCode, 200)
  }
})
