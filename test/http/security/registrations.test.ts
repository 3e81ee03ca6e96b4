import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { credentials, decodeClaims, open, own, withCookies } from './cookie-app.js'
import type { Headers } from './cookie-app.js'
import { FORM_TYPE, getCode, getComparable, JSON_TYPE } from './routes.js'

/** Creates an app with two registrations that differ only in their names. */
async function openTwo (
  t: Test
): Promise<
  { app: FastifyInstance, post: TestApp['post'], login(name: string): Promise<TokenResponse> }
> {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const users = { findByLogin: () => ann, findById: () => ann }
  const options = {
    secret: SECRET,
    store: new MemoryStore(),
    users,
    sweep: false,
    ...withCookies
  } as const
  const app = Fastify()
  t.teardown(() => app.close())

  for (const name of ['staff', 'shop']) {
    await app.register(async scope => {
      await scope.register(tokenAuth, { ...options, name, prefix: `/${name}` })
    })
  }

  const post: TestApp['post'] = async (url, payload, headers = {}) =>
    app.inject({ method: 'POST', url, headers, ...(payload !== undefined && { payload }) })
  return { app, post, login: async name => (await post(`/${name}/login`, credentials)).json() }
}

function getWays (token: string, name: string): Array<readonly [object | undefined, Headers]> {
  return [
    [{ refresh_token: token }, {}],
    [undefined, { authorization: `Bearer ${token}` }],
    [undefined, { ...own, cookie: `__Host-${name}-refresh=${token}` }]
  ]
}

t.test('a refresh token is valid only for the registration that issued it [8]', async t => {
  const { app, post, login } = await openTwo(t)

  for (const [home, other] of [['staff', 'shop'], ['shop', 'staff']] as const) {
    const { refresh_token: token = '', access_token: access } = await login(home)

    for (const [body, headers] of getWays(token, other)) {
      const response = await post(`/${other}/refresh`, body, headers)
      t.strictSame([response.statusCode, getCode(response)], [401, 'AUTH_REFRESH_INVALID'])
    }

    t.equal(
      getCode(
        await app.inject({ url: `/${other}/me`, headers: { authorization: `Bearer ${access}` } })
      ),
      'AUTH_ACCESS_INVALID'
    )
    t.equal(
      (await app.inject({ url: `/${home}/me`, headers: { authorization: `Bearer ${access}` } }))
        .statusCode,
      200
    )
    const [body, headers] = getWays(token, home)[2] ?? []
    t.equal(
      (await post(`/${home}/refresh`, body, headers)).statusCode,
      200,
      'it works where it belongs'
    )
  }
})

t.test('extra parameters do not extend the rights of a token [8]', async t => {
  const test = await open(t, {
    users: [{ id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH, role: 'reader' }],
    options: {
      audience: 'api',
      users: {
        findByLogin: async () => test.users.get('u-ann'),
        findById: async id => test.users.get(id),
        claims: user => ({ role: (user as { role?: string }).role ?? 'none' })
      }
    }
  })
  const wishes = {
    scope: 'admin',
    client_id: 'another',
    resource: 'https://else.example',
    audience: 'else',
    aud: 'else',
    role: 'admin',
    claims: '{"role":"admin"}',
    sub: 'u-bob',
    sid: 'x',
    gen: '7',
    exp: '9999999999',
    lifetime: '10y',
    amr: 'otp',
    persistent: 'true',
    requested_token_type: 'admin'
  }
  const rest = ({ gen, iat, exp, ...others }: Record<string, unknown>): object => others

  for (const type of [JSON_TYPE, FORM_TYPE]) {
    const ask = async (url: string, members: Record<string, string>): Promise<TokenResponse> => {
      const payload = type === JSON_TYPE
        ? JSON.stringify(members)
        : new URLSearchParams(members).toString()
      const response = await test.post(url, payload as unknown as object, { 'content-type': type })
      t.equal(response.statusCode, 200, url)
      return response.json()
    }

    const wished = await ask('/auth/login', { ...wishes, ...credentials })
    const plain = await ask('/auth/login', credentials)
    const { sid: wishedSid, ...wishedClaims } = rest(decodeClaims(wished.access_token)) as Record<
      string,
      unknown
    >
    const { sid: plainSid, ...plainClaims } = rest(decodeClaims(plain.access_token)) as Record<
      string,
      unknown
    >
    t.strictSame(wishedClaims, plainClaims)
    t.not(wishedSid, plainSid)
    const { refresh_token: token = '' } = plain
    const next = await ask('/auth/refresh', { ...wishes, refresh_token: token })
    t.match(decodeClaims(next.access_token), { role: 'reader', sub: 'u-ann', aud: 'api', gen: 1 })
    t.strictSame(rest(decodeClaims(next.access_token)), rest(decodeClaims(plain.access_token)))
    t.strictSame(rest(decodeClaims(next.refresh_token ?? '')), rest(decodeClaims(token)))
    t.strictSame(Object.keys(next).sort(), [
      'access_token',
      'expires_in',
      'refresh_token',
      'token_type',
      'user'
    ])
    t.equal(next.expires_in, plain.expires_in)
  }
})

t.test('a logout with a token of another registration revokes nothing [22]', async t => {
  const { app, post, login } = await openTwo(t)
  const { refresh_token: token = '', access_token: access } = await login('staff')
  const { refresh_token: theirs = '' } = await login('shop')
  const unknown = await post('/shop/logout', { refresh_token: 'x' })

  for (
    const [body, headers] of [
      ...getWays(token, 'shop'),
      [undefined, { authorization: `Bearer ${access}` }] as const
    ]
  ) {
    const response = await post('/shop/logout', body, headers)
    t.strictSame([response.statusCode, response.body], [204, ''])

    if (headers.cookie === undefined) {
      t.strictSame(getComparable(response), getComparable(unknown), 'same as for a random string')
    }
  }

  for (
    const [method, url] of [['POST', '/shop/logout/all'], ['DELETE', '/shop/sessions'], [
      'DELETE',
      '/shop/sessions/x'
    ]] as const
  ) {
    const response = await app.inject({
      method,
      url,
      headers: { authorization: `Bearer ${access}` }
    })
    t.equal(getCode(response), 'AUTH_ACCESS_INVALID', url)
  }

  t.equal(
    (await app.inject({ url: '/staff/me', headers: { authorization: `Bearer ${access}` } }))
      .statusCode,
    200
  )
  t.equal((await post('/staff/refresh', { refresh_token: token })).statusCode, 200)
  t.equal((await post('/shop/refresh', { refresh_token: theirs })).statusCode, 200)
})
