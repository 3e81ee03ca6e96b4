import { Writable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { defineUsers } from '../../../src/index.js'
import type { Auth, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, REALM } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

const CREDENTIALS = { username: 'ann', password: PASSWORD }

interface Line {
  readonly level: number
  readonly msg: string
  readonly operation?: string
}

interface UserApp extends TestApp {
  /** Log lines about callbacks. */
  readonly lines: Line[]
}

async function createUserApp (t: Test, users: TokenAuthOptions['users']): Promise<UserApp> {
  const lines: Line[] = []
  const stream = new Writable({
    write (line, _encoding, done) {
      const parsed: Line = JSON.parse(String(line))

      if (parsed.operation !== undefined) {
        lines.push(parsed)
      }

      done()
    }
  })
  const test = await createTestApp({
    fastify: { logger: { level: 'warn', stream } } as object,
    options: { users }
  })
  t.teardown(() => test.app.close())
  return { ...test, lines }
}

const parsers = { number: Number, bigint: BigInt } as const

for (const [type, parse] of Object.entries(parsers)) {
  t.test(`users with the ID of a ${type} log in, refresh and log out`, async t => {
    const ann = { id: parse(7), passwordHash: PASSWORD_HASH, role: 'admin' }
    const asked: unknown[] = []
    const { app, store, post, get, events } = await createUserApp(
      t,
      defineUsers({
        parseId: id => parse(id),
        findByLogin: login => login === 'ann' ? ann : null,
        findById: id => {
          asked.push(id)
          return ann
        },
        claims: user => ({ role: user.role })
      })
    )
    const login = (await post('/auth/login', CREDENTIALS)).json<TokenResponse>()
    t.strictSame(login.user, { id: '7' })
    const next = await post('/auth/refresh', { refresh_token: login.refresh_token })
    const { access_token: token } = next.json<TokenResponse>()
    t.match((await get('/protected', token)).json<Auth>(), {
      userId: '7',
      claims: { role: 'admin' }
    })
    t.strictSame((await get('/auth/me', token)).json(), { id: '7' })
    t.strictSame(asked, [ann.id, ann.id])
    t.match(events[0], { name: 'login', userId: '7' })

    for (const id of [ann.id, '7']) {
      t.equal((await app.tokenAuth.listSessions(id)).length, 1)
    }

    await app.tokenAuth.openSession(ann.id, { headers: {} })
    t.equal(await app.tokenAuth.passwordChanged(ann.id), 2)
    await app.tokenAuth.openSession('7', { headers: {} })
    t.equal(await app.tokenAuth.revokeUser(ann.id), 1)
    t.strictSame(await store.list(REALM, '7', { now: Date.now(), limit: 1 }), [])
  })
}

for (const callback of ['claims', 'present'] as const) {
  t.test(`nothing is sent or written if users.${callback} returns the whole record`, async t => {
    const ann = { id: 'u-ann', passwordHash: PASSWORD_HASH, profile: { name: 'Ann' } }
    let leak = false
    const { app, post, lines } = await createUserApp(t, {
      findByLogin: () => ann,
      findById: () => ann,
      [callback]: (user: object) => leak ? { user } : {}
    })
    const before = (await post('/auth/login', CREDENTIALS)).json<TokenResponse>()
    const [session] = await app.tokenAuth.listSessions('u-ann')
    leak = true
    const responses = [
      await post('/auth/login', CREDENTIALS),
      await post('/auth/refresh', { refresh_token: before.refresh_token }),
      await app.inject({
        url: '/auth/me',
        headers: { authorization: `Bearer ${before.access_token}` }
      })
    ]

    for (const response of responses) {
      t.equal(response.statusCode, 503)
      t.notMatch(response.body, /argon2|Ann/)
    }

    await t.rejects(
      app.tokenAuth.openSession('u-ann', { headers: {} }),
      { code: 'AUTH_STORE_UNAVAILABLE' }
    )
    t.strictSame(await app.tokenAuth.listSessions('u-ann'), [session], 'no session and no rotation')
    t.equal(lines.length, 4)

    for (const line of lines) {
      t.match(line, {
        operation: `users.${callback}`,
        msg: `the callback users.${callback} failed`,
        cause: {
          message: `"users.${callback}" must not return the password hash; ` +
            'remove "user.passwordHash"'
        }
      })
    }

    t.notMatch(JSON.stringify(lines), '$argon2')
    leak = false
    const after = await post('/auth/refresh', { refresh_token: before.refresh_token })
    t.equal(after.statusCode, 200)
  })
}

t.test('a column with another name than `passwordHash` is named in the log, once', async t => {
  const { post, lines } = await createUserApp(t, {
    findByLogin: () => ({ id: 'u-ann', email: 'ann', password_hash: PASSWORD_HASH }),
    findById: () => null
  })

  for (let i = 0; i < 3; i++) {
    t.match((await post('/auth/login', CREDENTIALS)).json(), { code: 'AUTH_CREDENTIALS_REJECTED' })
  }

  t.match(lines, [{
    level: 40,
    operation: 'users.findByLogin',
    members: ['id', 'email', 'password_hash'],
    hint: /passwordHash/,
    msg: 'users.findByLogin returned a user without "passwordHash", who cannot log in'
  }])
  t.notMatch(JSON.stringify(lines), '$argon2')
})

t.test('mistakes in findByLogin result in 503 and a log line with the fix', async t => {
  const ann = { id: 'u-ann', passwordHash: PASSWORD_HASH }
  const mistakes: ReadonlyArray<readonly [result: unknown, message: RegExp]> = [
    [{ rows: [ann] }, /"users.findByLogin" must return a user .* result\.rows\[0\]/],
    [[ann], /"users.findByLogin" must return a user or null, not an array/],
    [{ ...ann, id: { toHexString: () => '' } }, /"id" of the user .* String\(user\._id\)/],
    [{ ...ann, passwordHash: Buffer.from(PASSWORD_HASH) }, /"passwordHash" .* not a Buffer/]
  ]

  for (const [result, message] of mistakes) {
    const { post, lines } = await createUserApp(t, {
      findByLogin: () => result as never,
      findById: () => null
    })
    const response = await post('/auth/login', CREDENTIALS)
    t.equal(response.statusCode, 503)
    t.notMatch(response.body, /rows|array|Buffer/)
    t.match(lines, [{ operation: 'users.findByLogin', cause: { message } }])
    t.notMatch(JSON.stringify(lines), '$argon2')
  }
})

t.test('a look-up that ignores the ID never refreshes the session of another user', async t => {
  const bob = { id: 'u-bob', passwordHash: null }
  const ann = { id: 'u-ann', passwordHash: PASSWORD_HASH }
  const { post, get, lines } = await createUserApp(t, {
    findByLogin: () => ann,
    findById: () => bob
  })
  const login = (await post('/auth/login', CREDENTIALS)).json<TokenResponse>()
  const refreshed = await post('/auth/refresh', { refresh_token: login.refresh_token })
  t.equal(refreshed.statusCode, 503)
  t.equal((await get('/auth/me', login.access_token)).statusCode, 503)
  t.match(lines[0], { cause: { message: /^"users.findById" returned a user with another ID/ } })
})

t.test('optional members of a login may be null', async t => {
  const { post, get } = await createTestApp()
  const optional = ['email', 'device', 'device_token', 'remember_me', 'client_id', 'client_secret']
  const all = { ...CREDENTIALS, ...Object.fromEntries(optional.map(name => [name, null])) }
  const response = await post('/auth/login', all)
  t.equal(response.statusCode, 200)
  const { access_token: token } = response.json<TokenResponse>()
  t.match((await get('/auth/sessions', token)).json(), { sessions: [{ device: null }] })
  const { username, ...rest } = all
  const byEmail = await post('/auth/login', { ...rest, username: null, email: username })
  t.equal(byEmail.statusCode, 200)
  const nobody = await post('/auth/login', { ...all, username: null })
  t.match(nobody.json(), { code: 'AUTH_REQUEST_INVALID' })
  t.equal((await post('/auth/login', { ...all, password: null })).statusCode, 400)

  for (const path of ['refresh', 'logout']) {
    const body = { refresh_token: null, remember_me: null }
    t.not((await post(`/auth/${path}`, body)).statusCode, 400, path)
  }
})

t.test('a store gets well-formed user agents, addresses and labels of limited length', async t => {
  const { app, post } = await createTestApp({
    fastify: { trustProxy: true },
    after: app => {
      app.post(
        '/open',
        request =>
          app.tokenAuth.openSession('u-ann', request, { device: `a\0\ud800${'x'.repeat(200)}` })
      )
    }
  })
  const hostile = {
    'user-agent': `${'u'.repeat(255)}\u{1f600}\0${'u'.repeat(9000)}`,
    'x-forwarded-for': `a\0\ud800${'b'.repeat(5000)}`
  }
  t.equal((await post('/open', {}, hostile)).statusCode, 200)
  const [session] = await app.tokenAuth.listSessions('u-ann')
  t.strictSame(session?.device, {
    label: `a\ufffd\ufffd${'x'.repeat(125)}`,
    address: `a\ufffd\ufffd${'b'.repeat(61)}`,
    userAgent: `${'u'.repeat(255)}\ufffd`
  })
})
