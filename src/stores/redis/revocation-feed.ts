// The feed of revocations in Redis: one sorted set whose members, moment and id as one text, all have score 0 and so lie in
// the order of their bytes. An entry is written before its session is revoked, and believed only where the session
// confirms it: a crash between the two leaves an entry that nobody is shown, never a revocation that nobody hears of.

import { AT_ONCE } from './scripts.js'
import type { RedisKeys } from './scripts.js'
import { toEntry, toRevocation } from './rows.js'
import type { Cursor, Revocation } from '../token-store.js'
import type { Millis } from '../../lib/time.js'

const CHECKED_BY_SWEEP = 100
const REMEMBERED = 10_000

/** */
export class RedisFeed {
  readonly #keys: RedisKeys
  // A revocation is sticky: what a reader has confirmed once needs no second look at each poll.
  readonly #confirmed = new Set<string>()

  constructor (keys: RedisKeys) {
    this.#keys = keys
  }

  async add (revocations: readonly Revocation[]): Promise<void> {
    await this.#keys.command(
      'ZADD',
      this.#keys.revocations,
      ...revocations.flatMap(each => [0, toEntry(each)])
    )
  }

  async remove (revocations: readonly Revocation[]): Promise<void> {
    if (revocations.length > 0) {
      await this.#keys.command('ZREM', this.#keys.revocations, ...revocations.map(toEntry))
    }
  }

  /** A hint for other instances, and no more: where it cannot be sent, they poll a little later. */
  async wakeReaders (): Promise<void> {
    await this.#keys.run('publish', this.#keys.revocations, this.#keys.channel).catch(() => {})
  }

  async read (after: Cursor, limit: number): Promise<Revocation[]> {
    const found: Revocation[] = []
    let last = after.at < 0 ? '' : toEntry(after)

    while (found.length < limit) {
      const room = Math.min(limit - found.length, AT_ONCE)
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

  /**
   * Removes entries whose session is gone, and whose writer or sweeper crashed before it could. Younger ones than the
   * sessions that are left come to the front when these have been swept.
   */
  async sweep (endedBefore: Millis): Promise<void> {
    const entries = await this.#entries(
      '-',
      `(${toEntry({ at: endedBefore, sessionId: '' })}`,
      CHECKED_BY_SWEEP
    )
    const revocations = entries.map(toRevocation)
    const ends = await Promise.all(
      revocations.map(({ sessionId }) => this.#keys.peek(sessionId, 'expiresAt'))
    )
    await this.remove(revocations.filter((_, i) => ends[i] === null))
  }

  async #confirm (entry: string): Promise<boolean> {
    if (this.#confirmed.has(entry)) {
      return true
    }

    const { at, sessionId } = toRevocation(entry)
    const revokedAt = await this.#keys.peek(sessionId, 'revokedAt')

    if (revokedAt === null || Number(revokedAt) !== at) {
      return false
    }

    if (this.#confirmed.size >= REMEMBERED) {
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
