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

/** Creates parsers for node-postgres with the given parser for int8. */
function createInt8Types (parse: (text: string) => unknown): pg.CustomTypesConfig {
  const getTypeParser = (oid: number, format?: 'text'): unknown =>
    oid === pg.types.builtins.INT8 ? parse : pg.types.getTypeParser(oid, format)
  return { getTypeParser: getTypeParser as pg.CustomTypesConfig['getTypeParser'] }
}

type Connect = (
  database: TestDatabase,
  schema: string
) => [db: PostgresDatabase, end?: () => Promise<void>]

// `synchronous_commit=off` saves time. These tests do not cover a power failure.
function connectNodePostgres (options: pg.PoolConfig): Connect {
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

function connectPostgresJs (
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
  'node-postgres, int8 as string': connectNodePostgres({}),
  'node-postgres, named prepared statements': (database, schema) => {
    const [db] = connectNodePostgres({})(database, schema)
    return [withPreparedStatements(db as pg.Pool)]
  },
  'node-postgres, int8 as bigint': connectNodePostgres({ types: createInt8Types(BigInt) }),
  'node-postgres, int8 as number': connectNodePostgres({ types: createInt8Types(Number) }),
  'postgres.js': connectPostgresJs({}, true),
  'postgres.js, int8 as bigint, no prepared statements': connectPostgresJs({
    types: { bigint: postgres.BigInt }
  }, false),
  'postgres.js, fetch_types off': connectPostgresJs({ fetch_types: false }, true)
}

const strings = [
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

function createSession (value: string, i: number): Session {
  return {
    id: `s${i} ${value}`,
    userId: value,
    secretHash: `hash ${value}`,
    generation: 0,
    confirmedGeneration: 0,
    createdAt: NOW,
    authenticatedAt: NOW,
    rotatedAt: NOW,
    rotatedBy: { address: null, userAgent: value },
    lastUsedAt: NOW,
    expiresAt: NOW + 7 * DAY,
    endsAt: NOW + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: value, address: value, userAgent: value }
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

    await t.test('passes the conformance suite', async t => {
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await database.empty()
          return { store, other }
        }
      })
    })

    await t.test('strings are returned unchanged from batched rotations', async t => {
      await database.empty()
      let queries = 0
      const store = new PostgresStore({
        query: (text, values) =>
          db.query(text, values).finally(() => {
            queries++
          })
      })
      // Combines each string with another one. The last session has null instead.
      const createCaller = (i: number) => ({
        address: strings[i] ?? null,
        userAgent: strings[strings.length - 1 - i] ?? null
      })
      const sessions = [...strings, 'last'].map(createSession)
      await Promise.all(sessions.map(session => store.create(session)))
      const attempts = sessions.map(({ id: sessionId, secretHash, generation }, i) =>
        planRotation({ sessionId, secretHash, generation }, {
          now: NOW + DAY,
          lifetime: 7 * DAY,
          grace: 0,
          by: createCaller(i)
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
      t.equal(queries, 1, 'all attempts share one statement')
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

      // A driver can serialize a single value differently from an array.
      for (const [i, session] of expected.entries()) {
        const { id: sessionId, secretHash, generation } = session
        const by = createCaller(i)
        const { swapped, session: rotated } = await store.rotate(
          planRotation({ sessionId, secretHash, generation }, {
            now: NOW + 2 * DAY,
            lifetime: 7 * DAY,
            grace: 0,
            by
          })
        )
        t.strictSame([swapped, rotated?.rotatedBy], [true, by])
      }
    })
  })
}
