import pg from 'pg'
import postgres from 'postgres'
import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import { testAttemptStore } from '../../../src/stores/conformance/attempt-store.js'
import {
  attemptAt,
  makeSession,
  NOW,
  readFeed,
  sortEntries,
  touchOf
} from '../../../src/stores/conformance/harness.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import {
  PostgresAttempts,
  PostgresStore,
  withPreparedStatements
} from '../../../src/stores/postgres/index.js'
import type { PostgresDatabase } from '../../../src/stores/postgres/index.js'
import type { Revocation, Session } from '../../../src/stores/token-store.js'
import { DAY } from '../../helpers/clock.js'
import { createPostgresDatabase } from '../../helpers/databases/postgres.js'
import type { PostgresDatabase as TestDatabase } from '../../helpers/databases/postgres.js'
import { openServer } from './postgres-helpers.js'

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
    const sql = postgres(url, {
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
  return makeSession({
    id: `s${i} ${value}`,
    realm: value,
    userId: value,
    secretHash: `hash ${value}`,
    rotatedBy: { address: null, userAgent: value },
    device: { label: value, address: value, userAgent: value }
  })
}

const url = await openServer(t)

for (const [name, connect] of Object.entries(drivers)) {
  await t.test(name, async t => {
    const database = await createPostgresDatabase(url)
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
    const second = open()

    await t.test('passes the conformance suites', async t => {
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await database.empty()
          return { store: new PostgresStore(db), other: new PostgresStore(second) }
        }
      })
      testAttemptStore({
        test: (name, run) => t.test(name, run),
        open: async () => {
          await database.empty()
          return { store: new PostgresAttempts(db), other: new PostgresAttempts(second) }
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
      const attempts = sessions.map((session, i) =>
        attemptAt(session, NOW + DAY, { by: createCaller(i) })
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
        expected.map(session =>
          touchOf(session, { lastUsedAt: NOW + 2 * DAY, confirmedGeneration: 1 })
        )
      )

      for (const session of expected) {
        const touched = { ...session, lastUsedAt: NOW + 2 * DAY, confirmedGeneration: 1 }
        t.strictSame(await store.find(session.realm, session.id), touched)
        const listed = await store.list(session.realm, session.userId, { now: NOW, limit: 2 })
        t.strictSame(listed, [touched])
      }

      // A driver can serialize a single value differently from an array.
      for (const [i, session] of expected.entries()) {
        const by = createCaller(i)
        const { swapped, session: rotated } = await store.rotate(
          attemptAt(session, NOW + 2 * DAY, { by })
        )
        t.strictSame([swapped, rotated?.rotatedBy], [true, by])
      }

      const expectedEntries: Revocation[] = []

      for (const { id: sessionId, realm, userId } of expected) {
        await store.revoke({ realm, sessionId }, { at: NOW, reason: 'logout' })
        await store.revoke({ realm, userId, keep: sessionId }, { at: NOW + 1, reason: 'revoked' })
        expectedEntries.push(
          { realm, at: NOW, reason: 'logout', sessionId, userId },
          { realm, at: NOW + 1, reason: 'revoked', userId, before: NOW + 1, keep: sessionId }
        )
      }

      t.strictSame(sortEntries((await readFeed(store)).entries), sortEntries(expectedEntries))
    })
  })
}
