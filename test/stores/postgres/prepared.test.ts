import t from 'tap'
import { PostgresStore, withPreparedStatements } from '../../../src/stores/postgres/index.js'
import { statements } from '../../../src/stores/postgres/statements.js'
import { DAY } from '../../helpers/clock.js'
import {
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  REALM,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { openDatabase } from './postgres-helpers.js'

async function callAllMethods (store: PostgresStore, generation: number): Promise<void> {
  const planAttempt = (id: string) =>
    attemptAt(makeSession({ id, generation }), NOW + DAY / 2, { graceBefore: NOW + DAY })

  for (const ids of [['s1'], ['s2', 's3']]) {
    for (const { swapped } of await Promise.all(ids.map(id => store.rotate(planAttempt(id))))) {
      t.equal(swapped, true)
    }

    // A repeated attempt fails, so the store also executes the statement for failed attempts.
    for (const { swapped } of await Promise.all(ids.map(id => store.rotate(planAttempt(id))))) {
      t.equal(swapped, false)
    }
  }

  t.equal((await store.find(REALM, 's1'))?.generation, generation + 1)
  t.equal((await store.list(REALM, 'ann', { now: NOW, limit: 9 })).length, 3)
  await store.touch([touchOf(makeSession({ id: 's1' }), { confirmedGeneration: 1 })])
  await readFeed(store)
  await store.sweep({ endedBefore: 0, limit: 9 })
}

t.test('prepared statements are reused and survive a new column', async t => {
  const database = await openDatabase(t)
  const pool = database.connect({ max: 1 })
  const store = new PostgresStore(withPreparedStatements(pool))
  await store.migrate()

  for (const id of ['s1', 's2', 's3']) {
    await store.create(makeSession({ id }))
  }

  await callAllMethods(store, 0)

  const listPrepared = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ statement: string }>(
      'SELECT statement FROM pg_prepared_statements WHERE name LIKE \'token_auth_%\''
    )
    return rows.map(({ statement }) => statement)
  }

  const before = await listPrepared()
  t.strictSame(before.sort(), [statements.rotateOne, statements.rotateFitting].sort())
  await pool.query('ALTER TABLE token_auth_sessions ADD COLUMN later text')
  await callAllMethods(store, 1)
  t.strictSame((await listPrepared()).sort(), before, 'no statement is prepared twice')
})

t.test('only rotation statements have a name, and each name is unique', async t => {
  const names: Array<string | undefined> = []
  const db = withPreparedStatements({
    async query ({ name }) {
      names.push(name)
      return { rows: [] }
    }
  })

  for (const text of [statements.rotateOne, statements.rotateFitting, statements.rotateOne]) {
    await db.query(text, [])
  }

  await db.query('SELECT 1')
  const [one, several, repeated, other] = names
  t.not(one, several)
  t.equal(one, repeated)
  t.equal(other, undefined)
  // PostgreSQL truncates longer names, so two statements could get the same name.
  t.ok([one, several].every(name => name !== undefined && name.length <= 63))
})
