import type { Millis } from '../../lib/time.js'
import type { RedisConnection } from './connection.js'
import { SHARDS } from './keys.js'
import { toFixedPart } from './rows.js'
import { RedisSessions } from './sessions.js'
import { getRevokedScore, RedisUsers, splitAtSpace } from './users.js'

/** Maximum number of records of one shard in a batch. More would delay other commands. */
const MAX_BATCH = 25
/** Maximum number of sessions from before a not-before in a batch. */
const MAX_SESSIONS_LEFT = 100

/** Result of a batch in one shard. */
interface Swept {
  /** Number of examined records. Less than the limit means that nothing is left. */
  readonly examined: number
  readonly deleted: number
}

type SweepShard = (shard: number, limit: number) => Promise<Swept>

/** Deletes what ended before a moment, shard by shard. */
export class RedisSweep {
  readonly #redis: RedisConnection
  readonly #sessions: RedisSessions
  readonly #users: RedisUsers
  readonly #endedBefore: Millis

  constructor (redis: RedisConnection, endedBefore: Millis) {
    this.#redis = redis
    this.#sessions = new RedisSessions(redis)
    this.#users = new RedisUsers(redis)
    this.#endedBefore = endedBefore
  }

  /** Deletes at most `limit` records, and returns their number. */
  async run (limit: number): Promise<number> {
    let deleted = 0
    const kinds: SweepShard[] = [
      (shard, batch) => this.#sweepSessions(shard, batch),
      (shard, batch) => this.#sweepNotBefores(shard, batch),
      (shard, batch) => this.#sweepFeed(shard, batch)
    ]

    for (const sweepShard of kinds) {
      deleted += await sweepShards(limit - deleted, sweepShard)
    }

    return deleted
  }

  // Removes a session from the index of its user before its row, so that the next sweep finds it
  // again after a crash.
  async #sweepSessions (shard: number, limit: number): Promise<Swept> {
    const { keys } = this.#redis
    const ends = keys.ends(shard)
    const ids = await this.#findOld(ends, limit)

    if (ids.length === 0) {
      return { examined: 0, deleted: 0 }
    }

    const found = await this.#redis.run('findExpired', {
      keys: [ends, ...ids.map(id => keys.session(id))],
      values: [this.#endedBefore, ...ids]
    }) as unknown[]
    const ended = Array.from({ length: found.length / 2 }, (_, i) => ({
      realm: String(found[2 * i]),
      ...toFixedPart(found[2 * i + 1])
    }))

    if (ended.length === 0) {
      return { examined: ids.length, deleted: 0 }
    }

    await Promise.all(
      ended.map(({ realm, userId, id }) => this.#users.move(realm, userId, [[id, null]]))
    )
    const results = await this.#redis.run('deleteExpired', {
      keys: [ends, ...ended.map(({ id }) => keys.session(id))],
      values: [this.#endedBefore, ...ended.map(({ id }) => id)]
    }) as unknown[]
    await Promise.all(ended.map(async ({ id }, i) => Number(results[i]) === 2 && this.#restore(id)))

    return {
      examined: ids.length,
      deleted: results.filter(result => Number(result) === 1).length
    }
  }

  /** Adds a session, which rotated while it was swept, to the index of its user again. */
  async #restore (sessionId: string): Promise<void> {
    const session = await this.#sessions.read(sessionId)

    if (session !== null) {
      await this.#users.add(session)
    }
  }

  async #sweepNotBefores (shard: number, limit: number): Promise<Swept> {
    const members = await this.#findOld(this.#redis.keys.oldNotBefores(shard), limit)
    const counts = await Promise.all(members.map(member => this.#sweepNotBefore(shard, member)))
    return { examined: members.length, deleted: counts.reduce((sum, count) => sum + count, 0) }
  }

  async #sweepNotBefore (shard: number, member: string): Promise<number> {
    const { keys } = this.#redis
    const [before, name] = splitAtSpace(member)
    const [realm, userId, keep] = JSON.parse(name) as [string, string, string]
    const old = keys.oldNotBefores(shard)

    for (;;) {
      const result = await this.#redis.run('sweepNotBefore', {
        keys: [keys.user(realm, userId), keys.notBefores(realm, userId), old],
        values: [
          getRevokedScore(Number(before)),
          before,
          `${before} ${keep}`,
          member,
          MAX_SESSIONS_LEFT
        ]
      })

      if (!Array.isArray(result)) {
        return Number(result)
      }

      const lastEnd = await this.#findLastEnd(realm, userId, result.map(String))

      // The next sweep that can delete one of the sessions examines the not-before again.
      if (lastEnd !== null) {
        const score = Math.max(lastEnd, this.#endedBefore)
        await this.#redis.command('ZADD', old, 'XX', score, member)
        return 0
      }
    }
  }

  /** Returns the latest idle expiry of sessions, or `null` if none of them exists any more. */
  async #findLastEnd (
    realm: string,
    userId: string,
    ids: readonly string[]
  ): Promise<Millis | null> {
    const ends = await Promise.all(
      ids.map(id => this.#redis.command('HGET', this.#redis.keys.session(id), 'expiresAt'))
    )
    const gone = ids.filter((_, i) => ends[i] === null)
    await this.#users.move(realm, userId, gone.map(id => [id, null]))
    return gone.length === ids.length ? null : Math.max(...ends.map(Number))
  }

  async #sweepFeed (shard: number, limit: number): Promise<Swept> {
    const firstThatStays = `${Math.max(1, Math.ceil(this.#endedBefore))}-0`
    const deleted = Number(
      await this.#redis.run('sweepFeed', {
        keys: [this.#redis.keys.feed(shard)],
        values: [firstThatStays, limit]
      })
    )
    return { examined: deleted, deleted }
  }

  async #findOld (key: string, limit: number): Promise<string[]> {
    const range = ['-inf', `(${this.#endedBefore}`, 'BYSCORE', 'LIMIT', 0, limit] as const
    return (await this.#redis.command('ZRANGE', key, ...range) as unknown[]).map(String)
  }
}

/** Sweeps all shards until nothing is left or `limit` records are deleted. */
async function sweepShards (limit: number, sweepShard: SweepShard): Promise<number> {
  let shards = Array.from({ length: SHARDS }, (_, shard) => shard)
  let deleted = 0

  while (shards.length > 0 && deleted < limit) {
    const room = limit - deleted
    const these = shards.slice(0, room)
    const batch = Math.min(Math.floor(room / these.length), MAX_BATCH)
    const results = await Promise.all(these.map(shard => sweepShard(shard, batch)))
    const unfinished = these.filter((_, i) => (results[i] as Swept).examined === batch)
    shards = [...shards.slice(these.length), ...unfinished]
    deleted += results.reduce((sum, each) => sum + each.deleted, 0)
  }

  return deleted
}
