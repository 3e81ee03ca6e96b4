import { randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import pg from 'pg'
import type { TokenResponse } from '../../../src/index.js'
import { listenForRevocations, PostgresStore } from '../../../src/stores/postgres/index.js'
import {} from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import type { Fault } from '../../helpers/broken-store.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { createPostgresDatabase } from '../../helpers/databases/postgres.js'
import {
  assertAccepted,
  databases,
  getSessionId,
  POSTGRES_URL,
  skipPostgres,
  startInstance,
  until
} from './instances-setup.js'

for (const [name, open] of Object.entries(databases)) {
  t.test(name, { skip: name === 'postgres' && skipPostgres }, async t => {
    t.test('an instance that starts after a logout rejects the access token', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const clock = createClock()
      const here = await startInstance(t, { store: database.connect(), clock })
      const [ended, live] = [await here.login(), await here.login()]
      await here.post('/auth/logout', { refresh_token: ended.refresh_token })
      clock.advance(14 * MINUTE)
      const late = await startInstance(t, { store: database.connect(), clock })
      t.equal(
        (await late.get('/protected', ended.access_token)).json().code,
        'AUTH_SESSION_REVOKED'
      )
      t.equal(await late.status(live), 200)
    })

    t.test('an instance polls without a notification', async t => {
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

    t.test('instances with clocks 3 s apart lose no revocation', async t => {
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
        // The clock that is most ahead goes first, so that later entries are older than the newest.
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
      t.test(`a store that ${fault}: tokens work until failAfter and after recovery`, async t => {
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
        const [ended, live] = [await here.login(), await here.login()]

        breakable.break(fault)
        clock.advance(MINUTE)
        cut.hint()
        await here.post('/auth/logout', { refresh_token: ended.refresh_token })
        clock.advance(MINUTE)
        await assertAccepted(t, [cut], [live, ended])

        clock.advance(1)
        const refused = await cut.get('/protected', live.access_token)
        t.equal(refused.statusCode, 503)
        t.equal(refused.json().code, 'AUTH_STORE_UNAVAILABLE')
        t.equal(refused.headers['retry-after'], '1')
        t.equal(await here.status(live), 200, 'the other instance reaches its store')
        t.equal((await cut.get('/protected', 'nonsense')).statusCode, 401)

        breakable.break(null)
        cut.hint()
        await until(async () => await cut.status(live) === 200)
        t.equal(
          (await cut.get('/protected', ended.access_token)).json().code,
          'AUTH_SESSION_REVOKED',
          'the missed revocation'
        )
      })
    }

    t.test('without failAfter, tokens are accepted while the store is down', async t => {
      const database = await open()
      t.teardown(() => database.close())
      const breakable = createBreakableStore(database.connect())
      const cut = await startInstance(t, { store: breakable.store })
      const tokens = await cut.login()
      breakable.break('throws')
      cut.hint()
      cut.clock.advance(10 * MINUTE)
      t.equal(await cut.status(tokens), 200)
      breakable.break(null)
    })

    if (name === 'postgres') {
      await t.test('a logout is announced by LISTEN and NOTIFY', testListener)
    }
  })
}

async function testListener (t: Test): Promise<void> {
  const database = await createPostgresDatabase(POSTGRES_URL)
  const client = new pg.Client({ connectionString: POSTGRES_URL })
  t.teardown(async () => {
    await client.end()
    await database.remove()
  })
  await client.connect()
  const name = `listener-${randomBytes(6).toString('hex')}`
  const open = (): pg.Client =>
    new pg.Client({ connectionString: POSTGRES_URL, application_name: name })
  const clock = createClock()
  const here = await startInstance(t, { store: new PostgresStore(database.connect()), clock })
  const other = await startInstance(t, {
    store: new PostgresStore(database.connect()),
    clock,
    options: { revocations: { pollInterval: '60s', subscribe: listenForRevocations(open) } }
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
  await assertAccepted(t, [other], [first, second, third, kept])
  await here.post('/auth/logout', { refresh_token: first.refresh_token })
  await heard(first)
  await here.app.tokenAuth.revokeSession(getSessionId(second))
  await heard(second)
  await here.app.tokenAuth.revokeUser('u-ann', { keep: getSessionId(kept) })
  await heard(third)
  t.equal(await other.status(kept), 200)

  const countListeners = async (): Promise<number> => {
    const text = 'SELECT FROM pg_stat_activity WHERE application_name = $1'
    return (await client.query(text, [name])).rows.length
  }

  // A logout during the reconnect is found by the poll after it.
  await client.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1',
    [name]
  )
  await here.app.tokenAuth.revokeUser('u-ann')
  await heard(kept)
  t.equal(await countListeners(), 1)

  await other.app.close()
  await until(async () => await countListeners() === 0)
}
