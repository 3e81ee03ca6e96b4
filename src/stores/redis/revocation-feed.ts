import { createHash } from 'node:crypto'
import { HOUR } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { Cursor, FeedWindow, Revocation, RevocationPage } from '../token-store.js'
import type { RedisConnection } from './connection.js'
import { SHARDS } from './keys.js'

/** Window of a reader whose cursor is not valid. */
const DEFAULT_WINDOW: Millis = 25 * HOUR
const POSITION = /^(?:(?<id>\d{1,16}-\d{1,16})\.(?<digest>[0-9a-f]{8}))?$/

/** Entry of a stream. */
interface Entry {
  readonly id: string
  readonly json: string
}

/** Part of a page that one shard returns. */
interface ShardPage {
  readonly now: Millis
  /** Position of a reader before the first entry. */
  readonly start: string
  readonly entries: readonly Entry[]
  readonly realms: readonly string[]
}

/** Start of a reader without a position. */
const NEW_READER = '*'

/**
 * Feed of revocations, in one stream for each shard.
 *
 * A script writes an entry together with the row or the not-before that it reports. The IDs of a
 * stream grow in the order of these writes, also when the clock of the server goes back. So a
 * reader that continues after an ID misses nothing.
 *
 * A cursor contains the last entry of each shard. If this entry is missing, a failover may have
 * lost later ones too, and the shard starts again with a window. The digest of the entry detects
 * another one that got the same ID.
 */
export class RedisFeed {
  readonly #redis: RedisConnection

  constructor (redis: RedisConnection) {
    this.#redis = redis
  }

  /** Reads a page. `now` is the time of the server that has the first shard. */
  async read (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    const positions = typeof after === 'string' ? parseCursor(after) : null
    const within = typeof after === 'string' ? DEFAULT_WINDOW : after.within
    const share = Math.max(1, Math.ceil(limit / SHARDS))
    const pages = await Promise.all(
      Array.from(
        { length: SHARDS },
        (_, shard) => this.#follow(shard, positions?.[shard] ?? NEW_READER, within, share)
      )
    )
    const entries = pages.flatMap(({ realms }) => realms)
    const next: string[] = []
    let left = limit
    let complete = true

    for (const page of pages) {
      const taken = page.entries.slice(0, Math.min(share, left))
      const last = taken.at(-1)
      entries.push(...taken.map(({ json }) => json))
      next.push(last === undefined ? page.start : toPosition(last))
      left -= taken.length
      complete &&= taken.length === page.entries.length
    }

    return {
      now: (pages[0] as ShardPage).now,
      cursor: next.join(','),
      complete,
      entries: entries.map(json => JSON.parse(json) as Revocation)
    }
  }

  // Reads one entry more than the share, to know whether the page is the last one.
  async #follow (
    shard: number,
    position: string,
    within: Millis,
    share: number
  ): Promise<ShardPage> {
    const { keys } = this.#redis
    const { id = position, digest = '' } = POSITION.exec(position)?.groups ?? {}
    const [seconds, micros, start, found, realms] = await this.#redis.run('follow', {
      keys: [keys.feed(shard), keys.realms(shard)],
      values: [id, digest, within, share + 1]
    }) as [unknown, unknown, unknown[], unknown[], unknown[]]
    const texts = found.map(String)
    const [startId, startJson] = start.map(String)

    return {
      now: Number(seconds) * 1000 + Math.floor(Number(micros) / 1000),
      start: startId === undefined ? '' : toPosition({ id: startId, json: startJson as string }),
      entries: Array.from(
        { length: texts.length / 2 },
        (_, i) => ({ id: texts[2 * i] as string, json: texts[2 * i + 1] as string })
      ),
      realms: realms.map(String)
    }
  }
}

/** Returns the positions of all shards, or `null` if the cursor is not valid. */
function parseCursor (cursor: Cursor): string[] | null {
  const positions = cursor.split(',')
  const isValid = positions.length === SHARDS && positions.every(each => POSITION.test(each))
  return isValid ? positions : null
}

function toPosition ({ id, json }: Entry): string {
  return `${id}.${createHash('sha1').update(json).digest('hex').slice(0, 8)}`
}
