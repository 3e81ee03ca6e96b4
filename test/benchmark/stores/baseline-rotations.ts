/**
 * Compare-and-swap as short as each database allows, as the baseline for rotations.
 *
 * @module
 */

import type { RotationAttempt } from 'fastify-token-auth'
import type { Redis } from 'ioredis'
import type Libsql from 'libsql'
import type pg from 'pg'
import { getShard } from '../../../dist/stores/redis/keys.js'
import type { Rotate } from './rotation-load.js'

const createAssignments = (greatest: string, least: string): string => `
  generation = $to, rotated_at = $now,
  rotated_by_address = $address, rotated_by_user_agent = $user_agent,
  grace_from = ${greatest}(grace_from, $now),
  last_used_at = ${greatest}(last_used_at, $now), expires_at = ${least}($until, ends_at)`
const condition = `
  id = $id AND realm = $realm AND secret_hash = $secret AND generation = $from
  AND revoked_at IS NULL AND expires_at > $now
  AND (generation = 0 OR grace_from <= $before OR grace_from > $after)`
const parameters = [
  'id',
  'realm',
  'secret',
  'from',
  'to',
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
  realm,
  secretHash,
  from,
  to,
  now,
  expiresAt,
  graceBefore,
  graceAfter,
  by
}: RotationAttempt): Array<string | number | null> {
  return [
    sessionId,
    realm,
    secretHash,
    from,
    to,
    now,
    expiresAt,
    graceBefore,
    graceAfter,
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
  local row = redis.call('HMGET', KEYS[1], 'fixed', 'realm', 'secretHash', 'generation',
    'confirmedGeneration', 'rotatedAt', 'rotatedBy', 'graceFrom', 'lastUsedAt', 'expiresAt',
    'endsAt', 'revokedAt', 'revokedFor', 'replayRun')
  local realm, secret, from, to, now, expires, before, after, by = unpack(ARGV)
  local graceFrom = tonumber(row[8])
  if row[2] ~= realm or row[3] ~= secret or row[4] ~= from or row[12]
    or tonumber(now) >= tonumber(row[10])
    or not (from == '0' or graceFrom <= tonumber(before) or graceFrom > tonumber(after))
  then return false end
  row[4] = to
  row[6] = now
  row[7] = by
  if tonumber(now) > graceFrom then row[8] = now end
  if tonumber(now) > tonumber(row[9]) then row[9] = now end
  row[10] = row[11]
  if tonumber(expires) < tonumber(row[11]) then row[10] = expires end
  redis.call('HSET', KEYS[1],
    'generation', to, 'rotatedAt', now, 'rotatedBy', by, 'graceFrom', row[8],
    'lastUsedAt', row[9], 'expiresAt', row[10])
  return row`

/**
 * Creates rotations with a Lua script that returns the whole row.
 *
 * The row is not parsed into a session.
 */
export async function createRedisRotation (redis: Redis, prefix: string): Promise<Rotate> {
  const sha = await redis.script('LOAD', script) as string

  return async attempt => {
    const { realm, sessionId, secretHash, from, to, now, expiresAt, by } = attempt
    const row = await redis.evalsha(
      sha,
      1,
      `${prefix}{${getShard(sessionId)}}:s:${sessionId}`,
      realm,
      secretHash,
      from,
      to,
      now,
      expiresAt,
      attempt.graceBefore,
      attempt.graceAfter,
      JSON.stringify(by)
    )

    if (row === null) {
      throw new Error('Script did not rotate a session')
    }
  }
}
