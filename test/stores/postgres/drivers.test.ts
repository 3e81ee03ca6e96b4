// Drivers give integers as text, numbers or bigints, and write arrays each in their own way: the
// laws hold over all of them, and no text that a client can send is read as part of an array.

import pg from 'pg'
import postgres from 'postgres'
import t from 'tap'
import { applyRotation, planRotation } from '../../../src/domain/rotation.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { PostgresStore, withPreparedStatements } from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import type { Session } from '../../../src/stores/token-store.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'
import type { PostgresDatabase as TestDatabase } from '../../helpers/databases/postgres.js'

const NOW = Date.UTC(2040, 0, 1)
const DAY = 86_400_000

/** Parsers of a pool of node-postgres of which the one of int8 is its own. */
function int8As (parse: (text: string) => unknown): pg.CustomTypesConfig {
  const getTypeParser = (oid: number, format?: 'text'): unknown =>
    oid === pg.types.builtins.INT8 ? parse : pg.types.getTypeParser(oid, format)
  return { getTypeParser: getTypeParser as pg.CustomTypesConfig['getTypeParser'] }
}

/**
 * Speed: what a power cut would lose is not what these tests are about, so commits wait for no
 * disk.
 */
type Connect = (
  database: TestDatabase,
  schema: string
) => [db: PostgresDatabase, end?: () => Promise<void>]

function nodePostgres (options: pg.PoolConfig): Connect {
  return (
    database,
    schema
  ) => [
    database.connect({
      max: 4,
      options: `-c search_path=${schema} -c synchronous_commit=off`,
      ...options
    })
  ]
}

function postgresJs (
  options: postgres.Options<Record<string, postgres.PostgresType>>,
  prepare: boolean
): Connect {
  return (_database, schema) => {
    const sql = postgres(server.url, {
      max: 4,
      connection: { search_path: schema, synchronous_commit: 'off' },
      ...options
    })

    return [{
      query: async (text, values) => ({
        rows: await sql.unsafe(text, values as never[], { prepare })
      })
    }, () => sql.end()]
  }
}

const drivers: Record<string, Connect> = {
  'node-postgres, int8 as text': nodePostgres({}),
  'node-postgres, prepared by name': (database, schema) => {
    const [db] = nodePostgres({})(database, schema)
    return [withPreparedStatements(db as pg.Pool)]
  },
  'node-postgres, int8 as bigint': nodePostgres({ types: int8As(BigInt) }),
  'node-postgres, int8 as number': nodePostgres({ types: int8As(Number) }),
  'postgres.js': postgresJs({}, true),
  'postgres.js, int8 as bigint, nothing prepared': postgresJs({
    types: { bigint: postgres.BigInt }
  }, false),
  'postgres.js, without the types of the server': postgresJs({ fetch_types: false }, true)
}

const texts = [
  '',
  ' ',
  'NULL',
  'null',
  '{}',
  '{a,b}',
  '{"a","b"}',
  ',',
  'a,b',
  '"',
  '""',
  '"quoted", "twice"',
  'it\'s',
  '\'\'',
  '\\',
  '\\\\',
  '\\"',
  '\\N',
  '\\x41',
  'a\tb\r\n',
  '\u0001',
  '🦊 naïve 漢字',
  '👩‍👩‍👧‍👦',
  '[0:1]={a,b}',
  '(a,b)',
  '$1',
  '%s',
  '{"a": [null, "b"]}',
  '-- ;',
  '\u{10ffff}'
]

function makeSession (text: string, i: number): Session {
  return {
    id: `s${i} ${text}`,
    userId: text,
    secretHash: `hash ${text}`,
    generation: 0,
    confirmedGeneration: 0,
    createdAt: NOW,
    authenticatedAt: NOW,
    rotatedAt: NOW,
    rotatedBy: { address: null, userAgent: text },
    lastUsedAt: NOW,
    expiresAt: NOW + 7 * DAY,
    endsAt: NOW + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: text, address: text, userAgent: text }
  }
}

const server = await answers(POSTGRES_URL)
  ? { url: POSTGRES_URL, stop: async () => {} }
  : await startPostgres()
t.teardown(() => server.stop())

for (const [name, connect] of Object.entries(drivers)) {
  await t.test(name, async t => {
    const database = await createPostgresDatabase(server.url)
    t.teardown(() => database.remove())
    const { rows: [{ schema }] } = await database.connect({ max: 1 }).query(
      'SELECT current_schema() AS schema'
    )

    const open = (): PostgresDatabase => {
      const [db, end] = connect(database, schema)

      if (end !== undefined) {
        t.teardown(end)
      }

      return db
    }

    const db = open()
    const [store, other] = [new PostgresStore(db), new PostgresStore(open())]

    await t.test('the laws', async t => {
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await database.empty()
          return { store, other }
        }
      })
    })

    await t.test('texts come back as they were, through gathered rotations', async t => {
      await database.empty()
      let queries = 0
      const store = new PostgresStore({
        query: (text, values) =>
          db.query(text, values).finally(() => {
            queries++
          })
      })
      // Each text beside each kind of neighbour, and beside none.
      const byOf = (i: number) => ({
        address: texts[i] ?? null,
        userAgent: texts[texts.length - 1 - i] ?? null
      })
      const sessions = [...texts, 'last'].map(makeSession)
      await Promise.all(sessions.map(session => store.create(session)))
      const attempts = sessions.map(({ id: sessionId, secretHash, generation }, i) =>
        planRotation({ sessionId, secretHash, generation }, {
          now: NOW + DAY,
          lifetime: 7 * DAY,
          grace: 0,
          by: byOf(i)
        })
      )
      const expected = sessions.map((session, i) =>
        applyRotation(session, attempts[i] as typeof attempts[number])
      )
      queries = 0
      t.strictSame(
        await Promise.all(attempts.map(attempt => store.rotate(attempt))),
        expected.map(session => ({ swapped: true, session }))
      )
      t.equal(queries, 1, 'all went as one statement')
      await store.touch(
        expected.map(({ id }) => ({
          sessionId: id,
          lastUsedAt: NOW + 2 * DAY,
          confirmedGeneration: 1
        }))
      )

      for (const session of expected) {
        const touched = { ...session, lastUsedAt: NOW + 2 * DAY, confirmedGeneration: 1 }
        t.strictSame(await store.find(session.id), touched)
        t.strictSame(await store.list(session.userId, { now: NOW, limit: 2 }), [touched])
      }

      // Alone, a value may be written in another way than among others.
      for (const [i, session] of expected.entries()) {
        const { id: sessionId, secretHash, generation } = session
        const by = byOf(i)
        const { swapped, session: shown } = await store.rotate(
          planRotation({ sessionId, secretHash, generation }, {
            now: NOW + 2 * DAY,
            lifetime: 7 * DAY,
            grace: 0,
            by
          })
        )
        t.strictSame([swapped, shown?.rotatedBy], [true, by])
      }
    })
  })
}
