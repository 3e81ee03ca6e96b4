import { MAX_PIPELINE } from './scripts.js'
import type { RedisKeys } from './scripts.js'
import { toEntry, toRevocation } from './rows.js'
import type { Cursor, Revocation } from '../token-store.js'
import type { Millis } from '../../lib/time.js'

const MAX_SWEPT_ENTRIES = 100
const MAX_CONFIRMED = 10_000

/**
 * List of revocations in a sorted set.
 *
 * All members have the score 0, so they sort by their bytes. An entry is written before its session
 * is revoked, and is returned only if the session confirms it. A crash in between leaves an entry
 * that no reader gets, but never a revocation without an entry.
 */
export class RedisFeed {
  readonly #keys: RedisKeys
  // A revocation stays, so an entry needs to be confirmed only once.
  readonly #confirmed = new Set<string>()

  constructor (keys: RedisKeys) {
    this.#keys = keys
  }

  /** Adds entries. */
  async add (revocations: readonly Revocation[]): Promise<void> {
    await this.#keys.command(
      'ZADD',
      this.#keys.revocations,
      ...revocations.flatMap(each => [0, toEntry(each)])
    )
  }

  /** Removes entries. */
  async remove (revocations: readonly Revocation[]): Promise<void> {
    if (revocations.length > 0) {
      await this.#keys.command('ZREM', this.#keys.revocations, ...revocations.map(toEntry))
    }
  }

  /** Asks other instances to poll now. If that fails, they poll a little later. */
  async notifyReaders (): Promise<void> {
    await this.#keys.run('publish', this.#keys.revocations, this.#keys.channel).catch(() => {})
  }

  /** Returns confirmed revocations after a cursor. */
  async read (after: Cursor, limit: number): Promise<Revocation[]> {
    const found: Revocation[] = []
    let last = after.at < 0 ? '' : toEntry(after)

    while (found.length < limit) {
      const room = Math.min(limit - found.length, MAX_PIPELINE)
      const entries = await this.#entries(`(${last}`, '+', room)
      const shown = await Promise.all(entries.map(entry => this.#confirm(entry)))
      found.push(...entries.filter((_, i) => shown[i]).map(toRevocation))

      if (entries.length < room) {
        break
      }

      last = entries.at(-1) as string
    }

    return found
  }

  /** Removes old entries without a session, which a crashed writer or sweeper has left. */
  async sweep (endedBefore: Millis): Promise<void> {
    const entries = await this.#entries(
      '-',
      `(${toEntry({ at: endedBefore, sessionId: '' })}`,
      MAX_SWEPT_ENTRIES
    )
    const revocations = entries.map(toRevocation)
    const ends = await Promise.all(
      revocations.map(({ sessionId }) => this.#keys.getField(sessionId, 'expiresAt'))
    )
    await this.remove(revocations.filter((_, i) => ends[i] === null))
  }

  async #confirm (entry: string): Promise<boolean> {
    if (this.#confirmed.has(entry)) {
      return true
    }

    const { at, sessionId } = toRevocation(entry)
    const revokedAt = await this.#keys.getField(sessionId, 'revokedAt')

    if (revokedAt === null || Number(revokedAt) !== at) {
      return false
    }

    if (this.#confirmed.size >= MAX_CONFIRMED) {
      this.#confirmed.clear()
    }

    this.#confirmed.add(entry)
    return true
  }

  async #entries (from: string, to: string, limit: number): Promise<string[]> {
    const entries = await this.#keys.command(
      'ZRANGE',
      this.#keys.revocations,
      from,
      to,
      'BYLEX',
      'LIMIT',
      0,
      limit
    )
    return (entries as unknown[]).map(String)
  }
}
