import { createHmac } from 'node:crypto'
import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { SECRET } from '../../helpers/app.js'
import {
  addSecret,
  assertLogHasNoSecret,
  assertRejected,
  bearer,
  form,
  getLeaks,
  guarded,
  json,
  login,
  MARK,
  MEGABYTE,
  requests,
  secrets,
  send
} from './raw-client.js'

/** Malformed variants of a token, and other strings. All of them fit in a header. */
function malformToken (token: string): Array<readonly [name: string, token: string]> {
  const [head, payload, signature] = token.split('.') as [string, string, string]
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
  const { kid, typ } = JSON.parse(Buffer.from(head, 'base64url').toString()) as {
    kid: string
    typ: string
  }
  const sign = (input: string, key: string): string =>
    `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
  const last = signature.at(-1) === 'A' ? 'E' : 'A'
  const spoilt: Array<readonly [name: string, token: string]> = [
    ['a word', MARK],
    ['null', 'null'],
    ['an object', '[object Object]'],
    ['dots', '..'],
    ['three words', `${MARK}.${MARK}.${MARK}`],
    ['8192 characters', MARK.padEnd(8192, 'x')],
    ['bytes beyond ASCII', `${MARK}\u00e9\u00ff`],
    ['in quotes', JSON.stringify(token)],
    ['as JSON', JSON.stringify({ payload, protected: head, signature })],
    ['as a JWE', `${head}.${payload}.${payload}.${payload}.${signature}`],
    ['without a signature', `${head}.${payload}.`],
    ['without its last part', `${head}.${payload}`],
    ['a character less', token.slice(0, -1)],
    ['twenty characters less', token.slice(0, -20)],
    ['a character more', `${token}A`],
    ['another last character', token.slice(0, -1) + last],
    ['padded', `${token}=`],
    ['twice', `${token}.${token}`],
    ['alg none', `${encode({ alg: 'none', typ, kid })}.${payload}.`],
    ['alg none and a signature', `${encode({ alg: 'none', typ, kid })}.${payload}.${signature}`],
    ['another user', `${head}.${encode({ ...claims, sub: 'u-bob' })}.${signature}`],
    ['another generation', `${head}.${encode({ ...claims, gen: 1 })}.${signature}`],
    ['forged with an empty key', sign(`${head}.${payload}`, '')],
    ['forged with the secret itself', sign(`${head}.${payload}`, SECRET)],
    [
      'forged with a key of its own',
      sign(`${encode({ alg: 'HS256', typ, kid, jwk: { kty: 'oct', k: MARK } })}.${payload}`, MARK)
    ],
    [
      'forged under another kid',
      sign(`${encode({ alg: 'HS256', typ, kid: MARK })}.${encode({ ...claims, name: MARK })}`, MARK)
    ]
  ]

  for (const [, text] of spoilt) {
    if (text.length > 100) {
      secrets.add(text)
    }
  }

  return spoilt
}

t.test('no malformed or swapped token is accepted as access token', async t => {
  const { access, refresh } = await login()
  const malformed = malformToken(access)
  const tokens = [...malformed, ['the refresh token', refresh] as const]

  for (const [method, path] of guarded) {
    // `logout/all` accepts a refresh token too, as logout-all.test.ts shows.
    for (const [name, token] of path === '/auth/logout/all' ? malformed : tokens) {
      await assertRejected(
        t,
        name,
        { method, path, authorization: bearer(token) },
        401,
        'AUTH_ACCESS_INVALID'
      )
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/protected', authorization: bearer(access) })).status,
    200,
    'the sound one still is'
  )
})

t.test('no malformed or swapped token is accepted as refresh token', async t => {
  const { access, refresh } = await login()
  const tokens = [...malformToken(refresh), ['the access token', access] as const]

  for (const [name, token] of tokens) {
    await assertRejected(
      t,
      `${name}, as JSON`,
      json('/auth/refresh', { refresh_token: token }),
      401,
      'AUTH_REFRESH_INVALID'
    )
    const body = new URLSearchParams({ refresh_token: token }).toString()

    if (body.length < 16_384) {
      await assertRejected(
        t,
        `${name}, as a form`,
        form('/auth/refresh', body),
        401,
        'AUTH_REFRESH_INVALID'
      )
    }

    await assertRejected(
      t,
      `${name}, as bearer`,
      { path: '/auth/refresh', authorization: bearer(token) },
      401,
      'AUTH_REFRESH_INVALID'
    )
  }

  const answer = await send(json('/auth/refresh', { refresh_token: refresh }))
  t.equal(answer.status, 200, 'the session is still valid')
  addSecret((JSON.parse(answer.body) as TokenResponse).access_token)
  addSecret((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
})

t.test('no malformed token revokes a session by logout', async t => {
  const { refresh, access } = await login()

  for (const [name, token] of [...malformToken(refresh), ...malformToken(access)]) {
    for (
      const sent of [json('/auth/logout', { refresh_token: token }), {
        path: '/auth/logout',
        authorization: bearer(token)
      }]
    ) {
      requests.count++
      const answer = await send(sent)
      t.strictSame([answer.status, answer.body], [204, ''], name)
      t.equal(answer.headers['cache-control'], 'no-store', name)
      t.strictSame(getLeaks(answer.all), [], name)
    }
  }

  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(access) })).status,
    200
  )
})

t.test('two refresh tokens in one request are rejected', async t => {
  const { refresh } = await login()
  const { refresh: other } = await login('bob')

  for (const path of ['/auth/refresh', '/auth/logout']) {
    for (
      const [inBody, inHeader] of [[refresh, other], [refresh, refresh], [MARK, refresh]] as const
    ) {
      const sent = [json(path, { refresh_token: inBody }), form(path, `refresh_token=${inBody}`)]

      for (const one of sent) {
        await assertRejected(
          t,
          `${one.type ?? ''} and bearer`,
          { ...one, authorization: bearer(inHeader) },
          400,
          'AUTH_REQUEST_INVALID'
        )
      }
    }
  }

  for (const token of [refresh, other]) {
    const answer = await send(json('/auth/refresh', { refresh_token: token }))
    t.equal(answer.status, 200, 'both tokens are still valid')
    addSecret((JSON.parse(answer.body) as TokenResponse).access_token)
    addSecret((JSON.parse(answer.body) as TokenResponse).refresh_token as string)
  }
})

t.test('an access token as bearer is ignored if a refresh token is sent', async t => {
  const ann = await login()
  const bob = await login('bob')
  const [forged] = malformToken(bob.access).filter(([name]) => name === 'another user').map((
    [, token]
  ) => token)

  for (const token of [bob.access, ann.access, forged as string]) {
    const answer = await send({
      ...json('/auth/refresh', { refresh_token: ann.refresh }),
      authorization: bearer(token)
    })
    t.equal(answer.status, 200)
    const { user, access_token: access, refresh_token: refresh } = JSON.parse(
      answer.body
    ) as TokenResponse
    t.match(user, { id: 'u-ann' })
    addSecret(access)
    addSecret(refresh as string)
  }

  t.equal(
    (await send({
      ...json('/auth/logout', { refresh_token: ann.refresh }),
      authorization: bearer(bob.access)
    })).status,
    204
  )
  await assertRejected(
    t,
    'whose refresh token it was',
    json('/auth/refresh', { refresh_token: ann.refresh }),
    401,
    'AUTH_REFRESH_REVOKED'
  )
  await assertRejected(
    t,
    'and at once',
    { method: 'GET', path: '/auth/me', authorization: bearer(ann.access) },
    401,
    'AUTH_SESSION_REVOKED'
  )
  t.equal(
    (await send({ method: 'GET', path: '/auth/me', authorization: bearer(bob.access) })).status,
    200,
    'the bearer\'s session lives'
  )
})

t.test('a malformed body on a protected route is ignored', async t => {
  const { access } = await login()
  const authorization = bearer(access)

  for (const path of ['/auth/logout/all', '/auth/sessions/s1']) {
    const method = path === '/auth/logout/all' ? 'POST' : 'DELETE'
    await assertRejected(
      t,
      'broken JSON',
      { ...json(path, `{"x":"${MARK}`), method, authorization },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await assertRejected(
      t,
      'a prototype',
      { ...json(path, '{"__proto__":{}}'), method, authorization },
      400,
      'AUTH_REQUEST_INVALID'
    )
    await assertRejected(
      t,
      'a text',
      { path, method, type: 'text/plain', body: MARK, authorization },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE'
    )
    await assertRejected(
      t,
      'a megabyte',
      { ...json(path, ' '.repeat(MEGABYTE)), method, authorization },
      413,
      'FST_ERR_CTP_BODY_TOO_LARGE'
    )
  }

  t.equal((await send({ method: 'GET', path: '/auth/me', authorization })).status, 200)
})

t.test('an invalid bearer token is ignored if a refresh token is in the body', async t => {
  for (const token of ['null', 'undefined', MARK]) {
    const { refresh } = await login()
    const headers = { authorization: bearer(token) }
    t.equal(
      (await send({ ...json('/auth/refresh', { refresh_token: refresh }), ...headers })).status,
      200
    )
    t.equal(
      (await send({ ...json('/auth/logout', { refresh_token: refresh }), ...headers })).status,
      204
    )
    await assertRejected(
      t,
      'after the logout',
      json('/auth/refresh', { refresh_token: refresh }),
      401,
      'AUTH_REFRESH_REVOKED'
    )
  }
})

// Last, because it checks the log of all tests above.
t.test('the log at level trace contains every request and no secret', async t => {
  assertLogHasNoSecret(t, { minRequests: 50, minSecrets: 5 })
})
