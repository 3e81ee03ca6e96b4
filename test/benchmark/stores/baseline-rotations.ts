/**
 * Compare-and-swap as short as each database allows, as the baseline for rotations.
 *
 * @module
 */

import type { RotationAttempt } from 'fastify-token-auth'
import type { Redis } from 'ioredis'
import type Libsql from 'libsql'
import type pg from 'pg'
import type { Rotate } from './rotation-load.js'

const createAssignments = (greatest: string, least: string): string => `
  generation = generation + 1, rotated_at = $now,
  rotated_by_address = $address, rotated_by_user_agent = $user_agent,
  last_used_at = ${greatest}(last_used_at, $now), expires_at = ${least}($until, ends_at)`
const condition = `
  id = $id AND secret_hash = $secret AND generation = $generation
  AND revoked_at IS NULL AND expires_at > $now
  AND (generation = 0 OR rotated_at <= $before OR rotated_at > $after)`
const parameters = [
  'id',
  'secret',
  'generation',
  'now',
  'until',
  'before',
  'after',
  'address',
  'user_agent'
] as const

/** Replaces names of parameters by their numbers, so that each value is sent once. */
function numberParameters (statement: string, sign: string): string {
  return parameters.reduce(
    (sql, name, i) => sql.replaceAll(new RegExp(`\\$${name}\\b`, 'g'), `${sign}${i + 1}`),
    statement
  )
}

function getValues ({
  sessionId,
  secretHash,
  generation,
  now,
  expiresAt,
  rotatedBefore,
  rotatedAfter,
  by
}: RotationAttempt): Array<string | number | null> {
  return [
    sessionId,
    secretHash,
    generation,
    now,
    expiresAt,
    rotatedBefore,
    rotatedAfter,
    by.address,
    by.userAgent
  ]
}

/** Creates rotations with a prepared statement, which returns the user of the session. */
export function createPostgresRotation (pool: pg.Pool): Rotate {
  const text = numberParameters(
    `UPDATE token_auth_sessions SET ${
      createAssignments('greatest', 'least')
    } WHERE ${condition} RETURNING user_id, expires_at`,
    '$'
  )

  return async attempt => {
    const { rowCount } = await pool.query({ name: 'rotate', text, values: getValues(attempt) })

    if (rowCount !== 1) {
      throw new Error('UPDATE did not rotate a session')
    }
  }
}

/** Creates rotations with a prepared statement, each in a transaction of its own. */
export function createSqliteRotation (db: Libsql.Database): Rotate {
  const statement = db.prepare(numberParameters(
    `UPDATE token_auth_sessions SET ${
      createAssignments('max', 'min')
    } WHERE ${condition} RETURNING user_id, expires_at`,
    '?'
  ))

  return async attempt => {
    if (statement.all(...getValues(attempt)).length !== 1) {
      throw new Error('UPDATE did not rotate a session')
    }
  }
}

const script = `
  local row = redis.call('HMGET', KEYS[1], 'fixed', 'secretHash', 'generation',
    'confirmedGeneration', 'rotatedAt', 'rotatedBy', 'lastUsedAt', 'expiresAt', 'endsAt',
    'revokedAt', 'revokedFor')
  local secret, generation, now, expires, before, after, by = unpack(ARGV)
  local rotatedAt = tonumber(row[5])
  if row[2] ~= secret or row[3] ~= generation or row[10] or tonumber(now) >= tonumber(row[8])
    or not (generation == '0' or rotatedAt <= tonumber(before) or rotatedAt > tonumber(after))
  then return false end
  row[3] = string.format('%.0f', tonumber(generation) + 1)
  row[5] = now
  row[6] = by
  if tonumber(now) > tonumber(row[7]) then row[7] = now end
  row[8] = row[9]
  if tonumber(expires) < tonumber(row[9]) then row[8] = expires end
  redis.call('HSET', KEYS[1],
    'generation', row[3], 'rotatedAt', now, 'rotatedBy', by,
    'lastUsedAt', row[7], 'expiresAt', row[8])
  return row`

/**
 * Creates rotations with a Lua script that returns the whole row.
 *
 * The row is not parsed into a session.
 */
export async function createRedisRotation (redis: Redis, prefix: string): Promise<Rotate> {
  const sha = await redis.script('LOAD', script) as string

  return async attempt => {
    const { sessionId, secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by } =
      attempt
    const row = await redis.evalsha(
      sha,
      1,
      `${prefix}s:{${sessionId}}`,
      secretHash,
      generation,
      now,
      expiresAt,
      rotatedBefore,
      rotatedAfter,
      JSON.stringify(by)
    )

    if (row === null) {
      throw new Error('Script did not rotate a session')
    }
  }
}
