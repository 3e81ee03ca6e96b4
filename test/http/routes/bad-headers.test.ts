import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { PASSWORD } from '../../helpers/app.js'
import {
  addSecret,
  assertLogHasNoSecret,
  assertRejected,
  bearer,
  guarded,
  json,
  listen,
  login,
  MARK,
  send
} from './raw-client.js'

t.test('an Authorization header without a bearer token is rejected', async t => {
  const { access } = await login()
  const headers = [
    [],
    ['Bearer'],
    ['bearer'],
    ['Bearer '],
    ['Bearer   '],
    ['Bearer\t'],
    [''],
    [access],
    [`Bearer\t${access}`],
    [`Bearer:${access}`],
    [`Bearer=${access}`],
    [`Bearers ${access}`],
    [`"Bearer" ${access}`],
    [`Token ${access}`],
    [`Basic ${access}`],
    [`Basic ${Buffer.from(`ann:${MARK}`).toString('base64')}`],
    [`Digest ${MARK}`],
    [`${MARK} ${MARK}`],
    [`, Bearer ${access}`]
  ]

  for (const [method, path] of guarded) {
    for (const authorization of headers) {
      await assertRejected(
        t,
        JSON.stringify(authorization).slice(0, 20),
        { method, path, authorization },
        401,
        'AUTH_ACCESS_MISSING'
      )
    }
  }

  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (const authorization of headers) {
      await assertRejected(
        t,
        JSON.stringify(authorization).slice(0, 20),
        { path, authorization },
        401,
        'AUTH_REFRESH_MISSING'
      )
    }
  }
})

t.test('a bearer token with extra characters is rejected', async t => {
  const { access } = await login()

  for (const scheme of ['Bearer', 'bearer', 'Bearer ']) {
    for (
      const rest of [
        ` ${MARK}`,
        `,${MARK}`,
        ', realm="auth"',
        ';',
        `, Bearer ${access}`,
        ` ${access}`,
        '\t.',
        '"',
        '\u00a0'
      ]
    ) {
      for (const [method, path] of guarded) {
        const authorization = [`${scheme} ${access}${rest}`]
        await assertRejected(
          t,
          JSON.stringify(rest.slice(0, 12)),
          { method, path, authorization },
          401,
          'AUTH_ACCESS_INVALID'
        )
      }
    }
  }
})

t.test('two Authorization headers are rejected', async t => {
  const { access, refresh } = await login()
  const pairs = [
    [`Bearer ${access}`, `Bearer ${access}`],
    [`Bearer ${access}`, `Bearer ${MARK}`],
    [`Bearer ${MARK}`, `Bearer ${access}`],
    [`Bearer ${access}`, `Basic ${MARK}`],
    ['', `Bearer ${access}`],
    [`Bearer ${refresh}`, `Bearer ${refresh}`],
    [`Basic ${MARK}`, `Basic ${MARK}`]
  ]

  for (
    const [method, path] of [...guarded, ['POST', '/auth/refresh'], [
      'POST',
      '/auth/logout'
    ]] as typeof guarded
  ) {
    for (const authorization of pairs) {
      await assertRejected(
        t,
        JSON.stringify(authorization.map(value => value.slice(0, 12))),
        { method, path, authorization },
        400,
        'AUTH_REQUEST_INVALID'
      )
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(access) })).status,
    200,
    'nobody was logged out'
  )
})

t.test('a challenge has an error only if the request has a token', async t => {
  const none = await send({ method: 'GET', path: '/auth/me' })
  t.equal(none.headers['www-authenticate'], 'Bearer realm="auth"')
  const bad = await send({ method: 'GET', path: '/auth/me', authorization: bearer(MARK) })
  t.equal(
    bad.headers['www-authenticate'],
    'Bearer realm="auth", error="invalid_token", error_description="Access token is invalid"'
  )
})

t.test('the scheme is case-insensitive and may be followed by several spaces', async t => {
  const { access, refresh } = await login()

  for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR', 'Bearer ', 'bearer   ']) {
    for (const path of ['/protected', '/auth/me', '/auth/sessions']) {
      const answer = await send({ method: 'GET', path, authorization: [`${scheme} ${access}`] })
      t.equal(answer.status, 200, `${scheme} on ${path}`)
    }

    const answer = await send({ path: '/auth/refresh', authorization: [`${scheme} ${refresh}`] })
    t.equal(answer.status, 200, `${scheme} on refresh`)
    addSecret((JSON.parse(answer.body) as TokenResponse).access_token)
    addSecret((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
  }

  t.equal((await send({ path: '/auth/logout', authorization: [`BEARER  ${refresh}`] })).status, 204)
  await assertRejected(
    t,
    'after the logout',
    json('/auth/refresh', { refresh_token: refresh }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
})

t.test('HEAD requires an access token like GET', async t => {
  const { access } = await login()

  for (const path of ['/protected', '/auth/me', '/auth/sessions']) {
    const { status, headers } = await send({ method: 'HEAD', path })
    t.equal(status, 401, path)
    t.equal(headers['www-authenticate'], 'Bearer realm="auth"', path)
    t.equal((await send({ method: 'HEAD', path, authorization: bearer(access) })).status, 200, path)
  }
})

t.test('methods other than POST find no route', async t => {
  const { auth, send, storeCalls } = await listen(t)
  const { refresh_token: refresh, access_token: access } = await auth.login()
  storeCalls.length = 0
  const sound = {
    '/auth/login': { username: 'ann', password: PASSWORD },
    '/auth/refresh': { refresh_token: refresh },
    '/auth/logout': { refresh_token: refresh },
    '/auth/logout/all': {}
  }

  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    for (const [path, body] of Object.entries(sound)) {
      t.equal((await send({ ...json(path, body), method })).status, 404, `${method} ${path}`)
      const token = path === '/auth/logout/all' ? access : refresh as string
      t.equal(
        (await send({ method, path, authorization: bearer(token) })).status,
        404,
        `${method} ${path} with a bearer`
      )
    }
  }

  t.strictSame(storeCalls, [])
})

// A separate app, because Fastify logs every URL.
t.test('the query string is not read', async t => {
  const { auth, send, storeCalls } = await listen(t)
  const { access_token: access, refresh_token: refresh } = await auth.login()
  storeCalls.length = 0
  const query = new URLSearchParams({
    access_token: access,
    refresh_token: refresh as string,
    token: access,
    authorization: `Bearer ${access}`,
    username: 'ann',
    password: PASSWORD
  }).toString()

  for (const [method, path] of guarded) {
    const answer = await send({ method, path: `${path}?${query}` })
    t.equal(answer.status, 401, path)
    t.equal((JSON.parse(answer.body) as { code: string }).code, 'AUTH_ACCESS_MISSING', path)
  }

  for (
    const [path, status, code] of [
      ['/auth/login', 400, 'AUTH_REQUEST_INVALID'],
      ['/auth/refresh', 401, 'AUTH_REFRESH_MISSING'],
      ['/auth/logout', 401, 'AUTH_REFRESH_MISSING']
    ] as const
  ) {
    const answer = await send({ path: `${path}?${query}` })
    t.equal(answer.status, status, path)
    t.equal((JSON.parse(answer.body) as { code: string }).code, code, path)
    t.notOk([access, refresh as string, PASSWORD].some(text => answer.all.includes(text)), path)
  }

  t.strictSame(storeCalls, [])
})

// Last, because it checks the log of all tests above.
t.test('the log at level trace contains every request and no secret', async t => {
  assertLogHasNoSecret(t, { minRequests: 300, minSecrets: 40 })
})
