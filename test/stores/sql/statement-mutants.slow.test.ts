import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import mysql from 'mysql2/promise'
import t from 'tap'
import type { Test } from 'tap'
import type { OpenStore } from '../../../src/stores/conformance/token-store.js'
import { scripts } from '../../../src/stores/redis/scripts.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { MysqlStore } from '../../../src/stores/mysql/index.js'
import type { MysqlPool } from '../../../src/stores/mysql/index.js'
import { statements as mysqlStatements } from '../../../src/stores/mysql/statements.js'
import { functions as postgresFunctions } from '../../../src/stores/postgres/functions.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { statements as postgresStatements } from '../../../src/stores/postgres/statements.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { statements as sqliteStatements } from '../../../src/stores/sqlite/statements.js'
import { findConformanceFailures } from '../../helpers/conformance-failures.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'
import { deleteKeys, randomPrefix, redisUrl, whyNoRedis } from '../../helpers/databases/redis.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

type Rewrite = (statement: string) => string
/** Opens an empty store that applies `rewrite` to each statement before it is sent. */
type Open = (rewrite: Rewrite) => Promise<OpenStore>
/** Statements with a fault. The prefix of a name selects the conformance tests that must fail. */
type Mutants = Readonly<
  Record<
    `${'revoke' | 'rotate' | 'sweep'}: ${string}`,
    ReadonlyArray<readonly [statementOrPart: string, mutant: string]>
  >
>

function change (
  statement: string,
  changes: Readonly<Record<string, string>>
): readonly [statement: string, mutant: string] {
  return [
    statement,
    Object.entries(changes).reduce((changed, [from, to]) => {
      assert.ok(changed.includes(from), `the statement contains ${from}`)
      return changed.replace(from, () => to)
    }, statement)
  ]
}

async function testMutants (t: Test, open: Open, mutants: Mutants): Promise<void> {
  await t.test('the store without a fault passes the conformance suite', async t => {
    const failures = await findConformanceFailures(
      () => open(statement => statement),
      /^(rotate|sweep)/
    )
    t.strictSame(failures, [])
  })

  for (const [name, changes] of Object.entries(mutants)) {
    await t.test(name, async t => {
      const sent = new Set<string>()

      const rewrite: Rewrite = statement => {
        const [part, mutant] = changes.find(([part]) => statement.includes(part)) ?? []

        if (part === undefined || mutant === undefined) {
          return statement
        }

        sent.add(part)
        return statement.replace(part, () => mutant)
      }

      const failures = await findConformanceFailures(
        () => open(rewrite),
        new RegExp(`^${name.split(':', 1)[0]}`)
      )
      t.equal(sent.size, changes.length, 'all mutants were sent')
      t.ok(failures.length > 0, 'at least one test fails')

      // A mutant that the database rejects as invalid would test nothing.
      for (const { title, error } of failures) {
        t.type(error, assert.AssertionError, title)
      }
    })
  }
}

t.test('PostgreSQL', async t => {
  const server = await answers(POSTGRES_URL)
    ? { url: POSTGRES_URL, stop: async () => {} }
    : await startPostgres()
  t.teardown(() => server.stop())
  const database = await createPostgresDatabase(server.url)
  t.teardown(() => database.remove())
  const pools = [database.connect(), database.connect()] as const

  const open: Open = async rewrite => {
    await database.empty()
    const [store, other] = pools.map(pool =>
      new PostgresStore({ query: (sql, values) => pool.query(rewrite(sql), values) })
    ) as [PostgresStore, PostgresStore]
    return { store, other }
  }

  // Creates a copy of the rotation function with a fault. Returns the statement that calls it.
  const createFunctionMutant = async (
    name: string,
    changes: Readonly<Record<string, string>>
  ): Promise<readonly [string, string]> => {
    const [, mutant] = change(postgresFunctions.rotate, {
      ...changes,
      token_auth_rotate: name
    })
    await pools[0].query(mutant)
    return change(postgresStatements.rotateOne, { token_auth_rotate: name })
  }

  const withoutLimit = { 'LIMIT $2': 'LIMIT $2 + 1000000' }
  const withoutChecks = {
    's.generation = a.from_generation': 'true',
    's.generation = 0 OR': 'true OR'
  }
  // Sends all attempts through `rotate`, which otherwise handles only failed attempts.
  const noneCanRotate = change(postgresStatements.rotateFitting, {
    'WHERE s.id': 'WHERE false AND s.id'
  })
  await testMutants(t, open, {
    'rotate: one attempt, reads, compares and then writes': [
      await createFunctionMutant('unlocked', {
        'UPDATE token_auth_sessions s':
          `PERFORM FROM token_auth_sessions s WHERE s.id = of_id AND s.generation = from_generation
        AND (s.generation = 0 OR s.grace_from <= grace_before OR s.grace_from > grace_after);
        UPDATE token_auth_sessions s`,
        's.generation = from_generation\n      AND': 'FOUND AND',
        'OR s.grace_from > grace_after\n': 'OR true\n'
      })
    ],
    'rotate: one attempt, compares neither generation nor grace': [
      await createFunctionMutant('unchecked', {
        's.generation = from_generation': 'true',
        's.generation = 0 OR': 'true OR'
      })
    ],
    'rotate: several attempts, compares neither generation nor grace': [
      change(postgresStatements.rotateFitting, withoutChecks)
    ],
    // A SELECT next to an UPDATE in one statement reads the snapshot from before the UPDATE.
    'rotate: returns the old row after a lost race': [noneCanRotate, [
      postgresStatements.rotate,
      `
      WITH attempt AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
          $6::text[]::boolean[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
          $11::text[], $12::text[])
        AS a (realm, id, secret, from_generation, to_generation, heals, now, until,
          grace_before, grace_after, by_address, by_user_agent)
      ), swapped AS (
        UPDATE token_auth_sessions s
        SET generation = a.to_generation, rotated_at = a.now, rotated_by_address = a.by_address,
          rotated_by_user_agent = a.by_user_agent, last_used_at = greatest(s.last_used_at, a.now),
          grace_from = greatest(s.grace_from, a.now), expires_at = least(a.until, s.ends_at)
        FROM attempt a
        WHERE s.id = a.id COLLATE "C" AND s.secret_hash = a.secret COLLATE "C"
          AND s.generation = a.from_generation
          AND s.revoked_at IS NULL AND s.expires_at > a.now
          AND (s.generation = 0 OR s.grace_from <= a.grace_before OR s.grace_from > a.grace_after)
        RETURNING s.*
      )
      SELECT true AS swapped, swapped.* FROM swapped
      UNION ALL SELECT false, s.* FROM attempt a
      JOIN token_auth_sessions s ON s.id = a.id COLLATE "C"
      WHERE NOT EXISTS (SELECT 1 FROM swapped WHERE swapped.id = s.id)`
    ]],
    'rotate: selects, then updates without a lock': [
      noneCanRotate,
      change(postgresStatements.rotate, { 'FOR UPDATE OF s': '' })
    ],
    'rotate: compares neither generation nor grace': [
      change(postgresStatements.rotate, withoutChecks)
    ],
    'sweep: deletes sessions without a limit': [
      change(postgresStatements.sweepSessions, withoutLimit)
    ],
    'sweep: deletes not-befores without a limit': [
      change(postgresStatements.sweepNotBefores, withoutLimit)
    ],
    'sweep: deletes not-befores that still end a session': [
      change(postgresStatements.sweepNotBefores, {
        'SELECT max(s.expires_at)': 'SELECT NULL::bigint'
      })
    ]
  })
})

// SQLite transactions lock the whole file, so no mutant can cause a race here.
t.test('SQLite', async t => {
  const open: Open = async rewrite => {
    const file = createSqliteFile()
    const [store, other] = [file.connect(), file.connect()].map(db =>
      new SqliteStore({ exec: sql => db.exec(sql), prepare: sql => db.prepare(rewrite(sql)) })
    ) as [SqliteStore, SqliteStore]
    await store.migrate()

    return {
      store,
      other,
      close: () => {
        file.remove()
      }
    }
  }

  const withoutLimit = { 'LIMIT ?': 'LIMIT ? + 1000000' }
  await testMutants(t, open, {
    'rotate: compares neither generation nor grace': [
      change(sqliteStatements.rotate, {
        'AND generation = ?': 'AND ? >= 0',
        'generation = 0 OR': 'true OR'
      })
    ],
    'rotate: heals no expired session': [
      change(sqliteStatements.rotate, { '? = 1 OR': '? = 2 OR' })
    ],
    'rotate: moves `graceFrom` back': [
      change(sqliteStatements.rotate, { 'max(grace_from, ?)': '?' })
    ],
    'revoke: finds a session as if no not-before ended it': [
      change(sqliteStatements.find, { 'AS not_before_at': 'AS unused_at' })
    ],
    'revoke: ignores sessions that were created later': [
      change(sqliteStatements.findLatestCreation, { 'max(created_at)': 'min(created_at) - 99' })
    ],
    'sweep: deletes sessions without a limit': [
      change(sqliteStatements.sweepSessions, withoutLimit)
    ],
    'sweep: deletes not-befores without a limit': [
      change(sqliteStatements.sweepNotBefores, withoutLimit)
    ],
    'sweep: deletes not-befores that end sessions': [
      change(sqliteStatements.sweepNotBefores, { 'AND NOT EXISTS': 'OR EXISTS' })
    ]
  })
})

/** Returns the pool with `rewrite` applied to every prepared statement. */
function rewriteStatements (pool: mysql.Pool, rewrite: Rewrite): MysqlPool {
  return {
    execute: (sql, values) => pool.execute(rewrite(sql), values),
    async getConnection () {
      const connection = await pool.getConnection()

      return Object.assign(Object.create(connection) as mysql.PoolConnection, {
        execute: (sql: string, values: Buffer[]) => connection.execute(rewrite(sql), values),
        query: (sql: string) => connection.query(rewrite(sql))
      })
    }
  }
}

t.test('MySQL', { skip: await whyNoMysql() }, async t => {
  const database = `token_auth_test_${randomBytes(6).toString('hex')}`
  const admin = mysql.createPool({ uri: mysqlUrl, connectionLimit: 1, multipleStatements: true })
  await admin.query(`CREATE DATABASE ${database}`)
  const pools = [1, 2].map(() =>
    mysql.createPool({ uri: mysqlUrl, database, connectionLimit: 8 })
  ) as [mysql.Pool, mysql.Pool]
  t.teardown(async () => {
    await admin.query(`DROP DATABASE ${database}`)
    await Promise.all([admin, ...pools].map(pool => pool.end()))
  })
  await new MysqlStore(pools[0]).migrate()

  const open: Open = async rewrite => {
    await admin.query(
      `DELETE FROM ${database}.token_auth_sessions;
      DELETE FROM ${database}.token_auth_not_befores;
      DELETE FROM ${database}.token_auth_realms;
      DELETE FROM ${database}.token_auth_revocations`
    )
    const [store, other] = pools.map(pool => new MysqlStore(rewriteStatements(pool, rewrite))) as [
      MysqlStore,
      MysqlStore
    ]
    return { store, other }
  }

  await testMutants(t, open, {
    'rotate: selects, then updates without a lock': [
      change(mysqlStatements.takeForRotation, { 'FOR UPDATE': '' })
    ],
    'rotate: writes a row that has changed since it was read': [
      change(mysqlStatements.rotate, {
        'AND generation = ? AND confirmed_generation = ?': 'AND ? >= 0 AND ? >= 0',
        'AND grace_from = ? AND last_used_at = ? AND replay_generation = ?':
          'AND ? >= 0 AND ? >= 0 AND ? >= 0'
      })
    ],
    'revoke: finds a session as if no not-before of the realm ended it': [
      change(mysqlStatements.find, { 'r.not_before >= s': 'r.not_before < 0 AND 0 <> s' })
    ],
    'revoke: lists sessions as if no not-before of the realm ended them': [
      change(mysqlStatements.list, {
        's.created_at > COALESCE': 's.created_at > -9 + 0 * COALESCE',
        's.authenticated_at > COALESCE': 's.authenticated_at > -9 + 0 * COALESCE'
      })
    ],
    'revoke: ignores sessions that were created later': [
      change(mysqlStatements.setUserNotBefore, { 'MAX(s.created_at)': 'MIN(s.created_at) - 99' })
    ],
    // The server accepts no expression as a limit, so the mutant appends digits to the number.
    'sweep: deletes records without a limit': [
      [' FOR UPDATE SKIP LOCKED', '0000 FOR UPDATE SKIP LOCKED']
    ],
    'sweep: deletes not-befores that still end a session': [
      ['AND s.authenticated_at <= old.not_before', 'AND s.authenticated_at < 0']
    ]
  })
})

t.test('Redis', { skip: await whyNoRedis() }, async t => {
  const redis = new Redis(redisUrl)
  t.teardown(() => {
    redis.disconnect()
  })

  const open: Open = async rewrite => {
    const prefix = randomPrefix()
    const store = new RedisStore({
      evalsha: () => Promise.reject(new Error('NOSCRIPT: the test rewrites the source of scripts')),
      eval: (script: string, keys: number, ...input: string[]) =>
        redis.eval(rewrite(script), keys, ...input)
    }, { prefix })
    return { store, close: () => deleteKeys(redis, prefix) }
  }

  await testMutants(t, open, {
    'rotate: compares neither generation nor grace': [
      change(scripts.rotate.text, {
        'row[4] == from and': '',
        'from == \'0\' or': 'true or'
      })
    ],
    'rotate: does not compare the realm': [
      change(scripts.rotate.text, { 'row[2] ~= realm': 'not row[1]' })
    ],
    'rotate: lets graceFrom go back': [
      change(scripts.rotate.text, { 'tonumber(now) > graceFrom': 'true' })
    ],
    'rotate: ignores the absolute end': [
      change(scripts.rotate.text, {
        'tonumber(expiresAt) < tonumber(row[11]) and expiresAt or row[11]': 'expiresAt'
      })
    ],
    'sweep: deletes sessions that are not expired': [
      change(scripts.findExpired.text, { 'tonumber(row[1]) >= tonumber(ARGV[1])': 'false' }),
      change(scripts.deleteExpired.text, { 'tonumber(expiresAt) >= tonumber(ARGV[1])': 'false' })
    ],
    'sweep: deletes the not-befores of sessions that are left': [
      change(scripts.sweepNotBefore.text, { '#left > 0': 'false' })
    ],
    'sweep: deletes entries of the feed by no time': [
      change(scripts.sweepFeed.text, { '\'(\' .. ARGV[1]': '\'+\'' })
    ]
  })
})
