import t from 'tap'
import type { Test } from 'tap'
import type { Users } from '../../../src/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'

const SESSION_REQUEST = { headers: {}, raw: { rawHeaders: [] } }
const REFRESH = '__Host-auth-refresh'
const inCookie = { 'sec-fetch-site': 'same-origin', 'x-token-transport': 'cookie' }

type Callbacks = Pick<Users, 'claims' | 'present'>

interface Subject extends TestApp {
  /** Callbacks that the next requests use. */
  callbacks: Callbacks
  readonly log: () => string
}

async function start (t: Test): Promise<Subject> {
  const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
  let log = ''
  const stream = {
    write: (line: string) => {
      log += line
    }
  }
  const test = await createTestApp({
    fastify: { logger: { level: 'warn', stream } },
    options: {
      storeTimeout: '50ms',
      refreshToken: { transport: 'both' },
      cookie: { accessToken: true },
      users: {
        findByLogin: () => ann,
        findById: () => ann,
        claims: user => subject.callbacks.claims?.(user) ?? {},
        present: user => subject.callbacks.present?.(user) ?? { id: user.id }
      }
    }
  })
  t.teardown(() => test.app.close())
  const subject: Subject = { ...test, callbacks: {}, log: () => log }
  return subject
}

const cyclic: { self?: object } = {}
cyclic.self = cyclic

const results: Readonly<Record<string, () => unknown>> = {
  throws: () => {
    throw new Error('down')
  },
  rejects: () => Promise.reject(new Error('down')),
  hangs: () => new Promise(() => {}),
  'returns a string': () => 'ann',
  'returns an array': () => [1],
  'returns a cycle': () => cyclic,
  'returns a bigint': () => ({ id: 1n }),
  'returns the password hash': () => ({ user: { hash: PASSWORD_HASH } }),
  'has a getter that throws': () => ({
    get role () {
      throw new Error('down')
    }
  })
}

for (const callback of ['claims', 'present'] as const) {
  for (const [title, run] of Object.entries(results)) {
    t.test(`users.${callback} that ${title} leaves no session and moves nothing`, async t => {
      const test = await start(t)
      const { refresh_token: first } = await test.login()
      test.clock.advance(MINUTE)
      const before = await test.app.tokenAuth.listSessions('u-ann')
      test.events.length = 0
      test.callbacks = { [callback]: run } as Callbacks

      for (
        const response of [
          await test.post('/auth/login', { username: 'ann', password: PASSWORD }),
          await test.refresh(first)
        ]
      ) {
        t.match(response.json(), { statusCode: 503, code: 'AUTH_STORE_UNAVAILABLE' })
        t.notOk(response.headers['set-cookie'])
      }

      await t.rejects(test.app.tokenAuth.openSession('u-ann', SESSION_REQUEST), {
        code: 'AUTH_STORE_UNAVAILABLE'
      })
      t.strictSame(await test.app.tokenAuth.listSessions('u-ann'), before)
      t.strictSame(test.events, [])
      t.match(test.log(), `users.${callback}`)
      t.notMatch(test.log(), PASSWORD_HASH)

      test.callbacks = {}
      t.equal((await test.refresh(first)).statusCode, 200)
    })
  }
}

t.test('the claims that were checked are the claims that are signed', async t => {
  const test = await start(t)
  let reads = 0
  test.callbacks = {
    claims: () => ({
      get role () {
        return ++reads === 1 ? 'reader' : 'admin'
      }
    })
  }
  const { access_token: access } = await test.login()
  t.strictSame((await test.get('/protected', access)).json().claims, { role: 'reader' })
})

t.test('a cookie that would be too long leaves no session and moves nothing', async t => {
  const test = await start(t)
  const credentials = { username: 'ann', password: PASSWORD }
  const login = await test.post('/auth/login', credentials, inCookie)
  const token = login.cookies.find(({ name }) => name === REFRESH)?.value ?? ''
  const headers = { ...inCookie, cookie: `${REFRESH}=${token}` }
  test.clock.advance(MINUTE)
  const before = await test.app.tokenAuth.listSessions('u-ann')
  test.events.length = 0
  test.callbacks = { claims: () => ({ long: 'x'.repeat(3500) }) }

  for (
    const response of [
      await test.post('/auth/login', credentials, inCookie),
      await test.post('/auth/refresh', undefined, headers)
    ]
  ) {
    t.equal(response.statusCode, 500)
    t.notOk(response.headers['set-cookie'])
  }

  t.strictSame(await test.app.tokenAuth.listSessions('u-ann'), before)
  t.strictSame(test.events, [])
  t.equal((await test.post('/auth/login', credentials)).statusCode, 200, 'a body has no limit')

  test.callbacks = {}
  const refreshed = await test.post('/auth/refresh', undefined, headers)
  t.equal(refreshed.statusCode, 200)
  t.not(refreshed.cookies.find(({ name }) => name === REFRESH)?.value, token)
})
