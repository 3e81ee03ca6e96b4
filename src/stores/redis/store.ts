import { applyNotBefores, isRevokedBy } from '../../domain/not-before.js'
import type { NotBefore } from '../../domain/not-before.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { isLive } from '../../domain/session.js'
import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import { SessionRefusedError } from '../token-store.js'
import type {
  Cursor,
  FeedWindow,
  RevocationDetails,
  RevocationPage,
  RevocationTarget,
  RotateOptions,
  SessionTarget,
  TokenStore,
  Touch,
  UserTarget
} from '../token-store.js'
import { assertRedisClient } from './client.js'
import type { RedisClient } from './client.js'
import { mapInBatches, MAX_PIPELINE, RedisConnection } from './connection.js'
import { DEFAULT_PREFIX, SHARDS } from './keys.js'
import type { RedisStoreOptions } from './keys.js'
import { RedisFeed } from './revocation-feed.js'
import { RedisSessions } from './sessions.js'
import { checkServers } from './setup.js'
import { RedisSweep } from './sweep.js'
import { getRevokedScore, getScore, RedisUsers } from './users.js'
import type { Move } from './users.js'

/** Sessions that `list` reads beyond its limit, because some may have expired. */
const SPARE_SESSIONS = 10

/**
 * Token store for Redis 6.2 or later and Valkey, with ioredis or node-redis, on a server or a
 * cluster.
 *
 * Redis must not evict keys: set `maxmemory-policy noeviction`, or users are signed out when memory
 * runs short. Set `appendonly yes`, or a restart loses the logins and logouts of the last minutes.
 * A failover can lose the writes of the last second, because Redis replicates asynchronously.
 *
 * Let the client reject commands while it is disconnected (`enableOfflineQueue: false` in ioredis,
 * `disableOfflineQueue: true` in node-redis). Otherwise it sends rotations later, after their
 * requests have failed.
 *
 * A session takes about 2 kB, and a revocation up to 0.5 kB. Redis deletes a session that no sweep
 * deletes one day after its absolute expiry. Only sweeps delete the feed and the not-befores of
 * users. The app may share the connection, and closes it.
 *
 * Keys, below the prefix. The number in braces is one of 16 shards, so that a session and its
 * entries in the feed are on one node. A cluster uses at most 16 nodes.
 *
 * - `{0}:s:<id>`, hash: a session
 * - `{0}:ends`, sorted set: IDs by a lower bound of the idle expiry
 * - `{0}:u:<realm>:<user>`, sorted set: IDs of a user's sessions
 * - `{0}:n:<realm>:<user>`, hash: not-befores of a user
 * - `{0}:not-befores`, sorted set: not-befores of users by the earliest moment of their deletion
 * - `{0}:realms`, hash: not-befores of realms
 * - `{0}:feed`, stream: revocations
 * - `revoked`, channel: notifies readers, which then poll
 *
 * No script changes a session and the index of its user together, because they may be on different
 * nodes. The session and the not-befores are authoritative. The index of a user may contain IDs of
 * sessions that are revoked or deleted. Readers remove them.
 *
 * @example
 * ```ts
 * import { Redis } from 'ioredis'
 * import { RedisStore } from 'fastify-token-auth/redis'
 *
 * const store = new RedisStore(new Redis(process.env.REDIS_URL))
 * ```
 */
export class RedisStore implements TokenStore {
  readonly #client: RedisClient
  readonly #redis: RedisConnection
  readonly #sessions: RedisSessions
  readonly #users: RedisUsers
  readonly #feed: RedisFeed

  /** @throws TypeError if the value is no client. */
  constructor (client: RedisClient, { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}) {
    assertRedisClient(client)
    this.#client = client
    this.#redis = new RedisConnection(client, prefix)
    this.#sessions = new RedisSessions(this.#redis)
    this.#users = new RedisUsers(this.#redis)
    this.#feed = new RedisFeed(this.#redis)
  }

  /**
   * Checks the version and the role of the servers.
   *
   * Warns if they may evict keys, if a restart loses data, or if the client has no listener for
   * `error`. Servers that forbid INFO get no such warning.
   *
   * @throws StoreSetupError with what is wrong, and the fix.
   */
  check (): Promise<readonly string[]> {
    const keys = Array.from({ length: SHARDS }, (_, shard) => this.#redis.keys.feed(shard))
    return checkServers(this.#client, keys)
  }

  // One script adds the session to the index and reads the not-befores. If the user is revoked
  // concurrently, either `create` sees the not-before and deletes the session, or `revoke` finds
  // the session in the index.
  async create (session: Session): Promise<void> {
    const { id, realm, userId } = session
    const deleteCreated = await this.#sessions.create(session)

    if (deleteCreated === null) {
      throw new SessionRefusedError(null)
    }

    const [ofUser, ofRealm] = await Promise.all([
      this.#users.add(session),
      this.#users.getRealmNotBefores(realm)
    ])
    const [notBefore] = [...ofUser, ...ofRealm]
      .filter(candidate => isRevokedBy(session, candidate))
      .sort((a, b) => b.before - a.before)

    if (notBefore !== undefined) {
      await Promise.all([deleteCreated(), this.#users.move(realm, userId, [[id, null]])])
      throw new SessionRefusedError(notBefore)
    }
  }

  // Sends the reads of the not-befores after the rotation, so that they see all from before it.
  // Several connections may change this order. Then a rotation may succeed while its user is being
  // revoked, as if it came first.
  async rotate (
    attempt: RotationAttempt,
    { signal }: RotateOptions = {}
  ): Promise<RotationOutcome> {
    const { realm, userId } = attempt
    const [rotated, ofUser, ofRealm] = await Promise.all([
      this.#sessions.rotate(attempt, signal),
      this.#users.getNotBefores(realm, userId),
      this.#users.getRealmNotBefores(realm)
    ])

    if (rotated.session === null) {
      return { swapped: false, session: null }
    }

    const notBefores = [...ofUser, ...ofRealm]
    const session = applyNotBefores(rotated.session, notBefores)

    if (!rotated.swapped || session.revokedAt === null) {
      return { swapped: rotated.swapped, session }
    }

    const previous = { ...rotated.session, ...rotated.previous }
    await this.#sessions.undoRotation(attempt, rotated.previous)
    return { swapped: false, session: applyNotBefores(previous, notBefores) }
  }

  async find (realm: string, sessionId: string): Promise<Session | null> {
    const [session, ofRealm] = await Promise.all([
      this.#sessions.read(sessionId),
      this.#users.getRealmNotBefores(realm)
    ])

    if (session === null || session.realm !== realm) {
      return null
    }

    if (session.revokedAt !== null) {
      return session
    }

    const ofUser = await this.#users.getNotBefores(realm, session.userId)
    return applyNotBefores(session, [...ofUser, ...ofRealm])
  }

  async list (
    realm: string,
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const read = new Map<string, Session | null>()

    // Reads IDs from the newest one again, because a page by offset may skip a session while others
    // are removed. Reads each session once.
    for (let size = limit + SPARE_SESSIONS;; size *= 2) {
      const [{ ids, notBefores }, ofRealm] = await Promise.all([
        this.#users.read(realm, userId, { limit: size }),
        this.#users.getRealmNotBefores(realm)
      ])
      const unread = ids.filter(id => !read.has(id))
      const moves = await mapInBatches(unread, async id => {
        const row = await this.#sessions.read(id)
        const session = row?.realm === realm && row.userId === userId ? row : null
        read.set(id, session)
        return toMoves(id, session)
      })
      await this.#users.move(realm, userId, moves.flat())
      const all = [...notBefores, ...ofRealm]
      const found = ids.flatMap(id => read.get(id) ?? [])
      const live = found.map(session => applyNotBefores(session, all))
        .filter(session => isLive(session, now))
      const isComplete = ids.length < size || areOlderRevoked(found.at(-1), all)

      if (live.length >= limit || isComplete) {
        return live.sort((a, b) => a.id < b.id ? 1 : -1).slice(0, limit)
      }
    }
  }

  async revoke (target: RevocationTarget, details: RevocationDetails): Promise<number> {
    if ('sessionId' in target) {
      return this.#revokeSession(target, details)
    }

    if ('userId' in target) {
      return this.#revokeUser(target, details)
    }

    await this.#users.revokeRealm(target.realm, details)
    return 0
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    await mapInBatches(batch, touch => this.#sessions.touch(touch))
  }

  revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    return this.#feed.read(after, limit)
  }

  sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    return new RedisSweep(this.#redis, endedBefore).run(limit)
  }

  async #revokeSession (
    { realm, sessionId, secretHash }: SessionTarget,
    { at, reason }: RevocationDetails
  ): Promise<number> {
    const session = await this.find(realm, sessionId)

    if (
      session === null || session.revokedAt !== null ||
      (secretHash !== undefined && secretHash !== session.secretHash)
    ) {
      return 0
    }

    const { userId, authenticatedAt } = session
    const revoked = await this.#sessions.revoke({ realm, at, reason, sessionId, userId })

    // The session is revoked, so a failure from here on must not look like one of the revocation. A
    // list repairs the index.
    await this.#users.move(realm, userId, [[sessionId, getRevokedScore(authenticatedAt)]])
      .catch(() => {})
    return revoked
  }

  async #revokeUser (target: UserTarget, details: RevocationDetails): Promise<number> {
    const { realm, userId } = target
    const [notBefores, [ofRealm]] = await Promise.all([
      this.#users.revoke(target, details),
      this.#users.getRealmNotBefores(realm)
    ])
    const values = [
      realm,
      userId,
      ofRealm?.before ?? '',
      ...notBefores.toSorted((a, b) => a.at - b.at)
        .flatMap(({ before, keep, at, reason }) => [before, keep ?? '', at, reason])
    ]
    let count = 0

    for (let offset = 0;;) {
      const { ids } = await this.#users.read(realm, userId, { offset, limit: MAX_PIPELINE })
      const marked = await mapInBatches(ids, async id => ({
        id,
        ...await this.#sessions.mark(id, values)
      }))
      const moves = marked.filter(({ state }) => state !== 'unmarked')
        .map(({ id, authenticatedAt }): Move => [
          id,
          authenticatedAt === null ? null : getRevokedScore(authenticatedAt)
        ])
      await this.#users.move(realm, userId, moves)
      count += marked.filter(({ state }) => state === 'marked').length
      offset += ids.length - moves.length

      if (ids.length < MAX_PIPELINE) {
        return count
      }
    }
  }
}

/** Whether not-befores revoke all sessions that were created before the given one. */
function areOlderRevoked (session: Session | undefined, notBefores: readonly NotBefore[]): boolean {
  return session !== undefined &&
    notBefores.some(({ keep, before }) => keep === null && session.createdAt <= before)
}

/** Returns the change that the index needs if a session is gone or revoked. */
function toMoves (id: string, session: Session | null): Move[] {
  if (session === null) {
    return [[id, null]]
  }

  return session.revokedAt === null ? [] : [[id, getScore(session)]]
}
