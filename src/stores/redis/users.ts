import type { NotBefore } from '../../domain/not-before.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import type { RealmRevocation, RevocationDetails, UserTarget } from '../token-store.js'
import type { RedisConnection } from './connection.js'
import { getShard, getUserShard } from './keys.js'
import { getTimeToLive } from './rows.js'

/** Change of the index of a user: the new score of a session, or `null` to remove it. */
export type Move = readonly [id: string, score: number | null]

/** IDs of a user's unrevoked sessions, and all not-befores of the user. */
export interface UserPage {
  readonly ids: string[]
  readonly notBefores: NotBefore[]
}

/** Reads and writes the sessions of users in order, and not-befores. */
export class RedisUsers {
  readonly #redis: RedisConnection

  constructor (redis: RedisConnection) {
    this.#redis = redis
  }

  /** Adds a session to the index of its user, and returns the not-befores of the user. */
  async add (session: Session): Promise<NotBefore[]> {
    const { id, realm, userId } = session
    const { keys } = this.#redis
    const values = [id, getScore(session), getTimeToLive(session)]
    const found = await this.#redis.run('addToUser', {
      keys: [keys.user(realm, userId), keys.notBefores(realm, userId)],
      values
    })
    return toNotBefores(found, realm, userId)
  }

  /** Changes the index of a user. */
  async move (realm: string, userId: string, moves: readonly Move[]): Promise<void> {
    if (moves.length > 0) {
      const key = this.#redis.keys.user(realm, userId)
      const values = moves.flatMap(([id, score]) => [score ?? '', id])
      await this.#redis.run('moveInUser', { keys: [key], values })
    }
  }

  /** Reads the newest unrevoked sessions of a user. */
  async read (
    realm: string,
    userId: string,
    { offset = 0, limit }: { readonly offset?: number, readonly limit: number }
  ): Promise<UserPage> {
    const { keys } = this.#redis
    const [ids, notBefores] = await this.#redis.run('readUser', {
      keys: [keys.user(realm, userId), keys.notBefores(realm, userId)],
      values: [offset, limit]
    }) as [unknown[], unknown]
    return { ids: ids.map(String), notBefores: toNotBefores(notBefores, realm, userId) }
  }

  /** Reads the not-befores of a user. */
  async getNotBefores (realm: string, userId: string): Promise<NotBefore[]> {
    const found = await this.#redis.command('HGETALL', this.#redis.keys.notBefores(realm, userId))
    return toNotBefores(found, realm, userId)
  }

  /** Reads the not-before of a realm, as a list of at most one. */
  async getRealmNotBefores (realm: string): Promise<NotBefore[]> {
    const found = await this.#redis.command('HGET', this.#redis.keys.realms(getShard(realm)), realm)

    if (found === null) {
      return []
    }

    const { before, at, reason } = JSON.parse(String(found)) as RealmRevocation
    return [{ realm, userId: null, before, keep: null, at, reason }]
  }

  /** Records a not-before of a user with its entry, and returns all not-befores of the user. */
  async revoke (
    { realm, userId, keep }: UserTarget,
    { at, reason }: RevocationDetails
  ): Promise<NotBefore[]> {
    const { keys } = this.#redis
    const shard = getUserShard(realm, userId)
    const entry = JSON.stringify({ realm, at, reason, userId, keep, before: null })
    const found = await this.#redis.run('revokeUser', {
      keys: [
        keys.user(realm, userId),
        keys.notBefores(realm, userId),
        keys.oldNotBefores(shard),
        keys.feed(shard)
      ],
      values: [
        at,
        keep ?? '',
        reason,
        JSON.stringify([realm, userId, keep ?? '']),
        entry.slice(0, -'null}'.length),
        keys.channel
      ]
    })
    return toNotBefores(found, realm, userId)
  }

  /** Records a not-before of a realm with its entry, unless there is a later one. */
  async revokeRealm (realm: string, { at, reason }: RevocationDetails): Promise<void> {
    const { keys } = this.#redis
    const shard = getShard(realm)
    const entry: RealmRevocation = { realm, at, reason, before: at }
    await this.#redis.run('revokeRealm', {
      keys: [keys.realms(shard), keys.feed(shard)],
      values: [realm, at, JSON.stringify(entry), keys.channel]
    })
  }
}

/**
 * Returns the score of a session in the index of its user.
 *
 * Unrevoked sessions sort by their creation, and so by ID. Revoked ones have a negative score, so
 * that a list does not read them. One range, from `getRevokedScore(before)` to `before`, has all
 * sessions from before a moment.
 */
export function getScore ({ revokedAt, createdAt, authenticatedAt }: Session): number {
  return revokedAt === null ? createdAt : getRevokedScore(authenticatedAt)
}

/** Returns the score of a revoked session by its authentication. */
export function getRevokedScore (authenticatedAt: Millis): number {
  return -authenticatedAt - 1
}

// A field is `<before> <keep>` and its value is `<at> <reason>`.
function toNotBefores (found: unknown, realm: string, userId: string): NotBefore[] {
  const texts = (found as unknown[]).map(String)
  const notBefores: NotBefore[] = []

  for (let i = 0; i < texts.length; i += 2) {
    const [before, keep] = splitAtSpace(texts[i] as string)
    const [at, reason] = splitAtSpace(texts[i + 1] as string)
    notBefores.push({
      realm,
      userId,
      before: Number(before),
      keep: keep === '' ? null : keep,
      at: Number(at),
      reason: reason as RevocationReason
    })
  }

  return notBefores
}

/** Splits a string at its first space. */
export function splitAtSpace (text: string): [head: string, tail: string] {
  const place = text.indexOf(' ')
  return [text.slice(0, place), text.slice(place + 1)]
}
