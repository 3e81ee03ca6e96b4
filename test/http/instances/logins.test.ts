import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, REALM } from '../../helpers/app.js'
import type { TestApp, TestAppOptions, TestUser } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { HOUR, MINUTE } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'

const NEW_PASSWORD = 'a new password of ann'
const SESSION_REQUEST = { headers: {}, raw: { rawHeaders: [] } }

async function startTwo (
  t: Test,
  stores: readonly [TokenStore, TokenStore],
  given: TestAppOptions = {}
): Promise<readonly [TestApp, TestApp]> {
  const here = await createTestApp({ ...given, store: stores[0] })
  t.teardown(() => here.app.close())
  const there = await createTestApp({ ...given, store: stores[1], clock: here.clock })
  t.teardown(() => there.app.close())
  return [here, there]
}

/** Runs work of another instance between the check of a password and the new session. */
function interrupt (app: TestApp, work: () => Promise<unknown>): void {
  const { create } = app.store

  app.store.create = async session => {
    app.store.create = create
    await work()
    return create.call(app.store, session)
  }
}

function setPassword (apps: readonly TestApp[], passwordHash: string): void {
  for (const { users } of apps) {
    Object.assign(users.get('u-ann') as TestUser, { passwordHash })
  }
}

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const openTwo = async (t: Test): Promise<readonly [TokenStore, TokenStore]> => {
      const { store, again } = await open(t)
      // An own object, so that a test can replace its methods.
      const own = new Proxy({} as TokenStore, {
        get: (replaced, verb: keyof TokenStore) => replaced[verb] ?? store[verb].bind(store)
      })
      return [own, again()]
    }

    t.test('a login with the old password loses against passwordChanged', async t => {
      const apps = await startTwo(t, await openTwo(t))
      const [here, there] = apps
      const before = await here.login()
      const passwordHash = await here.app.tokenAuth.hashPassword(NEW_PASSWORD)

      interrupt(here, async () => {
        setPassword(apps, passwordHash)
        t.equal(await there.app.tokenAuth.passwordChanged('u-ann'), 1)
      })

      const lost = await here.post('/auth/login', { username: 'ann', password: PASSWORD })
      t.match(lost.json(), { statusCode: 401, code: 'AUTH_CREDENTIALS_REJECTED' })
      t.match(here.events.at(-1), { name: 'login-rejected', reason: 'wrong-password' })
      t.strictSame(await there.app.tokenAuth.listSessions('u-ann'), [])
      t.equal((await here.refresh(before.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')

      for (const instance of apps) {
        const won = await instance.post('/auth/login', { username: 'ann', password: NEW_PASSWORD })
        const tokens = won.json<TokenResponse>()
        t.equal(won.statusCode, 200, 'in the same millisecond')

        for (const { get, refresh } of apps) {
          t.equal((await get('/protected', tokens.access_token)).statusCode, 200)
          t.equal((await refresh(tokens.refresh_token)).statusCode, 200)
        }
      }
    })

    t.test('a login with the new password wins against passwordChanged', async t => {
      const apps = await startTwo(t, await openTwo(t))
      const [here, there] = apps
      setPassword(apps, await here.app.tokenAuth.hashPassword(NEW_PASSWORD))
      interrupt(here, () => there.app.tokenAuth.passwordChanged('u-ann'))
      const won = await here.post('/auth/login', { username: 'ann', password: NEW_PASSWORD })
      t.equal(won.statusCode, 200)
      const { access_token: access, refresh_token: refresh } = won.json<TokenResponse>()

      for (const instance of apps) {
        t.equal((await instance.get('/protected', access)).statusCode, 200)
        t.equal((await instance.refresh(refresh)).statusCode, 200)
      }
    })

    t.test('a login loses if its user is disabled meanwhile', async t => {
      const [here, there] = await startTwo(t, await openTwo(t))

      interrupt(here, async () => {
        Object.assign(here.users.get('u-ann') as TestUser, { disabled: true })
        await there.app.tokenAuth.revokeUser('u-ann')
      })

      t.match((await here.post('/auth/login', { username: 'ann', password: PASSWORD })).json(), {
        code: 'AUTH_CREDENTIALS_REJECTED'
      })
      t.strictSame(await there.app.tokenAuth.listSessions('u-ann'), [])
    })

    t.test('openSession succeeds right after a password reset', async t => {
      const apps = await startTwo(t, await openTwo(t))
      const [here, there] = apps
      await here.login()
      await there.app.tokenAuth.passwordChanged('u-ann')
      const first = await here.app.tokenAuth.openSession('u-ann', SESSION_REQUEST)
      interrupt(here, () => there.app.tokenAuth.passwordChanged('u-ann'))
      const second = await here.app.tokenAuth.openSession('u-ann', SESSION_REQUEST)

      for (const instance of apps) {
        t.equal((await instance.get('/protected', second.access_token)).statusCode, 200)
        t.equal((await instance.refresh(second.refresh_token)).statusCode, 200)
        t.equal((await instance.refresh(first.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
      }
    })

    t.test('maxSessions holds for concurrent logins at two instances', async t => {
      const apps = await startTwo(t, await openTwo(t), { options: { maxSessions: 3 } })
      const [here, there] = apps

      for (let round = 0; round < 3; round++) {
        const logins = await Promise.all(
          Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? here : there).login())
        )
        const live = await here.store.list(REALM, 'u-ann', { now: here.clock(), limit: 99 })
        t.equal(live.length, 3)
        const statuses = await Promise.all(
          logins.map(async ({ refresh_token: token }) => (await here.refresh(token)).statusCode)
        )
        t.equal(statuses.filter(status => status === 200).length, 3, 'they are of this round')
        here.clock.advance(MINUTE)
      }
    })
  })
}

t.test('a failure to enforce maxSessions does not hide a login', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  let log = ''
  const stream = {
    write: (line: string) => {
      log += line
    }
  }
  const test = await createTestApp({
    store,
    fastify: { logger: { level: 'warn', stream } },
    users: [{ id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }],
    options: { maxSessions: 1 }
  })
  t.teardown(() => test.app.close())
  const first = await test.login()
  test.clock.advance(MINUTE)

  for (const verb of ['list', 'revoke'] as const) {
    breakStore('throws', [verb])
    const { access_token: access } = await test.login()
    t.equal((await test.get('/protected', access)).statusCode, 200, verb)
    t.match(log, 'failed to enforce')
    log = ''
    test.clock.advance(MINUTE)
  }

  breakStore(null)
  await test.login()
  t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 1)
  t.equal((await test.refresh(first.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
})

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`${name}: revokeAll ends every session on all instances`, { skip }, async t => {
    const { store, again } = await open(t)
    const lifetimes = {
      accessToken: { lifetime: '24h' },
      refreshToken: { lifetime: '2d' }
    } as const
    const [here, there] = await startTwo(t, [store, again()], { options: lifetimes })
    const ended = [await here.login('ann'), await there.login('bob')]
    here.clock.advance(23 * HOUR)
    await here.app.tokenAuth.revokeAll()
    const late = await createTestApp({ store: again(), clock: here.clock, options: lifetimes })
    t.teardown(() => late.app.close())

    for (const { access_token: access, refresh_token: refresh } of ended) {
      for (const app of [here, late]) {
        t.equal((await app.get('/protected', access)).json().code, 'AUTH_SESSION_REVOKED')
      }

      for (const app of [here, there, late]) {
        t.equal((await app.refresh(refresh)).json().code, 'AUTH_REFRESH_REVOKED')
        t.strictSame(await app.app.tokenAuth.listSessions('u-ann'), [])
      }
    }

    t.match(here.events.filter(event => event.name === 'session-ended'), [
      { sessionId: null, userId: null, reason: 'revoked', local: true }
    ])
    here.clock.advance(1)
    const { access_token: access } = await here.login()
    t.equal((await late.get('/protected', access)).statusCode, 200, 'a later login is valid')
  })
}

t.test('revokeAll ends a login that is saved while it is written', async t => {
  const test = await createTestApp()
  t.teardown(() => test.app.close())
  const { create } = test.store
  const { revoke } = test.store

  let releaseRevoke: () => void = () => {}

  test.store.revoke = async (target, details) => {
    test.store.revoke = revoke
    await new Promise<void>(resolve => {
      releaseRevoke = resolve
    })
    test.clock.advance(5)
    return revoke.call(test.store, target, details)
  }

  test.store.create = async session => {
    test.store.create = create
    // The session is created after the first not-before was decided, and saved before it.
    await create.call(test.store, session)
    releaseRevoke()
  }

  const revoking = test.app.tokenAuth.revokeAll()
  test.clock.advance(3)
  const tokens = await test.login()
  await revoking
  t.equal((await test.get('/protected', tokens.access_token)).json().code, 'AUTH_SESSION_REVOKED')
})
