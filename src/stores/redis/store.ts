import { randomBytes } from 'node:crypto'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { compareNewestFirst, isLive } from '../../domain/session.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { RedisFeed } from './revocation-feed.js'
import { toFields, toFixedPart } from './rows.js'
import { DEFAULT_PREFIX, MAX_PIPELINE, MAX_SWEEP_PIPELINE, RedisKeys } from './scripts.js'
import type { RedisClient } from './scripts.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import { DAY } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

/** Options of `RedisStore`, `RedisAttempts` and `listenForRevocations`. */
export interface RedisStoreOptions {
  /**
   * Prefix of all keys. Two apps on one Redis need different ones.
   *
   * Must not contain `{`, which would put all sessions of a cluster on one node.
   *
   * @default 'token-auth:'
   */
  readonly prefix?: string
}

/**
 * Token store for Redis 6.2 or later and Valkey, with ioredis or node-redis, on a server or a
 * cluster.
 *
 * Redis must not evict keys: set `maxmemory-policy noeviction`, or users are signed out when memory
 * runs short. A session takes about 1.5 kB. Redis deletes a session that no sweep deletes one day
 * after its absolute expiry, by the clock of Redis.
 *
 * Set `appendonly yes`, or a restart loses the last minutes: new sessions are gone, and revoked
 * sessions are valid again. A session that lost one rotation recovers at its next refresh. A
 * session that lost several does not, and its user has to log in again.
 *
 * On a cluster, sessions are on all nodes. The feed, `ends` and `not-before` are on one node each.
 * A refresh uses none of these three, a login uses the last two.
 *
 * The app may share the connection, and closes it.
 *
 * Keys, below the prefix:
 *
 * - `s:{<id>}`, hash: a session
 * - `u:{<user>}`, sorted set: IDs of a user's sessions by absolute expiry
 * - `ends`, sorted set: IDs by a lower bound of the idle expiry
 * - `revocations`, sorted set: the feed, by time and ID
 * - `not-before`, sorted set: users by the time at which all their sessions were revoked
 * - `revoked`, channel: asks readers to poll
 *
 * No step covers two keys, which may be on different nodes. Indexes are written before sessions, so
 * that a crash leaves too many index entries, never too few. Readers trust the session alone.
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
  readonly #keys: RedisKeys
  readonly #feed: RedisFeed

  constructor (client: RedisClient, { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}) {
    this.#keys = new RedisKeys(client, prefix)
    this.#feed = new RedisFeed(this.#keys)
  }

  // With a concurrent `revoke` of the user: either `create` sees the not-before and deletes the
  // session, or `revoke` sees the session and revokes it. `create` writes the index before the
  // session and reads the not-before after it. `revoke` writes the not-before before it reads the
  // index.
  async create (session: Session): Promise<void> {
    const { id, userId, createdAt, endsAt, revokedAt } = session
    // Counted by the clock of Redis, which may differ from that of the app.
    const timeToLive = Math.max(endsAt - createdAt, 0) + DAY
    await Promise.all([
      this.#keys.run('index', this.#keys.user(userId), id, endsAt, timeToLive),
      this.#keys.command('ZADD', this.#keys.ends, 'LT', session.expiresAt, id),
      revokedAt !== null && this.#feed.add([{ at: revokedAt, sessionId: id }])
    ])
    const mark = randomBytes(9).toString('base64url')
    const [created, there] = await this.#keys.run(
      'create',
      this.#keys.session(id),
      timeToLive,
      mark,
      ...toFields(session)
    ) as [unknown, unknown?]

    if (Number(created) === 0) {
      if (toFixedPart(there).userId !== userId) {
        await this.#keys.command('ZREM', this.#keys.user(userId), id)
      }

      throw new SessionRefusedError('id-taken')
    }

    const notBefore = await this.#keys.command('ZSCORE', this.#keys.notBefore, userId)

    if (notBefore === null || session.authenticatedAt > Number(notBefore)) {
      return
    }

    const revokedMeanwhile = await this.#keys.run('deleteCreated', this.#keys.session(id), mark)
    await this.#removeFromIndexes(session, revokedMeanwhile)
    throw new SessionRefusedError('revoked-since')
  }

  async rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    const { sessionId, secretHash, generation, now, expiresAt, rotatedBefore, rotatedAfter, by } =
      attempt
    const shown = await this.#keys.run(
      'rotate',
      this.#keys.session(sessionId),
      secretHash,
      generation,
      now,
      expiresAt,
      rotatedBefore,
      rotatedAfter,
      JSON.stringify(by)
    )
    return JSON.parse(String(shown)) as RotationOutcome
  }

  // A script, because cluster clients may send plain reads to a replica.
  async find (sessionId: string): Promise<Session | null> {
    const shown = await this.#keys.run('find', this.#keys.session(sessionId))
    return shown === null ? null : JSON.parse(String(shown)) as Session
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const sessions = await this.#findByUser(userId, now)

    return sessions
      .filter(session => isLive(session, now))
      .sort(compareNewestFirst)
      .slice(0, limit)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) {
      const session = await this.find(target.sessionId)
      return session === null ? 0 : this.#revokeSessions([session], at, reason)
    }

    await this.#keys.command('ZADD', this.#keys.notBefore, 'GT', at, target.userId)
    const sessions = await this.#findByUser(target.userId, at)
    return this.#revokeSessions(sessions.filter(({ id }) => id !== target.keep), at, reason)
  }

  async touch (batch: readonly Touch[]): Promise<void> {
    await Promise.all(
      batch.map(({ sessionId, lastUsedAt, confirmedGeneration }) =>
        this.#keys.run('touch', this.#keys.session(sessionId), lastUsedAt, confirmedGeneration)
      )
    )
  }

  revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    return this.#feed.read(after, limit)
  }

  async sweep (
    { endedBefore, limit }: { readonly endedBefore: Millis, readonly limit: number }
  ): Promise<number> {
    let count = 0

    while (count < limit) {
      const room = Math.min(limit - count, MAX_SWEEP_PIPELINE)
      const ids = await this.#keys.command(
        'ZRANGE',
        this.#keys.ends,
        '-inf',
        `(${endedBefore}`,
        'BYSCORE',
        'LIMIT',
        0,
        room
      ) as unknown[]

      if (ids.length === 0) {
        break
      }

      count += await this.#sweepBatch(ids.map(String), endedBefore)
    }

    while (count < limit) {
      const room = Math.min(limit - count, MAX_PIPELINE)
      const deleted = Number(
        await this.#keys.run('sweepUsers', this.#keys.notBefore, endedBefore, room)
      )
      count += deleted

      if (deleted < room) {
        break
      }
    }

    if (count < limit) {
      await this.#feed.sweep(endedBefore)
    }

    return count
  }

  // Two sweeps may see the same IDs. The one that deletes a session counts it.
  async #sweepBatch (ids: readonly string[], endedBefore: Millis): Promise<number> {
    const rows = await Promise.all(
      ids.map(id => this.#keys.run('sweep', this.#keys.session(id), endedBefore))
    )
    const swept = rows.filter(row => row !== null) as Array<[fixed: unknown, revokedAt: unknown]>
    const [gone, living] = [ids.filter((_, i) => rows[i] !== null), [] as Array<string | number>]
    await Promise.all(ids.map(async (id, i) => {
      if (rows[i] !== null) {
        return
      }

      const end = await this.#keys.getField(id, 'expiresAt')

      if (end === null) {
        gone.push(id)
      } else {
        living.push(Number(end), id)
      }
    }))
    const entries: Revocation[] = []
    await Promise.all(swept.map(([fixed, revokedAt]) => {
      const { id, userId } = toFixedPart(fixed)

      if (revokedAt !== null) {
        entries.push({ at: Number(revokedAt), sessionId: id })
      }

      return this.#keys.command('ZREM', this.#keys.user(userId), id)
    }))
    await Promise.all([
      living.length > 0 && this.#keys.command('ZADD', this.#keys.ends, 'XX', 'GT', ...living),
      gone.length > 0 && this.#keys.command('ZREM', this.#keys.ends, ...gone),
      this.#feed.remove(entries)
    ])
    return swept.length
  }

  async #removeFromIndexes (
    { id, userId }: { readonly id: string, readonly userId: string },
    revokedAt: unknown
  ): Promise<void> {
    await Promise.all([
      this.#keys.command('ZREM', this.#keys.user(userId), id),
      this.#keys.command('ZREM', this.#keys.ends, id),
      revokedAt !== null && this.#feed.remove([{ at: Number(revokedAt), sessionId: id }])
    ])
  }

  // Returns all sessions in the index, live or not. An ID without a session may belong to one that
  // is being created. It stays in the index until that session would have expired.
  async #findByUser (userId: string, now: Millis): Promise<Session[]> {
    const key = this.#keys.user(userId)
    const members = (await this.#keys.command('ZRANGE', key, 0, -1, 'WITHSCORES') as unknown[]).map(
      String
    )
    const found: Session[] = []

    for (let i = 0; i < members.length; i += 2 * MAX_PIPELINE) {
      const ids = members.slice(i, i + 2 * MAX_PIPELINE).filter((_, j) => j % 2 === 0)
      const rows = await Promise.all(ids.map(id => this.find(id)))
      found.push(...rows.filter(row => row?.userId === userId) as Session[])
      const gone = ids.filter((_, j) => rows[j] === null && Number(members[i + 2 * j + 1]) <= now)

      if (gone.length > 0) {
        await this.#keys.command('ZREM', key, ...gone)
      }
    }

    return found
  }

  async #revokeSessions (
    sessions: readonly Session[],
    at: Millis,
    reason: RevocationReason
  ): Promise<number> {
    const revocations = sessions.filter(({ revokedAt }) => revokedAt === null).map(({ id }) => ({
      at,
      sessionId: id
    }))
    let count = 0

    for (let i = 0; i < revocations.length; i += MAX_PIPELINE) {
      const these = revocations.slice(i, i + MAX_PIPELINE)
      await this.#feed.add(these)
      const shown = await Promise.all(
        these.map(({ sessionId }) =>
          this.#keys.run('revoke', this.#keys.session(sessionId), at, reason)
        )
      ) as Array<[unknown, unknown?]>
      count += shown.filter(([revoked]) => Number(revoked) === 1).length
      // Another call has revoked the session at another time.
      await this.#feed.remove(these.filter((_, j) => Number(shown[j]?.[1]) !== at))
    }

    if (count > 0) {
      await this.#feed.notifyReaders()
    }

    return count
  }
}
