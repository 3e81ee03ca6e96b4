import t from 'tap'
import { parseOptions } from '@node-rs/argon2'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { SECOND } from '../../helpers/clock.js'

t.test('login by JSON returns tokens that work', async t => {
  const { app, login, get, refresh, events, clock } = await createTestApp()
  t.teardown(() => app.close())
  const answer = await login()
  t.match(answer, { token_type: 'bearer', expires_in: 900, user: { id: 'u-ann', username: 'ann' } })
  t.match(events, [{
    name: 'login',
    at: clock(),
    userId: 'u-ann',
    address: '127.0.0.1',
    userAgent: 'lightMyRequest'
  }])
  const response = await get('/protected', answer.access_token)
  t.equal(response.statusCode, 200)
  t.match(response.json(), { userId: 'u-ann', expiresAt: clock() + 900 * SECOND })
  t.equal((await refresh(answer.refresh_token)).statusCode, 200)
})

t.test('login by form returns the same response', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const response = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({
      grant_type: 'password',
      username: 'ann',
      password: PASSWORD,
      scope: ''
    }).toString()
  })
  t.equal(response.statusCode, 200)
  t.equal(response.headers['cache-control'], 'no-store')
})

t.test('login accepts an email and the name of the device', async t => {
  const { app, post } = await createTestApp({
    users: [{ id: '7', email: 'dee@example.org', passwordHash: PASSWORD_HASH }]
  })
  t.teardown(() => app.close())
  const response = await post('/auth/login', {
    username: '',
    email: 'dee@example.org',
    password: PASSWORD,
    device: 'Dee\'s phone'
  })
  t.strictSame(response.json().user, { id: '7', email: 'dee@example.org' })
  const [session] = await app.tokenAuth.listSessions('7')
  t.strictSame(session?.device, {
    label: 'Dee\'s phone',
    address: '127.0.0.1',
    userAgent: 'lightMyRequest'
  })
})

t.test('login without a user name is rejected', async t => {
  const { app, post } = await createTestApp()
  t.teardown(() => app.close())
  const response = await post('/auth/login', { username: '', password: PASSWORD })
  t.match(response.json(), { statusCode: 400, code: 'AUTH_REQUEST_INVALID' })
})

t.test('users.present shapes the user, users.claims the access token', async t => {
  const ann = {
    id: 'u-ann',
    username: 'ann',
    passwordHash: PASSWORD_HASH,
    claims: { role: 'reader' } as object
  }
  const { app, login, get, refresh, clock } = await createTestApp({
    options: {
      users: {
        findByLogin: () => ann,
        findById: () => ann,
        claims: async () => ann.claims,
        present: async ({ id }) => ({ id, greeting: 'hello' })
      }
    }
  })
  t.teardown(() => app.close())
  const answer = await login()
  t.strictSame(answer.user, { id: 'u-ann', greeting: 'hello' })
  t.strictSame((await get('/auth/me', answer.access_token)).json(), {
    id: 'u-ann',
    greeting: 'hello'
  })
  t.strictSame((await get('/protected', answer.access_token)).json().claims, { role: 'reader' })

  ann.claims = { role: 'admin' }
  const { access_token: access, refresh_token: token } = (await refresh(answer.refresh_token))
    .json()
  t.strictSame(
    (await get('/protected', access)).json().claims,
    { role: 'admin' },
    'fresh from the next refresh on'
  )

  clock.advance(60 * SECOND)
  ann.claims = { sub: 'u-bob' }
  t.equal((await refresh(token)).statusCode, 503, 'a claim of the token\'s own is refused')
  ann.claims = {}
  t.equal(
    (await app.tokenAuth.listSessions('u-ann'))[0]?.generation,
    1,
    'the session was not rotated'
  )
})

t.test('a login is verified again if all sessions are revoked meanwhile', async t => {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const { app, clock, login, post, events } = await createTestApp({
    options: {
      users: {
        findByLogin: () => ({ ...ann }),
        findById: () => ann,
        async claims () {
          if (meanwhile !== undefined) {
            await meanwhile()
          }

          return {}
        }
      }
    }
  })
  t.teardown(() => app.close())

  let meanwhile: (() => Promise<void>) | undefined = async () => {
    meanwhile = undefined
    clock.advance(SECOND)
    await app.tokenAuth.revokeUser('u-ann')
    ann.passwordHash = await app.tokenAuth.hashPassword('a new password')
  }

  t.match((await post('/auth/login', { username: 'ann', password: PASSWORD })).json(), {
    code: 'AUTH_CREDENTIALS_REJECTED'
  })
  t.match(events.at(-1), { name: 'login-rejected', reason: 'wrong-password', userId: 'u-ann' })

  ann.passwordHash = PASSWORD_HASH

  meanwhile = async () => {
    meanwhile = undefined
    await app.tokenAuth.revokeUser('u-ann')
  }

  t.ok((await login()).access_token, 'the password is still correct')
})

t.test('a login succeeds after a revocation by an instance with a fast clock', async t => {
  const { app, store, login, refresh } = await createTestApp()
  t.teardown(() => app.close())
  const ahead = await createTestApp({ store })
  t.teardown(() => ahead.app.close())
  ahead.clock.advance(4 * SECOND)
  await ahead.app.tokenAuth.revokeUser('u-ann')
  t.equal((await refresh((await login()).refresh_token)).statusCode, 200)
})

t.test('openSession works in the millisecond of a revocation of all sessions', async t => {
  const { app, get } = await createTestApp({
    after (app) {
      app.post('/reset', async request => {
        await app.tokenAuth.revokeUser('u-ann')
        return app.tokenAuth.openSession('u-ann', request)
      })
    }
  })
  t.teardown(() => app.close())
  const answer = (await app.inject({ method: 'POST', url: '/reset' })).json()
  t.equal((await get('/protected', answer.access_token)).statusCode, 200)
})

t.test('login replaces a weak hash, and ignores a failure to save it', async t => {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  let fails = true
  const lines: string[] = []
  const { app, login } = await createTestApp({
    fastify: { logger: { level: 'warn', stream: { write: line => lines.push(line) } } },
    options: {
      users: {
        findByLogin: () => ann,
        findById: () => ann,
        savePasswordHash (id, hash, replaced) {
          if (fails) {
            throw new Error('no')
          }

          t.strictSame([id, replaced], [ann.id, PASSWORD_HASH])
          ann.passwordHash = hash
        }
      }
    }
  })
  t.teardown(() => app.close())
  await login()
  t.equal(ann.passwordHash, PASSWORD_HASH)
  t.match(JSON.parse(lines.at(-1) ?? ''), {
    msg: 'failed to replace a weak password hash',
    userId: 'u-ann',
    cause: { type: 'TokenAuthError', code: 'AUTH_STORE_UNAVAILABLE' }
  })
  fails = false
  await login()
  t.match(parseOptions(ann.passwordHash), { memoryCost: 19456, timeCost: 2, parallelism: 1 })
  const replaced = ann.passwordHash
  await login()
  t.equal(ann.passwordHash, replaced)
})

t.test('openSession opens the same kind of session as a login', async t => {
  const { app, get, refresh, users } = await createTestApp({
    after (app) {
      app.post(
        '/magic/:id',
        request =>
          app.tokenAuth.openSession((request.params as { id: string }).id, request, {
            device: 'magic'
          })
      )
    }
  })
  t.teardown(() => app.close())
  const answer = (await app.inject({ method: 'POST', url: '/magic/u-bob' })).json()
  t.match((await get('/protected', answer.access_token)).json(), { userId: 'u-bob' })
  t.equal((await refresh(answer.refresh_token)).statusCode, 200)
  t.equal((await app.tokenAuth.listSessions('u-bob'))[0]?.device.label, 'magic')
  t.match((await app.inject({ method: 'POST', url: '/magic/u-nobody' })).json(), {
    code: 'AUTH_CREDENTIALS_REJECTED'
  })
  const bob = users.get('u-bob')

  if (bob) {
    bob.disabled = true
  }

  t.match((await app.inject({ method: 'POST', url: '/magic/u-bob' })).json(), {
    code: 'AUTH_CREDENTIALS_REJECTED'
  })
})

t.test('app.tokenAuth hashes and verifies passwords', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const hash = await app.tokenAuth.hashPassword('a password')
  t.equal(await app.tokenAuth.verifyPassword(hash, 'a password'), true)
  t.equal(await app.tokenAuth.verifyPassword(hash, 'b'), false)
  t.equal(await app.tokenAuth.verifyPassword(null, 'a'), false)
  t.equal(await app.tokenAuth.verifyPassword('nonsense', 'a'), false)
  t.equal(await app.tokenAuth.verifyPassword(PASSWORD_HASH, PASSWORD), true)
})

t.test('too long claims fail before a session is opened', async t => {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  const { app, post } = await createTestApp({
    options: {
      users: {
        findByLogin: () => ann,
        findById: () => ann,
        claims: () => ({ roles: Array.from({ length: 900 }, (_, i) => `role ${i}`) })
      }
    }
  })
  t.teardown(() => app.close())
  t.equal((await post('/auth/login', { username: 'ann', password: PASSWORD })).statusCode, 503)
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
})
