// POST token, as RFC 6749 sections 2.3, 5 and 6 and RFC 9700 section 4.14 have it; and what the tokens of a client are good for.

import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { basic, claimsOf, CLIENT_SECRET, clients, createOAuthApp, refused } from './demo.js'
import type { Form, Headers, OAuthApp } from './demo.js'

const GRANT = { grant_type: 'refresh_token' }
const JSON_TYPE = { 'content-type': 'application/json' }

async function generationOf (app: OAuthApp, refreshToken: string): Promise<number | undefined> {
  const session = await app.store.find(claimsOf(refreshToken).sid as string)
  return session?.revokedAt === null ? session.generation : undefined
}

t.test('a refresh is answered as clients expect it', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const response = await app.refreshAs(refresh)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' })
  const { access_token: access, refresh_token: next, ...rest } = response.json()
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 900 })
  t.match(claimsOf(access), {
    client_id: 'phone',
    sub: 'u-ann',
    iss: 'https://auth.example.org',
    aud: 'api',
    gen: 1
  })
  t.match(claimsOf(next), { client_id: 'phone', gen: 1 })
  t.match(next, /^[\x20-\x7e]{128,}$/)
  t.match((await app.get('/protected', access)).json(), { userId: 'u-ann', clientId: 'phone' })
})

t.test('what is malformed is refused, in one shape, and moves nothing', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const good = { ...GRANT, client_id: 'phone', refresh_token: refresh }
  const text = new URLSearchParams(good).toString()
  const table: ReadonlyArray<
    readonly [what: string, form: Form | string, status: number, error: string, headers?: Headers]
  > = [
    ['no body', '', 400, 'invalid_request'],
    ['no grant_type', { client_id: 'phone', refresh_token: refresh }, 400, 'invalid_request'],
    ['an empty grant_type', { ...good, grant_type: '' }, 400, 'invalid_request'],
    ['no refresh_token', { ...GRANT, client_id: 'phone' }, 400, 'invalid_request'],
    ['an empty refresh_token', { ...good, refresh_token: '' }, 400, 'invalid_request'],
    ['a repeated grant_type', `${text}&grant_type=refresh_token`, 400, 'invalid_request'],
    ['a repeated refresh_token', `${text}&refresh_token=x`, 400, 'invalid_request'],
    ['a repeated client_id', `${text}&client_id=phone`, 400, 'invalid_request'],
    ['a repeated one that nobody knows', `${text}&foo=1&foo=1`, 400, 'invalid_request'],
    ['__proto__', `${text}&__proto__=1`, 400, 'invalid_request'],
    ...[
      'password',
      'authorization_code',
      'client_credentials',
      'Refresh_Token',
      'constructor',
      'urn:ietf:params:oauth:grant-type:token-exchange'
    ].map(grant =>
      [
        grant,
        { ...good, grant_type: grant, username: 'ann', password: PASSWORD },
        400,
        'unsupported_grant_type'
      ] as const
    ),
    ['no client', { ...GRANT, refresh_token: refresh }, 400, 'invalid_client'],
    ['an empty client_id', { ...good, client_id: '' }, 400, 'invalid_client'],
    ['JSON', JSON.stringify(good), 400, 'invalid_request', JSON_TYPE],
    ['JSON that is none', '{"grant_type":', 400, 'invalid_request', JSON_TYPE],
    ['a text', text, 400, 'invalid_request', { 'content-type': 'text/plain' }],
    ['a multipart form', text, 400, 'invalid_request', {
      'content-type': 'multipart/form-data; boundary=x'
    }],
    ['a type that is none', text, 400, 'invalid_request', { 'content-type': '"\\' }],
    ['a body that is too big', `${text}&x=${'x'.repeat(20_000)}`, 400, 'invalid_request'],
    ['a wrong length', text, 400, 'invalid_request', { 'content-length': '3' }]
  ]

  for (const [what, form, status, error, headers] of table) {
    refused(t, await app.send('/auth/token', form, headers), status, error, what)
  }

  refused(
    t,
    await app.send(`/auth/token?${text}`, ''),
    400,
    'invalid_request',
    'all of it in the URL'
  )
  refused(
    t,
    await app.send(`/auth/token?refresh_token=${refresh}`, { ...GRANT, client_id: 'phone' }),
    400,
    'invalid_request'
  )

  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const) {
    t.equal((await app.app.inject({ method, url: `/auth/token?${text}` })).statusCode, 404, method)
  }

  t.equal(
    (await app.send('/auth/token', { ...good, refresh_token: '' })).body,
    (await app.send('/auth/token', { ...GRANT, client_id: 'phone' })).body,
    'what is empty is absent'
  )
  t.equal(await generationOf(app, refresh), 0, 'nothing was moved')
  t.equal(
    (await app.send(`/auth/token?${text}&client_id=pad`, `${text}&foo=bar&username=ann&state=`))
      .statusCode,
    200,
    'what is unknown is ignored, and so is the URL'
  )
})

// After the Big List of Naughty Strings.
const naughty = [
  '"',
  '\\',
  '\\"',
  '\n',
  '\r\nSet-Cookie: a=b',
  '\0',
  '\t',
  '\u007f',
  '\u0085',
  '\u00e9',
  '\u202e',
  '\ufeff',
  '\uffff',
  'パーティー',
  '👩‍👧',
  '𠜎',
  '<script>alert(1)</script>',
  '\' OR 1=1 --',
  '{{7*7}}',
  '%00',
  '%0a',
  '%ff',
  '+',
  '&',
  ';',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'NaN',
  '{}',
  '[]',
  '[object Object]',
  'true',
  '0',
  '-1',
  '1e999',
  ' ',
  'a b',
  '...',
  'e30.e30.',
  'x'.repeat(9000)
]

t.test('odd texts come back in no answer, and out of the characters of no error', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const good = {
    ...GRANT,
    client_id: 'phone',
    refresh_token: refresh,
    scope: 'read',
    resource: 'x'
  }

  for (
    const parameter of [
      'grant_type',
      'client_id',
      'client_secret',
      'refresh_token',
      'scope',
      'resource'
    ]
  ) {
    for (const text of naughty) {
      const response = await app.send('/auth/token', { ...good, [parameter]: text })

      if (response.statusCode !== 400) {
        t.fail(`${parameter} ${JSON.stringify(text)}: ${response.statusCode}`)
      }

      const body = response.json<Record<string, string>>()
      const isSound = Object.keys(body).join() === 'error,error_description' &&
        /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(Object.values(body).join(''))

      if (!isSound) {
        t.fail(`${parameter} ${JSON.stringify(text)}: ${response.body}`)
      }
    }
  }

  for (const text of naughty) {
    const encoded = Buffer.from(text).toString('base64')

    for (
      const authorization of [
        `Basic ${encoded}`,
        `Basic ${Buffer.from(`${text}:${text}`).toString('base64')}`
      ]
    ) {
      refused(
        t,
        await app.send('/auth/token', { ...GRANT, refresh_token: refresh }, { authorization }),
        401,
        'invalid_client',
        text
      )
    }
  }

  t.equal(await generationOf(app, refresh), 0)
})

t.test('one answer for whatever is wrong with a refresh token', async t => {
  const app = await createOAuthApp(t, {
    options: { refreshToken: { lifetime: '7d', maxLifetime: '30d' } }
  })
  const other = await createOAuthApp(t, { clock: app.clock })
  const foreign = await app.signIn('pad')
  const own = await app.signIn(null)
  const gone = await app.signIn('phone', 'cyd')
  const disabled = await app.signIn('phone', 'bob')
  const revoked = await app.signIn()
  await app.send('/auth/revoke', { client_id: 'phone', token: revoked.refresh })
  const { access } = await app.signIn()
  const expired = await app.signIn()
  app.clock.advance(8 * DAY)
  const reused = await app.signIn()
  const { refresh_token: second } = (await app.refreshAs(reused.refresh)).json()
  app.clock.advance(MINUTE)
  t.equal((await app.refreshAs(second)).statusCode, 200)
  app.users.delete('u-cyd')
  const bob = app.users.get('u-bob')

  if (bob) {
    bob.disabled = true
  }

  const cases = {
    garbage: 'garbage',
    unknown: (await other.signIn()).refresh,
    expired: expired.refresh,
    revoked: revoked.refresh,
    reused: reused.refresh,
    'ended by the reuse': second,
    'of another client': foreign.refresh,
    'of the app itself': own.refresh,
    'an access token': access,
    'another signature': `${reused.refresh.slice(0, -5)}AAAAA`,
    'of a user who is disabled': disabled.refresh,
    'of a user who is gone': gone.refresh
  }
  const answers = new Set<string>()

  for (const [what, token] of Object.entries(cases)) {
    const response = await app.refreshAs(token)
    refused(t, response, 400, 'invalid_grant', what)
    const { date, ...headers } = response.headers
    answers.add(JSON.stringify([response.body, headers]))
  }

  t.equal(answers.size, 1, 'byte for byte')
})

t.test('a client says who it is in one way, and proves it', async t => {
  const odd = { clientId: 'a:b+c%/~', clientSecret: 'p:%+&=~!"\'()*-_.<>Zt5vRk2mQx8Lw4Yn' }
  // As `openssl rand -base64` prints them, and as curl sends them.
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
    refused(
      t,
      await app.send('/auth/token', { ...GRANT, refresh_token: refresh, ...form }, headers),
      status,
      error,
      what
    )
  }

  t.equal(await generationOf(app, refresh), 0)

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

t.test('two Authorization headers are one too many', async t => {
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
  t.equal(await generationOf(app, refresh), 0)
})

t.test('a refresh token is good for its client alone, and whoever else tries it does no harm', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const { refresh_token: second } = (await app.refreshAs(refresh)).json()
  app.clock.advance(MINUTE)
  const before = await app.store.find(claimsOf(refresh).sid as string)

  for (const token of [refresh, second]) {
    refused(t, await app.refreshAs(token, { client_id: 'pad' }), 400, 'invalid_grant')
    refused(
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
    await app.store.find(claimsOf(refresh).sid as string),
    before,
    'the row is as it was'
  )
  t.equal((await app.refreshAs(second)).statusCode, 200)
  t.notOk(app.events.some(({ name }) => name === 'revoke' || name === 'reuse'))

  const own = await app.signIn(null)
  refused(t, await app.refreshAs(own.refresh), 400, 'invalid_grant')
  t.equal((await app.refresh(own.refresh)).statusCode, 200)
})

t.test('a client may log its session out, and does nothing else with the app\'s own routes', async t => {
  const app = await createOAuthApp(t, {
    options: { accessToken: { lifetime: '15m', renewWithin: '5m' } }
  })
  const { access, refresh } = await app.signIn()
  const own = await app.signIn(null)
  t.equal(
    claimsOf(own.access).client_id,
    'auth',
    'the registration is the client of the app\'s own'
  )
  t.equal((await app.get('/protected', own.access)).json().clientId, null)
  t.equal('client_id' in claimsOf(own.refresh), false)

  const sid = claimsOf(access).sid as string
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

  t.equal(await generationOf(app, refresh), 0, 'its session lives')
  t.equal(await generationOf(app, own.refresh), 0)

  app.clock.advance(14 * MINUTE)
  t.equal(
    (await app.get('/protected', access)).headers['x-new-token'],
    undefined,
    'no token is renewed for a client'
  )
  t.match((await app.get('/protected', own.access)).headers['x-new-token'], /^ey/)

  t.equal((await app.post('/auth/logout', { refresh_token: refresh })).statusCode, 204)
  refused(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  const byAccess = await app.signIn()
  t.equal(
    (await app.post('/auth/logout', undefined, { authorization: `Bearer ${byAccess.access}` }))
      .statusCode,
    204
  )
  refused(t, await app.refreshAs(byAccess.refresh), 400, 'invalid_grant')
})

t.test('scope may not grow, and resource is the audience', async t => {
  const app = await createOAuthApp(t, {
    options: {
      users: {
        findByLogin: () => ({ id: 'u-ann', passwordHash: PASSWORD_HASH }),
        findById: () => ({ id: 'u-ann' }),
        claims: () => ({ scope: 'read write' })
      }
    }
  })
  const { refresh } = await app.signIn()

  for (
    const scope of [
      'admin',
      'read admin',
      'read write admin',
      'READ',
      'read,write',
      ' ',
      'read  write',
      'rea'
    ]
  ) {
    refused(t, await app.refreshAs(refresh, { scope }), 400, 'invalid_scope', scope)
  }

  for (const resource of ['other', 'https://api.example.org']) {
    refused(t, await app.refreshAs(refresh, { resource }), 400, 'invalid_target', resource)
  }

  t.equal(await generationOf(app, refresh), 0, 'nothing was moved')

  for (
    const form of [{}, { scope: 'read' }, { scope: 'write read' }, { scope: '' }, {
      resource: 'api'
    }, { resource: '' }] as Form[]
  ) {
    const { refresh: token } = await app.signIn()
    const response = await app.refreshAs(token, form)
    t.equal(response.statusCode, 200, JSON.stringify(form))
    t.equal(response.json().scope, 'read write', 'the answer says what the token is good for')
    t.equal(claimsOf(response.json().access_token).scope, 'read write')
  }

  const bare = await createOAuthApp(t)
  const { refresh: token } = await bare.signIn()
  refused(t, await bare.refreshAs(token, { scope: 'read' }), 400, 'invalid_scope')
  t.notHas((await bare.refreshAs(token)).json(), 'scope')
})

t.test('a replay gets the same successor; a reuse ends the session', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.refreshAs(refresh)))
  const successors = new Set(answers.map(answer => answer.json().refresh_token))
  t.equal(successors.size, 1, 'byte for byte')
  const [second = ''] = successors
  app.clock.advance(MINUTE)
  const { access_token: access, refresh_token: third } = (await app.refreshAs(second)).json()
  refused(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  t.match(app.events.filter(({ name }) => name === 'reuse'), [{ userId: 'u-ann' }])
  refused(t, await app.refreshAs(third), 400, 'invalid_grant')
  t.equal((await app.get('/protected', access)).statusCode, 401)
})

t.test('without rotation the refresh token stays as it is', async t => {
  const app = await createOAuthApp(t, { options: { rotation: false } })
  const { refresh } = await app.signIn()

  for (let i = 0; i < 3; i++) {
    app.clock.advance(DAY)
    const response = await app.refreshAs(refresh)
    t.equal(response.statusCode, 200)
    t.notHas(response.json(), 'refresh_token')
  }

  app.clock.advance(5 * DAY)
  refused(t, await app.refreshAs(refresh), 400, 'invalid_grant')
})

t.test('a login names its client', async t => {
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
    t.equal(claimsOf(access).client_id, clientId)
    t.equal(claimsOf(refresh).client_id, clientId)
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
  t.ok(cookies.length > 0, 'whoever names none is the app itself, whatever a proxy has asked for')
})

t.test('the app opens sessions for clients', async t => {
  const app = await createOAuthApp(t)
  const nobody = { headers: {}, raw: { rawHeaders: [] } }
  const { access_token: access, refresh_token: refresh = '' } = await app.app.tokenAuth.openSession(
    'u-ann',
    nobody,
    { clientId: 'pad' }
  )
  t.equal((await app.get('/protected', access)).json().clientId, 'pad')
  refused(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  t.equal((await app.refreshAs(refresh, { client_id: 'pad' })).statusCode, 200)

  for (const clientId of ['nobody', 'auth', '']) {
    await t.rejects(
      app.app.tokenAuth.openSession('u-ann', nobody, { clientId }),
      /takes a clientId of oauth\.clients/,
      clientId
    )
  }
})

t.test('what fails elsewhere is told in the same shape', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  let claims: () => object = () => ({})
  const options: Partial<TokenAuthOptions> = {
    storeTimeout: '40ms',
    users: {
      findByLogin: () => ({ id: 'u-ann', passwordHash: PASSWORD_HASH }),
      findById: () => ({ id: 'u-ann' }),
      claims: () => claims()
    }
  }
  const app = await createOAuthApp(t, {
    store: breakable.store,
    options,
    before: app => {
      app.addHook('onRequest', async request => {
        const status = Number(request.headers['x-fail-with'])

        if (status > 0) {
          throw Object.assign(new Error('"of the app"'), { statusCode: status })
        }
      })
    }
  })
  const { refresh } = await app.signIn()

  for (const fault of ['throws', 'hangs'] as const) {
    breakable.break(fault)
    const response = await app.refreshAs(refresh)
    refused(t, response, 503, 'temporarily_unavailable')
    t.equal(response.headers['retry-after'], '1')
  }

  breakable.break(null)
  claims = () => ({ sub: 'root' })
  refused(t, await app.refreshAs(refresh), 500, 'server_error')
  claims = () => ({})
  const elsewhere = [
    [400, 400, 'invalid_request'],
    [413, 400, 'invalid_request'],
    [429, 429, 'temporarily_unavailable'],
    [500, 500, 'server_error'],
    [503, 503, 'temporarily_unavailable']
  ] as const
  const form = { ...GRANT, client_id: 'phone', refresh_token: refresh }

  for (const [thrown, status, error] of elsewhere) {
    const response = await app.send('/auth/token', form, { 'x-fail-with': String(thrown) })
    refused(t, response, status, error, `a hook of the app that throws ${thrown}`)
  }

  t.equal((await app.refreshAs(refresh)).statusCode, 200, 'nothing is lost')

  const throttled = await createOAuthApp(t, {
    options: { throttle: { address: { maxAttempts: 3 } } }
  })
  const { refresh: token } = await throttled.signIn()
  const statuses = []

  for (let i = 0; i < 5; i++) {
    statuses.push((await throttled.refreshAs('garbage')).statusCode)
  }

  t.equal(statuses[0], 400)
  const last = await throttled.refreshAs('garbage')
  refused(t, last, 429, 'temporarily_unavailable')
  t.match(last.headers['retry-after'], /^\d+$/)
  t.equal((await throttled.refreshAs(token)).statusCode, 200, 'who has a token is not kept out')
})

t.test('without oauth there is none of it', async t => {
  const on = await createOAuthApp(t)
  const off = await createOAuthApp(t, {
    clock: on.clock,
    store: on.store,
    options: { oauth: undefined as never }
  })

  for (const path of ['token', 'revoke', 'introspect']) {
    t.equal((await off.send(`/auth/${path}`, GRANT)).statusCode, 404, path)
  }

  t.equal((await off.get('/.well-known/oauth-authorization-server')).statusCode, 404)
  const own = await off.signIn(null)
  t.notHas(claimsOf(own.access), 'client_id')
  t.notHas(claimsOf((await off.signIn('phone')).access), 'client_id', 'a login names nobody')
  t.equal((await off.get('/protected', own.access)).json().clientId, null)

  for (const clientId of ['phone', null]) {
    const tokens = await on.signIn(clientId)
    t.equal((await on.get('/protected', tokens.access)).statusCode, 200)
    t.equal(
      (await off.get('/protected', tokens.access)).statusCode,
      401,
      `a token that names ${clientId ?? 'the app'}`
    )
  }

  t.equal(
    (await on.get('/protected', own.access)).json().clientId,
    null,
    'one from before there were clients is the app\'s own'
  )
  t.equal(
    (await off.refresh((await on.signIn('phone')).refresh)).statusCode,
    401,
    'a client\'s refresh token'
  )
  t.equal(
    (await off.refresh((await on.signIn(null)).refresh)).statusCode,
    200,
    'the app\'s own goes on'
  )
  const opened = off.app.tokenAuth.openSession('u-ann', { headers: {}, raw: { rawHeaders: [] } }, {
    clientId: 'phone'
  })
  await t.rejects(opened, /oauth\.clients/)
})
