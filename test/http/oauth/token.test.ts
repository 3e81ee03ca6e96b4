import t from 'tap'
import { PASSWORD_HASH } from '../../helpers/app.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { assertRejected, createOAuthApp, decodeClaims } from './demo.js'
import type { Form } from './demo.js'
import { getGeneration, GRANT } from './grant.js'

t.test('token returns the members of RFC 6749', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const response = await app.refreshAs(refresh)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' })
  const { access_token: access, refresh_token: next, ...rest } = response.json()
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 900 })
  t.match(decodeClaims(access), {
    client_id: 'phone',
    sub: 'u-ann',
    iss: 'https://auth.example.org',
    aud: 'api',
    gen: 1
  })
  t.match(decodeClaims(next), { client_id: 'phone', gen: 1 })
  t.match(next, /^[\x20-\x7e]{128,}$/)
  t.match((await app.get('/protected', access)).json(), { userId: 'u-ann', clientId: 'phone' })
})

t.test('scope must not exceed the granted scope, and resource must be the audience', async t => {
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
    assertRejected(t, await app.refreshAs(refresh, { scope }), 400, 'invalid_scope', scope)
  }

  for (const resource of ['other', 'https://api.example.org']) {
    assertRejected(t, await app.refreshAs(refresh, { resource }), 400, 'invalid_target', resource)
  }

  t.equal(await getGeneration(app, refresh), 0, 'the session was not rotated')

  for (
    const form of [{}, { scope: 'read' }, { scope: 'write read' }, { scope: '' }, {
      resource: 'api'
    }, { resource: '' }] as Form[]
  ) {
    const { refresh: token } = await app.signIn()
    const response = await app.refreshAs(token, form)
    t.equal(response.statusCode, 200, JSON.stringify(form))
    t.equal(response.json().scope, 'read write', 'the response has the scope')
    t.equal(decodeClaims(response.json().access_token).scope, 'read write')
  }

  const bare = await createOAuthApp(t)
  const { refresh: token } = await bare.signIn()
  assertRejected(t, await bare.refreshAs(token, { scope: 'read' }), 400, 'invalid_scope')
  t.notHas((await bare.refreshAs(token)).json(), 'scope')
})

t.test('a replay gets the same successor, a reuse revokes the session', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const answers = await Promise.all(Array.from({ length: 20 }, () => app.refreshAs(refresh)))
  const successors = new Set(answers.map(answer => answer.json().refresh_token))
  t.equal(successors.size, 1, 'byte for byte')
  const [second = ''] = successors
  app.clock.advance(MINUTE)
  const { access_token: access, refresh_token: third } = (await app.refreshAs(second)).json()
  app.clock.advance(1)
  assertRejected(t, await app.refreshAs(refresh), 400, 'invalid_grant')
  t.match(app.events.filter(({ name }) => name === 'reuse'), [{ userId: 'u-ann' }])
  assertRejected(t, await app.refreshAs(third), 400, 'invalid_grant')
  t.equal((await app.get('/protected', access)).statusCode, 401)
})

t.test('without rotation the response has no new refresh token', async t => {
  const app = await createOAuthApp(t, { options: { rotation: false } })
  const { refresh } = await app.signIn()

  for (let i = 0; i < 3; i++) {
    app.clock.advance(DAY)
    const response = await app.refreshAs(refresh)
    t.equal(response.statusCode, 200)
    t.notHas(response.json(), 'refresh_token')
  }

  app.clock.advance(5 * DAY)
  assertRejected(t, await app.refreshAs(refresh), 400, 'invalid_grant')
})

t.test('without the option oauth, its routes do not exist', async t => {
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
  t.notHas(decodeClaims(own.access), 'client_id')
  t.notHas(decodeClaims((await off.signIn('phone')).access), 'client_id', 'a login has no client')
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
