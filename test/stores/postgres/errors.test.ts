import t from 'tap'
import { HOUR } from '../../../src/lib/time.js'
import { NOW, REALM } from '../../../src/stores/conformance/harness.js'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import { openDatabase } from './postgres-helpers.js'

const rule = {
  freeAttempts: 1000,
  maxAttempts: 1000,
  wait: 0,
  longestWait: 0,
  retention: 1000,
  sliding: true
}

/** Creates a database that rejects the first statements with the given codes. */
function createFailing (...codes: string[]): PostgresDatabase & { readonly sent: string[] } {
  const sent: string[] = []

  return {
    sent,
    async query (text) {
      sent.push(text)
      const code = codes.shift()

      if (code !== undefined) {
        throw Object.assign(new Error(`failed with ${code}`), { code })
      }

      return { rows: [] }
    }
  }
}

const calls: Record<string, (db: PostgresDatabase) => Promise<unknown>> = {
  revoke: db => new PostgresStore(db).revoke({ realm: REALM }, { at: NOW, reason: 'revoked' }),
  find: db => new PostgresStore(db).find(REALM, 's1'),
  consume: db => new PostgresAttempts(db).consume([{ key: 'a', rule }], NOW),
  refund: db => new PostgresAttempts(db).refund(['a'])
}

for (const [name, call] of Object.entries(calls)) {
  t.test(`${name} repeats a statement once after a deadlock`, async t => {
    for (const code of ['40P01', '40001']) {
      const db = createFailing(code)
      await call(db)
      t.equal(db.sent.length, 2)
      t.equal(db.sent[0], db.sent[1])
      await t.rejects(call(createFailing(code, code)), { code })
    }

    const db = createFailing('57P01')
    await t.rejects(call(db), { code: '57P01' }, 'other errors are not repeated')
    t.equal(db.sent.length, 1)
  })
}

t.test('a cursor does not hide an error of the database', async t => {
  const store = new PostgresStore(createFailing('57P01'))
  await t.rejects(store.revocations('1-1;5:5:;;0;0', 10), { code: '57P01' })
})

t.test('concurrent calls with keys in any order do not deadlock', async t => {
  const database = await openDatabase(t)
  const pools = [database.connect({ max: 5 }), database.connect({ max: 5 })]
  const errors: unknown[] = []
  // Also records deadlocks that the store hides by a repetition.
  const stores = pools.map(pool =>
    new PostgresAttempts({
      query: async (text, values) =>
        pool.query(text, values).catch((error: unknown) => {
          errors.push(error)
          throw error
        })
    })
  )
  const keys = ['a', 'b', 'c', 'd']

  for (let round = 0; round < 20; round++) {
    await Promise.all(
      stores.flatMap(store =>
        [keys, keys.toReversed(), ['c', 'a', 'd', 'b']].flatMap(order => [
          store.consume(order.map(key => ({ key, rule })), NOW + round),
          store.refund(order),
          store.consume(order.slice(1).map(key => ({ key, rule })), NOW + round),
          store.reset(order.slice(2)),
          store.sweep({ now: NOW + HOUR, limit: 2 })
        ])
      )
    )
  }

  t.strictSame(errors, [])
})
