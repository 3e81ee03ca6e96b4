import { createHash } from 'node:crypto'
import { assertClient } from '../../lib/client-check.js'

/** Part of ioredis that is used. `Redis` and `Cluster` have it. */
export interface IoredisClient {
  /** Runs a script that the server has cached. */
  evalsha(sha: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
  /** Sends a script, and runs it. */
  eval(script: string, keyCount: number, ...keysAndValues: string[]): Promise<unknown>
}

/**
 * Part of node-redis (package `redis`) that is used. Clients, pools, clusters and sentinels have
 * it.
 */
export interface NodeRedisClient {
  /** Runs a script that the server has cached. */
  evalSha(sha: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
  /** Sends a script, and runs it. */
  eval(script: string, input: { keys: string[], arguments: string[] }): Promise<unknown>
}

/** Connection to Redis. */
export type RedisClient = IoredisClient | NodeRedisClient

/** Lua script with its SHA-1, by which Redis caches it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/** Input of a script. */
export interface ScriptInput {
  /** Keys of one slot. */
  readonly keys: readonly string[]
  readonly values?: ReadonlyArray<string | number | boolean>
  /** Aborted when the script must not be sent any more. */
  readonly signal?: AbortSignal | undefined
}

/** @throws TypeError if a value is no client of ioredis or node-redis. */
export function assertRedisClient (client: unknown): void {
  assertClient(client, ['evalsha', 'evalSha'], 'new Redis(url)')
}

/** Creates a {@link Script}. */
export function script (text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

/** Runs a script by its hash, or by its text if the server does not know it, as after a restart. */
export async function runScript (
  client: RedisClient,
  { text, sha }: Script,
  { keys, values = [], signal }: ScriptInput
): Promise<unknown> {
  const input = { keys: [...keys], arguments: values.map(String) }
  signal?.throwIfAborted()

  try {
    return 'evalSha' in client
      ? await client.evalSha(sha, input)
      : await client.evalsha(sha, keys.length, ...keys, ...input.arguments)
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) {
      throw error
    }

    signal?.throwIfAborted()

    return 'evalSha' in client
      ? client.eval(text, input)
      : client.eval(text, keys.length, ...keys, ...input.arguments)
  }
}
