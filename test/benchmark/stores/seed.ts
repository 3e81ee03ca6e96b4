/**
 * Inserts many sessions directly into a database, because `create` would take too long.
 *
 * Id and secret of the n-th session are computed from n, in databases as in Node.js. So each
 * session can be found and rotated. Ids are spread over the whole index, as random ones are. Each
 * session has a user of its own.
 *
 * @module
 */

import { getShard, getUserShard } from '../../../dist/stores/redis/keys.js'

export const DAY = 86_400_000

/** Realm of all sessions: the default name of a registration. */
export const REALM = 'auth'

/** Number of sessions for large tables. Use fewer to try the benchmark. */
export const MANY_SESSIONS = Number(process.env.SESSIONS ?? 1_000_000)

/** A usual browser, because the user agent is the largest part of a session. */
export const caller = {
  address: '192.0.2.1',
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 ' +
    '(KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
} as const

/** Sessions to insert. */
export interface Seed {
  readonly count: number
  /** Idle expiry of the first session, in milliseconds since 1970. */
  readonly firstExpiry: number
}

/** Time between two expiries. A million sessions expire within an hour, like in hourly sweeps. */
export const EXPIRY_STEP = 3

const MULTIPLIER = 2_654_435_761
const MODULUS = 2 ** 32
const ID_DIGITS = 31
const SECRET_DIGITS = 43
const ABSOLUTE_LIFETIME = 23 * DAY

/** Returns the id of the n-th session. */
export function createSessionId (n: number): string {
  return `s${String((n * MULTIPLIER) % MODULUS).padStart(ID_DIGITS, '0')}`
}

/** Returns the secret hash of the n-th session. */
export function createSecretHash (n: number): string {
  return String(n).padStart(SECRET_DIGITS, '0')
}

/** Differences between SQL dialects. */
export interface SqlDialect {
  /** Returns a `WITH` clause for a table `numbers`, whose column `n` counts from 0. */
  readonly numbers: (count: number) => string
  readonly concat: (...parts: string[]) => string
  /** Returns a number as a string, padded with zeros. */
  readonly pad: (number: string, digits: number) => string
}

/** Creates one statement that inserts all sessions. */
export function createInsert (
  table: string,
  { count, firstExpiry }: Seed,
  { numbers, concat, pad }: SqlDialect
): string {
  const createdAt = firstExpiry - 7 * DAY
  const expiry = `${firstExpiry} + n * ${EXPIRY_STEP}`
  const values = {
    id: concat('\'s\'', pad(`n * ${MULTIPLIER} % ${MODULUS}`, ID_DIGITS)),
    realm: `'${REALM}'`,
    user_id: concat('\'u\'', pad('n', 0)),
    secret_hash: pad('n', SECRET_DIGITS),
    generation: 0,
    confirmed_generation: 0,
    created_at: createdAt,
    authenticated_at: createdAt,
    rotated_at: createdAt,
    rotated_by_address: `'${caller.address}'`,
    rotated_by_user_agent: `'${caller.userAgent}'`,
    grace_from: createdAt,
    last_used_at: createdAt,
    expires_at: expiry,
    ends_at: `${expiry} + ${ABSOLUTE_LIFETIME}`,
    device_user_agent: `'${caller.userAgent}'`,
    device_address: `'${caller.address}'`,
    replay_generation: 0,
    replay_length: 0,
    sweep_after: expiry
  }
  const columns = Object.keys(values).join(', ')
  const expressions = Object.values(values).join(', ')

  // In the order of ids, which is the fastest order for the index.
  return `INSERT INTO ${table} (${columns}) ${
    numbers(count)
  } SELECT ${expressions} FROM numbers WHERE n < ${count} ORDER BY 1`
}

/** Returns the shards of sessions and of their users: two hexadecimal digits for each session. */
export function createRedisShards (from: number, to: number): string {
  return Array.from(
    { length: to - from },
    (_, i) =>
      [getShard(createSessionId(from + i)), getUserShard(REALM, `u${from + i}`)]
        .map(shard => shard.toString(16)).join('')
  ).join('')
}

/**
 * Lua script that inserts sessions into Redis.
 *
 * ARGV: prefix, from, to, first expiry, now, shards of {@link createRedisShards}. It computes the
 * names of its keys, so that it works on a single server only, not on a cluster.
 */
export const redisInsert = `
  local prefix, from, to = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
  local first, now = tonumber(ARGV[4]), tonumber(ARGV[5])
  local integer = function (number) return string.format('%.0f', number) end
  local caller = '{"address":"${caller.address}","userAgent":"${caller.userAgent}"}'
  local device = '{"label":null,"address":"${caller.address}","userAgent":"${caller.userAgent}"}'
  local at = integer(first - ${7 * DAY})
  local function tag (position)
    return prefix .. '{' .. tonumber(string.sub(ARGV[6], position, position), 16) .. '}:'
  end
  for n = from, to - 1 do
    local ofSession, ofUser = tag(2 * (n - from) + 1), tag(2 * (n - from) + 2)
    local id = 's' .. string.format('%0${ID_DIGITS}.0f', n * ${MULTIPLIER} % ${MODULUS})
    local user, expires = 'u' .. n, first + n * ${EXPIRY_STEP}
    local ends = expires + ${ABSOLUTE_LIFETIME}
    local ttl = integer(math.max(ends - now, 0) + ${DAY})
    local userKey = ofUser .. 'u:${REALM}:' .. user
    redis.call('ZADD', userKey, at, id)
    redis.call('PEXPIRE', userKey, ttl)
    redis.call('ZADD', ofSession .. 'ends', integer(expires), id)
    redis.call('HSET', ofSession .. 's:' .. id, 'mark', 'benchmark123', 'realm', '${REALM}',
      'fixed', '{"id":"' .. id .. '","userId":"' .. user .. '","createdAt":' .. at ..
        ',"authenticatedAt":' .. at .. ',"device":' .. device .. '}',
      'secretHash', string.format('%0${SECRET_DIGITS}.0f', n),
      'generation', '0', 'confirmedGeneration', '0', 'rotatedAt', at, 'rotatedBy', caller,
      'graceFrom', at, 'lastUsedAt', at, 'expiresAt', integer(expires), 'endsAt', integer(ends))
    redis.call('PEXPIRE', ofSession .. 's:' .. id, ttl)
  end`
