// A Map in many small ones. A Map of a million grows and shrinks in one go, and keeps the event loop for a tenth of a second
// while it does; each of these takes microseconds.

const SHARDS = 1024
const SHIFT = 32 - Math.log2(SHARDS)
const [MULTIPLIER, SPREAD] = [31, 0x9E3779B1]

/** */
export class ShardedMap<T> {
  // Made when they are needed: a store that holds little weighs little.
  readonly #shards: Array<Map<string, T> | undefined> = new Array<undefined>(SHARDS).fill(undefined)

  get (key: string): T | undefined {
    return this.#shards[shardOf(key)]?.get(key)
  }

  has (key: string): boolean {
    return this.#shards[shardOf(key)]?.has(key) === true
  }

  set (key: string, value: T): void {
    const shard = shardOf(key)
    const map = this.#shards[shard]

    if (map) {
      map.set(key, value)
    } else {
      this.#shards[shard] = new Map([[key, value]])
    }
  }

  delete (key: string): void {
    const shard = shardOf(key)
    const map = this.#shards[shard]

    if (map?.delete(key) === true && map.size === 0) {
      this.#shards[shard] = undefined
    }
  }
}

function shardOf (key: string): number {
  let hash = key.length

  for (let i = 0; i < key.length; i++) {
    hash = (Math.imul(hash, MULTIPLIER) + key.charCodeAt(i)) | 0
  }

  return Math.imul(hash, SPREAD) >>> SHIFT
}
