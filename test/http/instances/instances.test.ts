// Several instances of an app on one database: what one of them ends, the others refuse after their next poll.

import t from 'tap'
import type { Test } from 'tap'
import pg from 'pg'
import type { RevocationSubscriber, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { listenForRevocations, PostgresStore } from '../../../src/stores/postgres/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import type { Fault } from '../../helpers/broken-store.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import { createPostgresDatabase } from '../../helpers/databases/postgres.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

const POSTGRES_URL = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test'
const BOUND = 10 * SECOND
const GRACE = 10 * SECOND

/** A database that each instance reaches by a connection of its own. */
interface Database {
  connect(): TokenStore
  close(): Promise<void> | void
}

const databases: Record<string, () => Promise<Database>> = {
  memory: async () => {
    const store = new MemoryStore()
    return { connect: () => store, close: () => {} }
  },
  sqlite: async () => {
    const file = createSqliteFile()
    await new SqliteStore(file.connect()).migrate()

    return {
      connect: () => new SqliteStore(file.connect()),
      close: () => {
        file.remove()
      }
    }
  },
  postgres: async () => {
    const database = await createPostgresDatabase(POSTGRES_URL)
    return { connect: () => new PostgresStore(database.connect()), close: () => database.remove() }
  }
}

const unreachable = await reasonToSkipPostgres()

async function reasonToSkipPostgres (): Promise<string | false> {
  if (process.env.CI) {
    return false
  }

  const client = new pg.Client({
    connectionString: POSTGRES_URL,
    connectionTimeoutMillis: 2 * SECOND
  })

  try {
    await client.connect()
    return false
  } catch {
    return `no PostgreSQL answers at ${POSTGRES_URL}: set POSTGRES_URL`
  } finally {
    await client.end().catch(() => {})
  }
}

interface Instance extends TestApp {
  /** Has it poll now. By itself it polls once a minute, which is never in these tests. */
  hint(): void
  /** The status of a route that wants an access token. */
  status(tokens: TokenResponse): Promise<number>
}

interface InstanceOptions extends Pick<TestAppOptions, 'store' | 'clock'> {
  readonly failAfter?: string
  readonly options?: Partial<TokenAuthOptions>
}

async function startInstance (
  t: Test,
  { store, clock, failAfter, options }: InstanceOptions
): Promise<Instance> {
  let hint: () => void = () => t.fail('the instance listens to no hints')

  const wake: RevocationSubscriber = poll => {
    hint = poll

    return () => {}
  }

  const instance = await createTestApp({
    ...(store && { store }),
    ...(clock && { clock }),
    options: {
      revocations: {
        pollInterval: '60s',
        subscribe: wake,
        ...(failAfter !== undefined && { failAfter })
      },
      ...options
    }
  })
  t.teardown(() => instance.app.close())

  return {
    ...instance,
    hint: () => {
      hint()
    },
    status: async ({ access_token: token }) => (await instance.get('/protected', token)).statusCode
  }
}

/** Instances on one database, with one clock. */
async function startInstances (
  t: Test,
  open: () => Promise<Database>,
  count: number
): Promise<Instance[]> {
  const database = await open()
  // The last teardown comes first: by then the instances are closed.
  t.teardown(() => database.close())
  const clock = createClock()

  return Promise.all(
    Array.from({ length: count }, () => startInstance(t, { store: database.connect(), clock }))
  )
}

/** Waits for what is only a matter of some turns or round trips. */
async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + BOUND

  while (!await condition()) {
    if (performance.now() > end) {
      throw new Error(`it is not so after ${BOUND} ms`)
    }

    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

/** The others accept the tokens until they poll, and refuse them afterwards. */
async function refusedAfterPoll (
  t: Test,
  others: readonly Instance[],
  ended: readonly TokenResponse[]
): Promise<void> {
  for (const other of others) {
    for (const tokens of ended) {
      t.equal(await other.status(tokens), 200, 'it does not know yet')
    }

    other.hint()

    for (const tokens of ended) {
      await until(async () => await other.status(tokens) !== 200)
      const response = await other.get('/protected', tokens.access_token)
      t.equal(response.statusCode, 401)
      t.equal(response.json().code, 'AUTH_SESSION_REVOKED')
      t.equal((await other.refresh(tokens.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
    }
  }
}

async function accepted (
  t: Test,
  instances: readonly Instance[],
  living: readonly TokenResponse[]
): Promise<void> {
  for (const instance of instances) {
    for (const tokens of living) {
      t.equal(await instance.status(tokens), 200)
    }
  }
}

const bearer = ({ access_token: token }: TokenResponse): Record<string, string> => ({
  authorization: `Bearer ${token}`
})

function sessionIdOf ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    sid: string
  }).sid
}

for (const [name, open] of Object.entries(databases)) {
  t.test(name, { skip: name === 'postgres' && unreachable }, async t => {
    for (const count of [2, 3]) {
      t.test(`${count} instances`, async t => {
        t.test('a logout', async t => {
          const [here, ...others] = await startInstances(t, open, count) as [
            Instance,
            ...Instance[]
          ]
          const ended = await here.login()
          const living = await here.login()
          t.equal(
            (await here.post('/auth/logout', { refresh_token: ended.refresh_token })).statusCode,
            204
          )
          t.equal(await here.status(ended), 401, 'where it was ended it is refused at once')
          await refusedAfterPoll(t, others, [ended])
          await accepted(t, [here, ...others], [living])
        })

        t.test('a logout of all sessions', async t => {
          const [here, ...others] = await startInstances(t, open, count) as [
            Instance,
            ...Instance[]
          ]
          const ended = await Promise.all([here, ...others].map(instance => instance.login('ann')))
          const living = await here.login('bob')
          t.equal(
            (await here.post('/auth/logout/all', undefined, bearer(ended[0] as TokenResponse)))
              .statusCode,
            204
          )

          for (const tokens of ended) {
            t.equal(await here.status(tokens), 401)
          }

          await refusedAfterPoll(t, others, ended)
          await accepted(t, [here, ...others], [living])
        })

        t.test('a user who is revoked but for one session', async t => {
          const [here, ...others] = await startInstances(t, open, count) as [
            Instance,
            ...Instance[]
          ]
          const kept = await here.login()
          const ended = await Promise.all([here, ...others].map(instance => instance.login()))
          t.equal(
            await here.app.tokenAuth.revokeUser('u-ann', { keep: sessionIdOf(kept) }),
            ended.length
          )
          await refusedAfterPoll(t, others, ended)
          await accepted(t, [here, ...others], [kept])
          t.equal((await others[0]?.refresh(kept.refresh_token))?.statusCode, 200)
        })

        t.test('a refresh token that comes again', async t => {
          const [here, ...others] = await startInstances(t, open, count) as [
            Instance,
            ...Instance[]
          ]
          const { clock } = here
          const first = await here.login()
          const second = (await here.refresh(first.refresh_token)).json<TokenResponse>()
          clock.advance(GRACE)
          const third = (await others[0]?.refresh(second.refresh_token))?.json<
            TokenResponse
          >() as TokenResponse
          t.equal((await here.refresh(first.refresh_token)).json().code, 'AUTH_REFRESH_REUSED')
          t.equal(await here.status(third), 401)
          await refusedAfterPoll(t, others, [third])
        })

        t.test('a session that is ended in the list', async t => {
          const [here, ...others] = await startInstances(t, open, count) as [
            Instance,
            ...Instance[]
          ]
          const [ended, living] = [await others[0]?.login() as TokenResponse, await here.login()]
          const { statusCode } = await here.app.inject({
            method: 'DELETE',
            url: `/auth/sessions/${sessionIdOf(ended)}`,
            headers: bearer(living)
          })
          t.equal(statusCode, 204)
          await refusedAfterPoll(t, others, [ended])
          await accepted(t, [here, ...others], [living])
        })
      })
    }

    t.test('an instance that starts after the logout refuses the access token at once', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const clock = createClock()
      const here = await startInstance(t, { store: database.connect(), clock })
      const [ended, living] = [await here.login(), await here.login()]
      await here.post('/auth/logout', { refresh_token: ended.refresh_token })
      clock.advance(14 * MINUTE)
      const late = await startInstance(t, { store: database.connect(), clock })
      t.equal(
        (await late.get('/protected', ended.access_token)).json().code,
        'AUTH_SESSION_REVOKED'
      )
      t.equal(await late.status(living), 200)
    })

    t.test('without any hint the next poll comes by itself', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const clock = createClock()
      const here = await startInstance(t, { store: database.connect(), clock })
      const other = await startInstance(t, {
        store: database.connect(),
        clock,
        options: { revocations: { pollInterval: '10ms' } }
      })

      for (let logout = 0; logout < 3; logout++) {
        const tokens = await here.login()
        t.equal(await other.status(tokens), 200)
        await here.post('/auth/logout', { refresh_token: tokens.refresh_token })
        await until(async () => await other.status(tokens) === 401)
      }
    })

    t.test('clocks 3 s apart lose no revocation', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const clocks = [0, 1500, 3000].map(ahead => createClock(Date.UTC(2026, 0, 1) + ahead))
      const instances = await Promise.all(clocks.map(clock =>
        startInstance(t, {
          store: database.connect(),
          clock,
          options: { refreshToken: { grace: '10s' } }
        })
      ))

      for (let round = 0; round < 4; round++) {
        // The one whose clock is most ahead goes first, so that all other entries come in behind the newest.
        for (const here of instances.toReversed()) {
          const others = instances.filter(instance => instance !== here)
          const tokens = await here.login()
          await here.post('/auth/logout', { refresh_token: tokens.refresh_token })

          for (const other of others) {
            t.equal(await other.status(tokens), 200)
            other.hint()
            await until(async () => await other.status(tokens) === 401)
          }
        }

        for (const clock of clocks) {
          clock.advance(round * 200)
        }
      }
    })

    for (const fault of ['throws', 'hangs'] satisfies Fault[]) {
      t.test(`a store that ${fault}: tokens are accepted until failAfter is over, and again when it is mended`, async t => {
        const database = await open()
        t.teardown(() => database.close())
        const clock = createClock()
        const breakable = createBreakableStore(database.connect())
        const here = await startInstance(t, { store: database.connect(), clock })
        const cut = await startInstance(t, {
          store: breakable.store,
          clock,
          failAfter: '2m',
          options: { storeTimeout: '1s' }
        })
        const [ended, living] = [await here.login(), await here.login()]
        const behind = (): object[] =>
          cut.events.filter(event => event.name === 'revocations-stalled')
        const since = clock()

        breakable.break(fault)
        clock.advance(MINUTE)
        cut.hint()
        await until(() => behind().length > 0)
        await here.post('/auth/logout', { refresh_token: ended.refresh_token })
        clock.advance(MINUTE)
        await accepted(t, [cut], [living, ended])

        clock.advance(1)
        const refused = await cut.get('/protected', living.access_token)
        t.equal(refused.statusCode, 503)
        t.equal(refused.json().code, 'AUTH_STORE_UNAVAILABLE')
        t.equal(refused.headers['retry-after'], '1')
        t.equal(await here.status(living), 200, 'the other instance has its store')
        t.equal((await cut.get('/protected', 'nonsense')).statusCode, 401)

        breakable.break(null)
        cut.hint()
        await until(async () => await cut.status(living) === 200)
        t.equal(
          (await cut.get('/protected', ended.access_token)).json().code,
          'AUTH_SESSION_REVOKED',
          'what it missed it knows'
        )
        t.strictSame(behind(), [{ name: 'revocations-stalled', at: since + MINUTE, since }])
      })
    }

    t.test('without failAfter tokens are accepted while the store is broken', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const breakable = createBreakableStore(database.connect())
      const cut = await startInstance(t, { store: breakable.store })
      const tokens = await cut.login()
      breakable.break('throws')
      cut.hint()
      await until(() => cut.events.some(event => event.name === 'revocations-stalled'))
      cut.clock.advance(10 * MINUTE)
      t.equal(await cut.status(tokens), 200)
      breakable.break(null)
    })

    if (name === 'postgres') {
      await t.test('a logout is heard by LISTEN and NOTIFY', isHeardAtOnce)
    }
  })
}

async function isHeardAtOnce (t: Test): Promise<void> {
  const database = await createPostgresDatabase(POSTGRES_URL)
  const client = new pg.Client({ connectionString: POSTGRES_URL })
  t.teardown(async () => {
    await client.end()
    await database.remove()
  })
  await client.connect()
  const clock = createClock()
  const here = await startInstance(t, { store: new PostgresStore(database.connect()), clock })
  const other = await startInstance(t, {
    store: new PostgresStore(database.connect()),
    clock,
    options: { revocations: { pollInterval: '60s', subscribe: listenForRevocations(client) } }
  })

  const heard = async (tokens: TokenResponse): Promise<void> => {
    await until(async () => await other.status(tokens) === 401)
    t.equal(
      (await other.get('/protected', tokens.access_token)).json().code,
      'AUTH_SESSION_REVOKED'
    )
  }

  const [first, second, third, kept] = [
    await here.login(),
    await here.login(),
    await here.login(),
    await here.login()
  ]
  await accepted(t, [other], [first, second, third, kept])
  await here.post('/auth/logout', { refresh_token: first.refresh_token })
  await heard(first)
  await here.app.tokenAuth.revokeSession(sessionIdOf(second))
  await heard(second)
  await here.app.tokenAuth.revokeUser('u-ann', { keep: sessionIdOf(kept) })
  await heard(third)
  t.equal(await other.status(kept), 200)

  await other.app.close()
  t.strictSame(
    (await client.query('SELECT pg_listening_channels()')).rows,
    [],
    'a closed app listens no more'
  )
  t.equal(client.listenerCount('notification'), 0)
}
