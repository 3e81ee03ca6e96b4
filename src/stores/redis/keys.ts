import { crc32 } from 'node:zlib'

/** Options of `RedisStore`, `RedisAttempts` and `listenForRevocations`. */
export interface RedisStoreOptions {
  /**
   * Prefix of all keys. Two apps on one Redis need different ones.
   *
   * Must not contain `{`, which would put all keys of a cluster on one node.
   *
   * @default 'token-auth:'
   */
  readonly prefix?: string
}

/** Default prefix of all keys. */
export const DEFAULT_PREFIX = 'token-auth:'

/**
 * Number of hash tags that the keys have. Each is one slot of a cluster.
 *
 * A poll reads one stream for each of them. With another number, the store finds none of its keys.
 */
export const SHARDS = 16

/** Returns the channel of revocation messages. */
export function getChannel (prefix: string): string {
  return `${prefix}revoked`
}

/** Names of the keys of one store. */
export class RedisKeys {
  readonly #prefix: string

  constructor (prefix: string) {
    this.#prefix = prefix
  }

  get channel (): string {
    return getChannel(this.#prefix)
  }

  /** Hash: a session. */
  session (id: string): string {
    return `${this.#tag(getShard(id))}s:${id}`
  }

  /** Sorted set: IDs of the shard's sessions by a lower bound of the idle expiry. */
  ends (shard: number): string {
    return `${this.#tag(shard)}ends`
  }

  /** Sorted set: IDs of a user's sessions. */
  user (realm: string, userId: string): string {
    return this.#ofUser('u', realm, userId)
  }

  /** Hash: not-befores of a user. */
  notBefores (realm: string, userId: string): string {
    return this.#ofUser('n', realm, userId)
  }

  /** Sorted set: not-befores of the shard's users by the earliest moment that may delete them. */
  oldNotBefores (shard: number): string {
    return `${this.#tag(shard)}not-befores`
  }

  /** Hash: not-befores of the shard's realms. */
  realms (shard: number): string {
    return `${this.#tag(shard)}realms`
  }

  /** Stream: revocations of the shard's sessions, users and realms. */
  feed (shard: number): string {
    return `${this.#tag(shard)}feed`
  }

  // An encoded realm has no colon, so different users never share a key.
  #ofUser (kind: string, realm: string, userId: string): string {
    const shard = getUserShard(realm, userId)
    return `${this.#tag(shard)}${kind}:${encodeURIComponent(realm)}:${userId}`
  }

  #tag (shard: number): string {
    return `${this.#prefix}{${shard}}:`
  }
}

/** Returns the shard of a session or of a realm. */
export function getShard (name: string): number {
  return crc32(name) % SHARDS
}

/** Returns the shard of a user. */
export function getUserShard (realm: string, userId: string): number {
  return getShard(`${realm}\0${userId}`)
}
