// Sessions in Redis. A session is a hash on a key of its own; what finds sessions (by user, by end, by revocation) lies on
// other keys, perhaps on other machines, and no step covers two of them. So they are written in an order in which a
// crash between two leaves too much behind, never too little, and readers believe the session alone:
//
//   {prefix}s:{<id>}      hash        the session
//   {prefix}u:{<user>}    sorted set  ids of the user's sessions by absolute end; written before the session
//   {prefix}ends          sorted set  ids by a lower bound of the idle end; written before, moved forward by the sweep
//   {prefix}revocations   sorted set  the feed: moment and id as one text, in order; written before the session is revoked
//   {prefix}not-before    sorted set  users by the moment at which all their sessions were revoked
//   {prefix}revoked       channel     a hint to read the feed now

import { randomBytes } from 'node:crypto'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { isLive } from '../../domain/session.js'
import type { RevocationReason, Session } from '../../domain/session.js'
import { RedisFeed } from './revocation-feed.js'
import { toFields, toFixedPart } from './rows.js'
import { AT_ONCE, DEFAULT_PREFIX, RedisKeys, SWEPT_AT_ONCE } from './scripts.js'
import type { RedisClient } from './scripts.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, Revocation, RevocationTarget, TokenStore, Touch } from '../token-store.js'
import { DAY } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

export interface RedisStoreOptions {
  /**
   * What the keys begin with; two apps on one Redis need two prefixes. Without `{`, which would put all sessions of a
   * cluster on one machine.
   * @default 'token-auth:'
   */
  readonly prefix?: string
}

/**
 * Keeps sessions in Redis 6.2 or later (or Valkey), over an ioredis or a node-redis connection, to one server or to a cluster.
 * The connection may be shared with the app; whoever made it closes it.
 *
 * Redis must not evict: set `maxmemory-policy noeviction`, or memory that runs short signs people out. Without
 * `appendonly yes` a restart forgets the last minutes: who logged in is signed out, who logged out is signed in again, and of
 * lost rotations only the last heals. A session that is never swept is forgotten by Redis a day after its absolute end.
 *
 * A session takes about 1.5 kB. On a cluster sessions are spread, while the feed, the ends and the
 * not-befores lie on one machine each; a refresh touches none of them, a login touches the latter two.
 */
export class RedisStore implements TokenStore {
  readonly #keys: RedisKeys
  readonly #feed: RedisFeed

  constructor (client: RedisClient, { prefix = DEFAULT_PREFIX }: RedisStoreOptions = {}) {
    this.#keys = new RedisKeys(client, prefix)
    this.#feed = new RedisFeed(this.#keys)
  }

  // With `revoke` of the user at once: here the index is written before the session, and the not-before is read after it;
  // there the not-before is written before the index is read. So either this sees the not-before and takes the session
  // back, or that sees the session and revokes it. Nothing in between removes a live session from the index.
  async create (session: Session): Promise<void> {
    const { id, userId, createdAt, endsAt, revokedAt } = session
    // By Redis's clock, which need not be the app's.
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

    const revokedMeanwhile = await this.#keys.run('takeBack', this.#keys.session(id), mark)
    await this.#forget(session, revokedMeanwhile)
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

  // By a script too, as everything: a cluster's client may send plain reads to a replica, which is behind.
  async find (sessionId: string): Promise<Session | null> {
    const shown = await this.#keys.run('find', this.#keys.session(sessionId))
    return shown === null ? null : JSON.parse(String(shown)) as Session
  }

  async list (
    userId: string,
    { now, limit }: { readonly now: Millis, readonly limit: number }
  ): Promise<Session[]> {
    const sessions = await this.#ofUser(userId, now)

    return sessions
      .filter(session => isLive(session, now))
      .sort((a, b) =>
        b.createdAt - a.createdAt || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id))
      )
      .slice(0, limit)
  }

  async revoke (
    target: RevocationTarget,
    { at, reason }: { readonly at: Millis, readonly reason: RevocationReason }
  ): Promise<number> {
    if ('sessionId' in target) {
      const session = await this.find(target.sessionId)
      return session === null ? 0 : this.#revokeThese([session], at, reason)
    }

    await this.#keys.command('ZADD', this.#keys.notBefore, 'GT', at, target.userId)
    const sessions = await this.#ofUser(target.userId, at)
    return this.#revokeThese(sessions.filter(({ id }) => id !== target.keep), at, reason)
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
      const room = Math.min(limit - count, SWEPT_AT_ONCE)
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

      count += await this.#sweepThese(ids.map(String), endedBefore)
    }

    while (count < limit) {
      const room = Math.min(limit - count, AT_ONCE)
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

  // Two sweepers may see the same ids; who deletes the session counts it. What is not deleted is gone, or lives on.
  async #sweepThese (ids: readonly string[], endedBefore: Millis): Promise<number> {
    const rows = await Promise.all(
      ids.map(id => this.#keys.run('sweep', this.#keys.session(id), endedBefore))
    )
    const swept = rows.filter(row => row !== null) as Array<[fixed: unknown, revokedAt: unknown]>
    const [gone, living] = [ids.filter((_, i) => rows[i] !== null), [] as Array<string | number>]
    await Promise.all(ids.map(async (id, i) => {
      if (rows[i] !== null) {
        return
      }

      const end = await this.#keys.peek(id, 'expiresAt')

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

  async #forget (
    { id, userId }: { readonly id: string, readonly userId: string },
    revokedAt: unknown
  ): Promise<void> {
    await Promise.all([
      this.#keys.command('ZREM', this.#keys.user(userId), id),
      this.#keys.command('ZREM', this.#keys.ends, id),
      revokedAt !== null && this.#feed.remove([{ at: Number(revokedAt), sessionId: id }])
    ])
  }

  // Every session that the index names, live or not. An id without a session may belong to one that is being created this
  // moment, and stays in the index until it could not be live any more.
  async #ofUser (userId: string, now: Millis): Promise<Session[]> {
    const key = this.#keys.user(userId)
    const members = (await this.#keys.command('ZRANGE', key, 0, -1, 'WITHSCORES') as unknown[]).map(
      String
    )
    const found: Session[] = []

    for (let i = 0; i < members.length; i += 2 * AT_ONCE) {
      const ids = members.slice(i, i + 2 * AT_ONCE).filter((_, j) => j % 2 === 0)
      const rows = await Promise.all(ids.map(id => this.find(id)))
      found.push(...rows.filter(row => row?.userId === userId) as Session[])
      const gone = ids.filter((_, j) => rows[j] === null && Number(members[i + 2 * j + 1]) <= now)

      if (gone.length > 0) {
        await this.#keys.command('ZREM', key, ...gone)
      }
    }

    return found
  }

  async #revokeThese (
    sessions: readonly Session[],
    at: Millis,
    reason: RevocationReason
  ): Promise<number> {
    const revocations = sessions.filter(({ revokedAt }) => revokedAt === null).map(({ id }) => ({
      at,
      sessionId: id
    }))
    let count = 0

    for (let i = 0; i < revocations.length; i += AT_ONCE) {
      const these = revocations.slice(i, i + AT_ONCE)
      await this.#feed.add(these)
      const shown = await Promise.all(
        these.map(({ sessionId }) =>
          this.#keys.run('revoke', this.#keys.session(sessionId), at, reason)
        )
      ) as Array<[unknown, unknown?]>
      count += shown.filter(([revoked]) => Number(revoked) === 1).length
      // Somebody else was first, at another moment.
      await this.#feed.remove(these.filter((_, j) => Number(shown[j]?.[1]) !== at))
    }

    if (count > 0) {
      await this.#feed.wakeReaders()
    }

    return count
  }
}
