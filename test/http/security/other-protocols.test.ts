import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { HOUR, MINUTE } from '../../helpers/clock.js'
import { ACCESS, asCookie, credentials, open, own, REFRESH, withCookies } from './cookie-app.js'
import type { Headers } from './cookie-app.js'
import { FORM_TYPE, getCode, guarded, JSON_TYPE, routes } from './routes.js'
import type { Method } from './routes.js'

t.test('a 401 challenges for Bearer only, and HTTP Basic is rejected [7]', async t => {
  const test = await open(t, { options: withCookies })
  const pair = Buffer.from(`ann:${PASSWORD}`).toString('base64')
  const session = (await test.login()).refresh_token

  for (
    const authorization of [
      `Basic ${pair}`,
      `basic ${pair}`,
      `Basic ${pair}, Bearer x`,
      `Digest username="ann", response="${PASSWORD}"`
    ]
  ) {
    for (const [method, url] of routes) {
      const response = await test.app.inject({ method, url, headers: { authorization } })
      const isLogin = url === '/auth/login'
      const expected = isLogin
        ? [400, 'AUTH_REQUEST_INVALID']
        : [
          401,
          guarded.some(route => route[1] === url)
            ? 'AUTH_ACCESS_MISSING'
            : 'AUTH_REFRESH_MISSING'
        ]
      t.strictSame(
        [response.statusCode, getCode(response)],
        expected,
        `${method} ${url} ${authorization.slice(0, 8)}`
      )
      t.equal(
        response.headers['www-authenticate'],
        isLogin ? undefined : 'Bearer realm="auth"',
        url
      )
    }

    // The header is ignored beside a valid token.
    t.equal((await test.post('/auth/login', credentials, { authorization })).statusCode, 200)
    t.equal(
      (await test.post('/auth/login', { ...credentials, password: 'x' }, { authorization }))
        .statusCode,
      401
    )
  }

  t.equal((await test.refresh(session)).statusCode, 200)
})

t.test('no route accepts the password grant [7]', async t => {
  const test = await open(t)
  const client = { client_id: 'ann', client_secret: PASSWORD }
  const getMembers = (response: LightMyRequestResponse): string[] =>
    Object.keys(response.json()).sort()
  const plain = await test.post('/auth/login', credentials)

  for (
    const grant of ['password', 'refresh_token', 'client_credentials', 'authorization_code', '']
  ) {
    for (const type of [JSON_TYPE, FORM_TYPE]) {
      const send = (url: string, body: Record<string, string>): Promise<LightMyRequestResponse> => {
        const members = { grant_type: grant, ...client, ...body }
        const payload = type === JSON_TYPE
          ? JSON.stringify(members)
          : new URLSearchParams(members).toString()
        return test.post(url, payload as unknown as object, { 'content-type': type })
      }

      for (const url of ['/auth/refresh', '/auth/logout']) {
        const response = await send(url, credentials)
        t.strictSame(
          [response.statusCode, getCode(response)],
          [401, 'AUTH_REFRESH_MISSING'],
          `${grant} ${url}`
        )
      }

      t.equal(getCode(await send('/auth/login', {})), 'AUTH_REQUEST_INVALID')
      t.equal(
        getCode(await send('/auth/login', { ...credentials, password: 'x' })),
        'AUTH_CREDENTIALS_REJECTED'
      )
      const login = await send('/auth/login', credentials)
      t.strictSame(getMembers(login), getMembers(plain), `a login as any: ${grant}`)
      t.strictSame(Object.keys(login.headers), Object.keys(plain.headers))
      const { refresh_token: token } = login.json<TokenResponse>()
      t.equal(
        (await send('/auth/refresh', { refresh_token: token ?? '' })).statusCode,
        200,
        `a refresh as any: ${grant}`
      )
    }
  }

  for (const url of ['/token', '/oauth/token', '/oauth2/token', '/auth/token', '/connect/token']) {
    t.equal((await test.post(url, { grant_type: 'password', ...credentials })).statusCode, 404, url)
  }
})

t.test('a bearer token is rejected under the scheme DPoP [53]', async t => {
  const test = await open(t, { options: withCookies })
  const { access_token: access, refresh_token: token = '', token_type: type } = await test.login()
  t.equal(type, 'bearer')

  for (const scheme of ['DPoP', 'dpop', 'DPOP', 'DPoP Bearer', 'PoP', 'MAC']) {
    for (const proof of [{}, { dpop: 'a.b.c' }, { dpop: access }]) {
      for (const [method, url] of guarded) {
        const response = await test.app.inject({
          method,
          url,
          headers: { ...proof, authorization: `${scheme} ${access}` }
        })
        t.strictSame(
          [response.statusCode, getCode(response)],
          [401, 'AUTH_ACCESS_MISSING'],
          `${scheme} ${method} ${url}`
        )
        t.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
      }

      for (const url of ['/auth/refresh', '/auth/logout']) {
        const response = await test.post(url, undefined, {
          ...proof,
          authorization: `${scheme} ${token}`
        })
        t.strictSame(
          [response.statusCode, getCode(response)],
          [401, 'AUTH_REFRESH_MISSING'],
          `${scheme} ${url}`
        )
      }
    }
  }

  t.equal((await test.get('/protected', access)).statusCode, 200)
  t.equal((await test.refresh(token)).statusCode, 200)
})

/** Runs a session from login to reuse, with all rejections, and returns every response. */
async function life (t: Test, along: Headers): Promise<unknown[]> {
  const test = await open(t, { options: withCookies })
  const steps: unknown[] = []

  const note = (response: LightMyRequestResponse): LightMyRequestResponse => {
    const members = response.body === '' ? [] : Object.keys(response.json()).sort()
    const { date, 'content-length': length, 'set-cookie': cookies, ...headers } = response.headers
    const attributes = [cookies ?? []].flat().map(cookie => cookie.replace(/=[^;]*/, '='))
    steps.push([response.statusCode, getCode(response), members, headers, attributes])
    return response
  }

  const send = async (
    method: Method,
    url: string,
    headers: Headers = {},
    payload?: object
  ): Promise<LightMyRequestResponse> =>
    note(
      await test.app.inject({
        method,
        url,
        headers: { ...headers, ...along },
        ...(payload !== undefined && { payload })
      })
    )
  const login = (await send('POST', '/auth/login', {}, credentials)).json<TokenResponse>()
  const authorization = `Bearer ${login.access_token}`
  const { cookies } = await send('POST', '/auth/login', asCookie, credentials)
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')

  for (const [method, url] of routes) {
    await send(method, url)
    await send(method, url, { authorization: 'Bearer x' })
    await send(method, url, { cookie: `${ACCESS}=x; ${REFRESH}=x`, ...own })

    if (method === 'POST') {
      await send(method, url, { cookie, 'sec-fetch-site': 'cross-site' })
    }
  }

  await send('GET', '/auth/me', { authorization })
  await send('GET', '/auth/me', { cookie })
  await send('POST', '/auth/refresh', { ...own, cookie })
  const { refresh_token: second } =
    (await send('POST', '/auth/refresh', {}, { refresh_token: login.refresh_token })).json<
      TokenResponse
    >()
  test.clock.advance(MINUTE)
  const { refresh_token: third } =
    (await send('POST', '/auth/refresh', {}, { refresh_token: second })).json<TokenResponse>()
  test.clock.advance(1)
  await send('POST', '/auth/refresh', {}, { refresh_token: login.refresh_token })
  await send('POST', '/auth/refresh', {}, { refresh_token: third })
  await send('GET', '/auth/me', { authorization })
  test.clock.advance(HOUR)
  await send('GET', '/auth/me', { cookie })
  await send('POST', '/auth/login', {}, { ...credentials, password: 'x' })
  return steps
}

t.test('headers of DBSC and DPoP do not change an ordinary session [61]', async t => {
  const ordinary = await life(t, {})
  t.match(
    JSON.stringify(ordinary),
    /AUTH_REFRESH_REUSED.*AUTH_REFRESH_REVOKED.*AUTH_SESSION_REVOKED.*AUTH_ACCESS_EXPIRED/
  )
  t.notMatch(JSON.stringify(ordinary), /secure-session|dpop/i, 'the server does not offer it')
  const proof = `${Buffer.from('{"alg":"none","typ":"dbsc+jwt"}').toString('base64url')}.${
    Buffer.from('{"jti":"x"}').toString('base64url')
  }.`
  const unasked: Headers[] = [
    { 'secure-session-response': proof },
    { 'secure-session-response': `"${proof}"`, 'sec-secure-session-id': '"x"' },
    { 'sec-secure-session-id': 'x' },
    { 'secure-session-skipped': 'unreachable;session_identifier="x"' },
    { 'sec-session-response': proof, 'sec-session-id': 'x' },
    { dpop: proof },
    { dpop: `${proof}, ${proof}` },
    { dpop: '' },
    { dpop: proof, 'secure-session-response': proof, 'sec-secure-session-id': 'x' }
  ]

  for (const along of unasked) {
    t.strictSame(await life(t, along), ordinary, Object.keys(along).join())
  }
})
