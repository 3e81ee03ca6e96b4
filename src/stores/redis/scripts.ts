import { createHash } from 'node:crypto'
import { fields } from './rows.js'

/** Part of ioredis that is used. `Redis` and `Cluster` have it. */
export interface IoredisClient {
  evalsha(sha: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
  eval(script: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
}

/**
 * Part of node-redis (package `redis`) that is used. Clients, pools, clusters and sentinels have
 * it.
 */
export interface NodeRedisClient {
  evalSha(sha: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
  eval(script: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
}

/** Connection to Redis. */
export type RedisClient = IoredisClient | NodeRedisClient

const everyField = fields.map(field => `'${field}'`).join(', ')

// Returns a session as one JSON string, because the driver reads one value faster than eleven.
const rowAsJson = `'{' .. ${
  fields.map((field, i) => toMember(field, `row[${i + 1}]`)).join(' .. \',\' .. ')
} .. '}'`

function toMember (field: typeof fields[number], value: string): string {
  if (field === 'fixed') {
    return `string.sub(${value}, 2, -2)`
  }

  const isString = field === 'secretHash' || field === 'revokedFor'
  return `'"${field}":' .. (${isString ? `${value} and cjson.encode(${value})` : value} or 'null')`
}

/**
 * Scripts of `RedisStore`. Each one has one key, so that it runs on a cluster.
 *
 * Numbers are decimal strings. Lua numbers are exact up to 2 ** 53, but their string conversion is
 * not: scripts compare numbers and write back the strings that they got.
 */
export const scripts = {
  // Any command on the key. ARGV: name and arguments after the key.
  command: script(`
    return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`),

  // ARGV: time to live, mark of this call, fields and values. Returns 1, or 0 and the fixed part of
  // the existing session. A driver that repeats the call finds its own mark.
  create: script(`
    local there = redis.call('HMGET', KEYS[1], 'mark', 'fixed')
    if there[1] == ARGV[2] then return {1} end
    if there[1] then return {0, there[2]} end
    redis.call('HSET', KEYS[1], 'mark', ARGV[2], unpack(ARGV, 3))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    return {1}`),

  // ARGV: mark of the call that created the session. Deletes it and returns `revokedAt`.
  deleteCreated: script(`
    local row = redis.call('HMGET', KEYS[1], 'mark', 'revokedAt')
    if row[1] ~= ARGV[1] then return false end
    redis.call('DEL', KEYS[1])
    return row[2]`),

  // Returns the session as JSON.
  find: script(`
    local row = redis.call('HMGET', KEYS[1], ${everyField})
    return row[1] and ${rowAsJson}`),

  // ARGV: secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by. Returns the
  // outcome as JSON.
  rotate: script(`
    local row = redis.call('HMGET', KEYS[1], ${everyField})
    if not row[1] then return '{"swapped":false,"session":null}' end
    local secretHash, generation, now, expiresAt, before, after, by = unpack(ARGV)
    local rotatedAt = tonumber(row[5])
    local canRotate = row[2] == secretHash
      and row[3] == generation and not row[10] and tonumber(now) < tonumber(row[8])
      and (generation == '0' or rotatedAt <= tonumber(before) or rotatedAt > tonumber(after))
    if not canRotate then return '{"swapped":false,"session":' .. ${rowAsJson} .. '}' end
    row[3] = string.format('%.0f', tonumber(generation) + 1)
    row[5] = now
    row[6] = by
    if tonumber(now) > tonumber(row[7]) then row[7] = now end
    if tonumber(expiresAt) < tonumber(row[9]) then row[8] = expiresAt else row[8] = row[9] end
    redis.call('HSET', KEYS[1],
      'generation', row[3], 'rotatedAt', row[5], 'rotatedBy', row[6],
      'lastUsedAt', row[7], 'expiresAt', row[8])
    return '{"swapped":true,"session":' .. ${rowAsJson} .. '}'`),

  // ARGV: time, reason. Returns 1 or 0, and the time of the revocation.
  revoke: script(`
    local row = redis.call('HMGET', KEYS[1], 'fixed', 'revokedAt')
    if not row[1] then return {0} end
    if row[2] then return {0, row[2]} end
    redis.call('HSET', KEYS[1], 'revokedAt', ARGV[1], 'revokedFor', ARGV[2])
    return {1, ARGV[1]}`),

  // ARGV: lastUsedAt, confirmedGeneration.
  touch: script(`
    local row = redis.call('HMGET', KEYS[1], 'lastUsedAt', 'confirmedGeneration', 'generation')
    if not row[1] then return 0 end
    local confirmed = ARGV[2]
    if tonumber(confirmed) > tonumber(row[3]) then confirmed = row[3] end
    if tonumber(confirmed) > tonumber(row[2]) then
      redis.call('HSET', KEYS[1], 'confirmedGeneration', confirmed)
    end
    if tonumber(ARGV[1]) > tonumber(row[1]) then
      redis.call('HSET', KEYS[1], 'lastUsedAt', ARGV[1])
    end
    return 1`),

  // ARGV: endedBefore. Deletes an expired session and returns its fixed part and `revokedAt`.
  sweep: script(`
    local row = redis.call('HMGET', KEYS[1], 'expiresAt', 'fixed', 'revokedAt')
    if not row[1] or tonumber(row[1]) >= tonumber(ARGV[1]) then return false end
    redis.call('DEL', KEYS[1])
    return {row[2], row[3]}`),

  // Key: index of a user. ARGV: ID, endsAt, time to live. The index outlives its sessions.
  index: script(`
    redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
      redis.call('PEXPIRE', KEYS[1], ARGV[3])
    end
    return 1`),

  // Key: not-befores. ARGV: endedBefore, limit. One step, so that no newer not-before is deleted.
  sweepUsers: script(`
    local before = '(' .. ARGV[1]
    local users = redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE', 'LIMIT', 0, ARGV[2])
    if #users > 0 then redis.call('ZREM', KEYS[1], unpack(users)) end
    return #users`),

  // Key: feed. ARGV: channel. Not a key, because drivers with a key prefix add it to keys only.
  publish: script(`
    return redis.call('PUBLISH', ARGV[1], '')`)
} as const

/** Lua script with its SHA-1, by which Redis caches it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/** Creates a {@link Script}. */
export function script (text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** Default prefix of all keys. */
export const DEFAULT_PREFIX = 'token-auth:'

/** Maximum number of commands that are sent before their results are awaited. */
export const MAX_PIPELINE = 500
/** The same for a sweep. More would delay other commands and the event loop. */
export const MAX_SWEEP_PIPELINE = 50

/** Returns the channel of revocation messages. */
export function getChannel (prefix: string): string {
  return `${prefix}revoked`
}

type Values = ReadonlyArray<string | number>

/** Runs scripts on the keys of one store. */
export class RedisKeys {
  readonly #client: RedisClient
  readonly #prefix: string
  readonly ends: string
  readonly revocations: string
  readonly notBefore: string
  readonly channel: string

  constructor (client: RedisClient, prefix: string) {
    this.#client = client
    this.#prefix = prefix
    this.ends = `${prefix}ends`
    this.revocations = `${prefix}revocations`
    this.notBefore = `${prefix}not-before`
    this.channel = getChannel(prefix)
  }

  /** Returns the key of a session. */
  session (id: string): string {
    return `${this.#prefix}s:{${id}}`
  }

  /** Returns the key of the index of a user. */
  user (id: string): string {
    return `${this.#prefix}u:{${id}}`
  }

  /** Runs a command as a script, which no driver sends to a replica. */
  command (name: string, key: string, ...values: Values): Promise<unknown> {
    return this.run('command', key, name, ...values)
  }

  /** Reads one field of a session, or returns `null`. */
  getField (sessionId: string, field: typeof fields[number]): Promise<unknown> {
    return this.command('HGET', this.session(sessionId), field)
  }

  /** Runs a script on a key. */
  run (name: keyof typeof scripts, key: string, ...values: Values): Promise<unknown> {
    return runScript(this.#client, scripts[name], key, values.map(String))
  }
}

/** Runs a script by its hash, or by its text if the server does not know it, as after a restart. */
export async function runScript (
  client: RedisClient,
  { text, sha }: Script,
  key: string,
  values: string[]
): Promise<unknown> {
  try {
    return 'evalSha' in client
      ? await client.evalSha(sha, { keys: [key], arguments: values })
      : await client.evalsha(sha, 1, key, ...values)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) {
      throw error
    }

    return 'evalSha' in client
      ? client.eval(text, { keys: [key], arguments: values })
      : client.eval(text, 1, key, ...values)
  }
}
