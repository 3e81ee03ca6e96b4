import t from 'tap'
import { listenForRevocations, PostgresStore } from '../../../src/stores/postgres/index.js'
import { functions } from '../../../src/stores/postgres/functions.js'
import { postgresMigrations } from '../../../src/stores/postgres/schema.js'
import { parseSchema } from '../../../src/stores/sql/schema.js'
import { addPrefix, createPrefixer } from '../../../src/stores/sql/table-prefix.js'

t.test('a prefix that is no part of an identifier is rejected', t => {
  const invalid = ['', 'A_', '1_', 'a b', 'a-', 'a"', 'a;--', 'é_', 'a'.repeat(33), null, 7]

  for (const tablePrefix of invalid) {
    t.throws(() => createPrefixer({ tablePrefix: tablePrefix as string }), TypeError)
    t.throws(
      () => new PostgresStore({ query: async () => ({ rows: [] }) }, { tablePrefix } as object),
      /"tablePrefix" must have 1 to 32 lower-case letters/
    )
  }

  for (const tablePrefix of ['a', '_', 'shop_', 'a1_b2_', 'a'.repeat(32)]) {
    t.equal(createPrefixer({ tablePrefix })?.('token_auth_x'), `${tablePrefix}x`)
  }

  t.equal(createPrefixer({}), null)
  t.equal(createPrefixer({ tablePrefix: 'token_auth_' }), null)
  t.end()
})

t.test('the longest name fits with the longest prefix', t => {
  const { tables, indexes, functions } = parseSchema(
    addPrefix(postgresMigrations, { tablePrefix: 'a'.repeat(32) })
  )
  const names = [...tables.keys(), ...indexes.keys(), ...functions]
  t.equal(names.length, 6 + 5 + 4)
  t.ok(names.every(name => name.length <= 63))
  t.end()
})

t.test('functions and the channel have the prefix', async t => {
  const texts = addPrefix(Object.values(functions), { tablePrefix: 'shop_' })
  t.notMatch(texts.join(), 'token_auth_')
  t.match(texts.join(), 'pg_notify(\'shop_revoked\'')
  const sent: string[] = []
  const client = {
    connect: async () => {},
    query: async (text: string) => sent.push(text),
    end: async () => {},
    on (event: string, listener: (argument: never) => void) {
      if (event === 'notification') {
        notify = listener as typeof notify
      }
    }
  }

  let notify: (notification: { channel: string }) => void = () => {}

  let polls = 0
  const subscribe = listenForRevocations(() => client, { tablePrefix: 'shop_' })
  const stop = await subscribe(() => {
    polls++
  }, { info () {}, warn () {} })
  polls = 0
  notify({ channel: 'token_auth_revoked' })
  t.equal(polls, 0)
  notify({ channel: 'shop_revoked' })
  t.equal(polls, 1)
  stop()
  t.strictSame(sent, ['LISTEN shop_revoked'])
})
