// Many sessions at once, made where they will lie: a million calls of `create` would take longer than all that is measured.
//
// The n-th session has an id and a secret that every database can work out from n, and that node can, too; so each of them can be
// found and rotated. Ids are spread over the whole index, as random ones are. Every session has a user of its own.

export const DAY = 86_400_000

/** How many sessions `many` are. Fewer for a trial of the benchmark itself. */
export const MANY = Number(process.env.SESSIONS ?? 1_000_000)

/** A browser as they come: what sessions keep of their devices is most of what they weigh. */
export const caller = {
  address: '192.0.2.1',
  userAgent:
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
} as const

export interface Fill {
  readonly count: number
  /** When the first of them ends, unless it is refreshed. Milliseconds since 1970, as all times. */
  readonly endsFrom: number
}

/** From one end to the next. A million ends lie within an hour: what a sweep once an hour finds. */
export const STEP = 3
const MULTIPLIER = 2_654_435_761
const MODULUS = 2 ** 32
const ID_DIGITS = 22
const SECRET_DIGITS = 43
const ABSOLUTE = 23 * DAY

export function idOf (n: number): string {
  return `s${String((n * MULTIPLIER) % MODULUS).padStart(ID_DIGITS, '0')}`
}

export function secretHashOf (n: number): string {
  return String(n).padStart(SECRET_DIGITS, '0')
}

/** How a dialect of SQL says what differs between them. */
export interface Dialect {
  /** Words that come before the SELECT, and give a table `numbers` with the column `n`: whole numbers from 0. */
  readonly numbers: (count: number) => string
  readonly concat: (...parts: string[]) => string
  readonly padded: (number: string, digits: number) => string
}

/** One statement that fills the table of the sessions, which is the same in all SQL stores. */
export function insertInto (
  table: string,
  { count, endsFrom }: Fill,
  { numbers, concat, padded }: Dialect
): string {
  const at = endsFrom - 7 * DAY
  const end = `${endsFrom} + n * ${STEP}`
  const values = {
    id: concat('\'s\'', padded(`n * ${MULTIPLIER} % ${MODULUS}`, ID_DIGITS)),
    user_id: concat('\'u\'', padded('n', 0)),
    secret_hash: padded('n', SECRET_DIGITS),
    generation: 0,
    confirmed_generation: 0,
    created_at: at,
    authenticated_at: at,
    rotated_at: at,
    rotated_by_address: `'${caller.address}'`,
    rotated_by_user_agent: `'${caller.userAgent}'`,
    last_used_at: at,
    expires_at: end,
    ends_at: `${end} + ${ABSOLUTE}`,
    device_user_agent: `'${caller.userAgent}'`,
    device_address: `'${caller.address}'`,
    sweep_after: end
  }
  const [columns, expressions] = [Object.keys(values).join(', '), Object.values(values).join(', ')]

  // In the order of their ids, since that is the order in which the table is filled fastest.
  return `INSERT INTO ${table} (${columns}) ${
    numbers(count)
  } SELECT ${expressions} FROM numbers WHERE n < ${count} ORDER BY 1`
}

/**
 * The same for Redis, in Lua. ARGV: prefix, from, to, first end, now. It names keys by itself: that is for one server, and
 * not for a cluster.
 */
export const redisFill = `
  local prefix, from, to, first, now = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local whole = function (number) return string.format('%.0f', number) end
  local caller = '{"address":"${caller.address}","userAgent":"${caller.userAgent}"}'
  local device = '{"label":null,"address":"${caller.address}","userAgent":"${caller.userAgent}"}'
  local at = whole(first - ${7 * DAY})
  for n = from, to - 1 do
    local id = 's' .. string.format('%0${ID_DIGITS}.0f', n * ${MULTIPLIER} % ${MODULUS})
    local user, expires, ends = 'u' .. n, first + n * ${STEP}, first + n * ${STEP} + ${ABSOLUTE}
    local ttl = whole(math.max(ends - now, 0) + ${DAY})
    redis.call('ZADD', prefix .. 'u:{' .. user .. '}', whole(ends), id)
    redis.call('PEXPIRE', prefix .. 'u:{' .. user .. '}', ttl)
    redis.call('ZADD', prefix .. 'ends', whole(expires), id)
    redis.call('HSET', prefix .. 's:{' .. id .. '}', 'mark', 'benchmark123',
      'fixed', '{"id":"' .. id .. '","userId":"' .. user .. '","createdAt":' .. at .. ',"authenticatedAt":' .. at ..
        ',"device":' .. device .. '}',
      'secretHash', string.format('%0${SECRET_DIGITS}.0f', n), 'generation', '0', 'confirmedGeneration', '0',
      'rotatedAt', at, 'rotatedBy', caller, 'lastUsedAt', at, 'expiresAt', whole(expires), 'endsAt', whole(ends))
    redis.call('PEXPIRE', prefix .. 's:{' .. id .. '}', ttl)
  end`
