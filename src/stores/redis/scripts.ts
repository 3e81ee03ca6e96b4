// What Redis does in one step, as Lua, and how a script is sent. Each script is given one key, so that it runs on a cluster
// however the keys are spread, and so that its text names no other.
//
// Numbers travel and lie as decimal text. Lua's numbers are exact up to 2 ** 53, but its own way to write them is not: a
// script compares numbers and writes back the texts that it was given.

import { createHash } from 'node:crypto'
import { fields } from './rows.js'

/** The part of ioredis that is used: a `Redis` and a `Cluster` have it. */
export interface IoredisClient {
  evalsha(sha: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
  eval(script: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
}

/** The part of node-redis (the package `redis`) that is used: a client, a pool, a cluster and a sentinel have it. */
export interface NodeRedisClient {
  evalSha(sha: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
  eval(script: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
}

export type RedisClient = IoredisClient | NodeRedisClient

const everyField = fields.map(field => `'${field}'`).join(', ')

// A session as one text: the driver reads one answer, not eleven, and JSON.parse makes the rest of it. Numbers, and what is JSON
// already, are shown as they lie.
const rowAsJson = `'{' .. ${
  fields.map((field, i) => memberOf(field, `row[${i + 1}]`)).join(' .. \',\' .. ')
} .. '}'`

function memberOf (field: typeof fields[number], value: string): string {
  if (field === 'fixed') {
    return `string.sub(${value}, 2, -2)`
  }

  const isText = field === 'secretHash' || field === 'revokedFor'
  return `'"${field}":' .. (${isText ? `${value} and cjson.encode(${value})` : value} or 'null')`
}

export const scripts = {
  /** Any command on the key. ARGV: its name, and what follows the key. */
  command: script(`
    return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))`),

  /**
   * ARGV: time to live, a mark of this very call, fields and values. Shows 1, or 0 and who is there. A driver that sends
   * the call again when a connection is cut finds its own mark.
   */
  create: script(`
    local there = redis.call('HMGET', KEYS[1], 'mark', 'fixed')
    if there[1] == ARGV[2] then return {1} end
    if there[1] then return {0, there[2]} end
    redis.call('HSET', KEYS[1], 'mark', ARGV[2], unpack(ARGV, 3))
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    return {1}`),

  /** ARGV: the mark of the call that created the session. Shows when it was revoked. */
  takeBack: script(`
    local row = redis.call('HMGET', KEYS[1], 'mark', 'revokedAt')
    if row[1] ~= ARGV[1] then return false end
    redis.call('DEL', KEYS[1])
    return row[2]`),

  /** Shows the session, as JSON. */
  find: script(`
    local row = redis.call('HMGET', KEYS[1], ${everyField})
    return row[1] and ${rowAsJson}`),

  /** ARGV: secret's hash, generation, now, idle end, rotated before, rotated after, by. Shows the outcome, as JSON. */
  rotate: script(`
    local row = redis.call('HMGET', KEYS[1], ${everyField})
    if not row[1] then return '{"swapped":false,"session":null}' end
    local secretHash, generation, now, expiresAt, before, after, by = unpack(ARGV)
    local rotatedAt = tonumber(row[5])
    local fits = row[2] == secretHash and row[3] == generation and not row[10] and tonumber(now) < tonumber(row[8])
      and (generation == '0' or rotatedAt <= tonumber(before) or rotatedAt > tonumber(after))
    if not fits then return '{"swapped":false,"session":' .. ${rowAsJson} .. '}' end
    row[3] = string.format('%.0f', tonumber(generation) + 1)
    row[5] = now
    row[6] = by
    if tonumber(now) > tonumber(row[7]) then row[7] = now end
    if tonumber(expiresAt) < tonumber(row[9]) then row[8] = expiresAt else row[8] = row[9] end
    redis.call('HSET', KEYS[1],
      'generation', row[3], 'rotatedAt', row[5], 'rotatedBy', row[6], 'lastUsedAt', row[7], 'expiresAt', row[8])
    return '{"swapped":true,"session":' .. ${rowAsJson} .. '}'`),

  /** ARGV: moment, reason. Shows 1 or 0, and the moment that stands. */
  revoke: script(`
    local row = redis.call('HMGET', KEYS[1], 'fixed', 'revokedAt')
    if not row[1] then return {0} end
    if row[2] then return {0, row[2]} end
    redis.call('HSET', KEYS[1], 'revokedAt', ARGV[1], 'revokedFor', ARGV[2])
    return {1, ARGV[1]}`),

  /** ARGV: last use, confirmed generation. */
  touch: script(`
    local row = redis.call('HMGET', KEYS[1], 'lastUsedAt', 'confirmedGeneration', 'generation')
    if not row[1] then return 0 end
    local confirmed = ARGV[2]
    if tonumber(confirmed) > tonumber(row[3]) then confirmed = row[3] end
    if tonumber(confirmed) > tonumber(row[2]) then redis.call('HSET', KEYS[1], 'confirmedGeneration', confirmed) end
    if tonumber(ARGV[1]) > tonumber(row[1]) then redis.call('HSET', KEYS[1], 'lastUsedAt', ARGV[1]) end
    return 1`),

  /** ARGV: ended before. Deletes the session if it has, and shows its fixed part and when it was revoked. */
  sweep: script(`
    local row = redis.call('HMGET', KEYS[1], 'expiresAt', 'fixed', 'revokedAt')
    if not row[1] or tonumber(row[1]) >= tonumber(ARGV[1]) then return false end
    redis.call('DEL', KEYS[1])
    return {row[2], row[3]}`),

  /** On a user's index. ARGV: id, absolute end, time to live: the index outlives the last of its sessions. */
  index: script(`
    redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[1])
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return 1`),

  /** On the not-befores. ARGV: ended before, limit. In one step, or one that moves forward meanwhile would be lost. */
  sweepUsers: script(`
    local users = redis.call('ZRANGE', KEYS[1], '-inf', '(' .. ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
    if #users > 0 then redis.call('ZREM', KEYS[1], unpack(users)) end
    return #users`),

  /** On the feed. ARGV: channel. It is no key: a driver that puts a prefix before keys puts none before channels. */
  publish: script(`
    return redis.call('PUBLISH', ARGV[1], '')`)
} as const

export interface Script {
  readonly text: string
  readonly sha: string
}

/** */
export function script (text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** What keys begin with, where the app does not say. */
export const DEFAULT_PREFIX = 'token-auth:'

/** How many commands are sent before the answers are awaited. */
export const AT_ONCE = 500
/** How many sessions are swept so: more would be felt, by the event loop that sends them and by who else waits for Redis. */
export const SWEPT_AT_ONCE = 50

/** Where revocations are hinted at. */
export function channelOf (prefix: string): string {
  return `${prefix}revoked`
}

type Values = ReadonlyArray<string | number>

/** The keys of one store, and what can be done to one of them in one step. */
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
    this.channel = channelOf(prefix)
  }

  session (id: string): string {
    return `${this.#prefix}s:{${id}}`
  }

  user (id: string): string {
    return `${this.#prefix}u:{${id}}`
  }

  /** A command of Redis, as a script: no driver's own method is needed, and it never goes to a replica that is behind. */
  command (name: string, key: string, ...values: Values): Promise<unknown> {
    return this.run('command', key, name, ...values)
  }

  /** One field of a session; `null` where there is none. */
  peek (sessionId: string, field: typeof fields[number]): Promise<unknown> {
    return this.command('HGET', this.session(sessionId), field)
  }

  run (name: keyof typeof scripts, key: string, ...values: Values): Promise<unknown> {
    return runScript(this.#client, scripts[name], key, values.map(String))
  }
}

/** Runs a script by its hash, and by its text where the server does not know it: it has restarted, say, or was flushed. */
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
