// The real statements with one fault each, put in between a store and its driver: the conformance
// suite must catch every one. mutants.test.ts does so to a store in memory; here databases race.

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
import { statements as mysqlSays } from '../../../src/stores/mysql/statements.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { statements as postgresSays } from '../../../src/stores/postgres/statements.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { statements as sqliteSays } from '../../../src/stores/sqlite/statements.js'
import { brokenLaws } from '../../helpers/broken-laws.js'
import { mysqlUrl, whyNoMysql } from '../../helpers/databases/mysql.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'
import { deleteKeys, randomPrefix, redisUrl, whyNoRedis } from '../../helpers/databases/redis.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

type Rewrite = (text: string) => string
/** Gives a store that holds nothing, whose statements are rewritten on their way. */
type Open = (rewrite: Rewrite) => Promise<OpenStore>
/** What becomes of which statements; the name begins with the verb whose laws are broken by it. */
type Mutants = Readonly<
  Record<
    `${'rotate' | 'sweep'}: ${string}`,
    ReadonlyArray<readonly [text: string, mutated: string]>
  >
>

function change (
  text: string,
  changes: Readonly<Record<string, string>>
): readonly [text: string, mutated: string] {
  return [
    text,
    Object.entries(changes).reduce((changed, [from, to]) => {
      assert.ok(changed.includes(from), `the statement says ${from}`)
      return changed.replace(from, () => to)
    }, text)
  ]
}

async function testMutants (t: Test, open: Open, mutants: Mutants): Promise<void> {
  await t.test('unmutated it breaks no law', async t => {
    t.strictSame(await brokenLaws(() => open(text => text), /^(rotate|sweep)/), [])
  })

  for (const [name, changes] of Object.entries(mutants)) {
    await t.test(name, async t => {
      const mutated = new Map(changes)
      const sent = new Set<string>()

      const rewrite: Rewrite = text => {
        if (mutated.has(text)) {
          sent.add(text)
        }

        return mutated.get(text) ?? text
      }

      const broken = await brokenLaws(
        () => open(rewrite),
        name.startsWith('rotate') ? /^rotate/ : /^sweep/
      )
      t.equal(sent.size, mutated.size, 'the mutants were sent')
      t.ok(broken.length > 0, 'at least one law is broken')

      // A mutant that the database refuses would prove nothing.
      for (const { law, error } of broken) {
        t.type(error, assert.AssertionError, law)
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
      new PostgresStore({ query: (text, values) => pool.query(rewrite(text), values) })
    ) as [PostgresStore, PostgresStore]
    return { store, other }
  }

  // The function of one rotation with a fault, under a name of its own, and the statement that
  // calls it.
  const alone = async (
    name: string,
    changes: Readonly<Record<string, string>>
  ): Promise<readonly [string, string]> => {
    const [, mutated] = change(PostgresStore.migrations[2] as string, {
      ...changes,
      token_auth_rotate: name
    })
    await pools[0].query(mutated)
    return change(postgresSays.rotateOne, { token_auth_rotate: name })
  }

  const withoutLimit = { 'LIMIT $2': 'LIMIT $2 + 1000000' }
  const careless = { 's.generation = a.at_generation': 'true', 's.generation = 0 OR': 'true OR' }
  // So that all go through the statement that locks, which is otherwise for those who do not fit.
  const nobodyFits = change(postgresSays.rotateFitting, { 'WHERE s.id': 'WHERE false AND s.id' })
  await testMutants(t, open, {
    'rotate: alone, shows losers the row as it was before': [
      await alone('stale', {
        'shown token_auth_sessions;': 'shown token_auth_sessions; before token_auth_sessions;',
        BEGIN:
          'BEGIN SELECT s.* INTO before FROM token_auth_sessions s WHERE s.id = of_id COLLATE "C";',
        'SELECT s.* INTO shown FROM token_auth_sessions s WHERE s.id = of_id COLLATE "C"':
          'SELECT before.* INTO shown'
      })
    ],
    'rotate: alone, reads, compares and then writes': [
      await alone('unlocked', {
        'UPDATE token_auth_sessions s':
          `PERFORM FROM token_auth_sessions s WHERE s.id = of_id AND s.generation = at_generation
        AND (s.generation = 0 OR s.rotated_at <= rotated_before OR s.rotated_at > rotated_after);
        UPDATE token_auth_sessions s`,
        's.generation = at_generation\n      AND': 'FOUND AND',
        '(s.generation = 0 OR s.rotated_at <= rotated_before OR s.rotated_at > rotated_after)\n    RETURNING':
          'true RETURNING'
      })
    ],
    'rotate: alone, compares neither generation nor grace': [
      await alone('careless', {
        's.generation = at_generation': 'true',
        's.generation = 0 OR': 'true OR'
      })
    ],
    'rotate: together, compares neither generation nor grace': [
      change(postgresSays.rotateFitting, careless)
    ],
    // What is selected beside an UPDATE is the snapshot of before.
    'rotate: shows losers the row as it was before': [nobodyFits, [
      postgresSays.rotate,
      `
      WITH attempt AS (
        SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
          $8::text[], $9::text[])
        AS a (id, secret, at_generation, now, until, rotated_before, rotated_after, by_address, by_user_agent)
      ), swapped AS (
        UPDATE token_auth_sessions s
        SET generation = s.generation + 1, rotated_at = a.now, rotated_by_address = a.by_address,
          rotated_by_user_agent = a.by_user_agent, last_used_at = greatest(s.last_used_at, a.now),
          expires_at = least(a.until, s.ends_at)
        FROM attempt a
        WHERE s.id = a.id COLLATE "C" AND s.secret_hash = a.secret COLLATE "C" AND s.generation = a.at_generation
          AND s.revoked_at IS NULL AND s.expires_at > a.now
          AND (s.generation = 0 OR s.rotated_at <= a.rotated_before OR s.rotated_at > a.rotated_after)
        RETURNING s.*
      )
      SELECT true AS swapped, swapped.* FROM swapped
      UNION ALL SELECT false, s.* FROM attempt a JOIN token_auth_sessions s ON s.id = a.id COLLATE "C"
      WHERE NOT EXISTS (SELECT 1 FROM swapped WHERE swapped.id = s.id)`
    ]],
    'rotate: selects, then updates without a lock': [
      nobodyFits,
      change(postgresSays.rotate, { 'FOR UPDATE OF s': '' })
    ],
    'rotate: compares neither generation nor grace': [change(postgresSays.rotate, careless)],
    'sweep: takes sessions without a limit': [
      change(postgresSays.sweepSessions, withoutLimit),
      // Or this fails, whose limit is what the sessions have left of it.
      change(postgresSays.sweepUsers, { 'LIMIT $2': 'LIMIT greatest($2, 0)' })
    ],
    'sweep: takes users without a limit': [change(postgresSays.sweepUsers, withoutLimit)]
  })
})

// Its transactions lock the file as a whole, and no statement can undo that: nothing races here.
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
      change(sqliteSays.rotate, { 'generation = ?': '? >= 0', 'generation = 0 OR': 'true OR' })
    ],
    'sweep: takes sessions without a limit': [change(sqliteSays.sweepSessions, withoutLimit)],
    'sweep: takes users without a limit': [change(sqliteSays.sweepUsers, withoutLimit)]
  })
})

/** Why it is skipped; `false` where a server answers. In CI one has to. */
function rewriting (pool: mysql.Pool, rewrite: Rewrite): MysqlPool {
  return {
    execute: (sql, values) => pool.execute(rewrite(sql), values),
    async getConnection () {
      const connection = await pool.getConnection()

      return Object.assign(Object.create(connection) as mysql.PoolConnection, {
        execute: (sql: string, values: Buffer[]) => connection.execute(rewrite(sql), values)
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
      `DELETE FROM ${database}.token_auth_sessions; DELETE FROM ${database}.token_auth_revoked_users`
    )
    const [store, other] = pools.map(pool => new MysqlStore(rewriting(pool, rewrite))) as [
      MysqlStore,
      MysqlStore
    ]
    return { store, other }
  }

  await testMutants(t, open, {
    'rotate: selects, then updates without a lock': [
      change(mysqlSays.takeForRotation, { 'FOR UPDATE': '' })
    ],
    'rotate: compares neither generation nor grace': [
      change(mysqlSays.rotate, {
        'generation = ? AND': '? >= 0 AND',
        'generation = 0 OR': 'true OR'
      })
    ],
    'sweep: takes users without a limit': [change(mysqlSays.takeUsers, { 'LIMIT ?': 'AND ? > 0' })]
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
      evalsha: () => Promise.reject(new Error('NOSCRIPT: scripts come as text, to be rewritten')),
      eval: (text: string, keys: number, ...input: string[]) =>
        redis.eval(rewrite(text), keys, ...input)
    }, { prefix })
    return { store, close: () => deleteKeys(redis, prefix) }
  }

  await testMutants(t, open, {
    'rotate: compares neither generation nor grace': [
      change(scripts.rotate.text, {
        'row[3] == generation and': '',
        'generation == \'0\' or': 'true or'
      })
    ],
    'sweep: takes users without a limit': [
      change(scripts.sweepUsers.text, { '\'LIMIT\', 0, ARGV[2]': '\'LIMIT\', 0, 1000000' })
    ]
  })
})
