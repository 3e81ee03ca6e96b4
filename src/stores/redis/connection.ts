import { runScript } from './client.js'
import type { RedisClient, ScriptInput } from './client.js'
import { RedisKeys } from './keys.js'
import { scripts } from './scripts.js'

/** Maximum number of scripts that are sent before their results are awaited. */
export const MAX_PIPELINE = 500

/** Runs the scripts of one store. */
export class RedisConnection {
  readonly #client: RedisClient
  readonly keys: RedisKeys

  constructor (client: RedisClient, prefix: string) {
    this.#client = client
    this.keys = new RedisKeys(prefix)
  }

  /** Runs a script. */
  run (name: keyof typeof scripts, input: ScriptInput): Promise<unknown> {
    return runScript(this.#client, scripts[name], input)
  }

  /** Runs a command as a script, which no driver sends to a replica. */
  command (name: string, key: string, ...values: Array<string | number>): Promise<unknown> {
    return this.run('command', { keys: [key], values: [name, ...values] })
  }
}

/** Calls an asynchronous function for each item, at most {@link MAX_PIPELINE} concurrently. */
export async function mapInBatches<T, Result> (
  items: readonly T[],
  call: (item: T) => Promise<Result>
): Promise<Result[]> {
  const results: Result[] = []

  for (let i = 0; i < items.length; i += MAX_PIPELINE) {
    results.push(...await Promise.all(items.slice(i, i + MAX_PIPELINE).map(call)))
  }

  return results
}
