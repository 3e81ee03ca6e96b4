import { AsyncResource } from 'node:async_hooks'
import { TokenAuthError } from '../errors.js'
import { BoundedMap } from '../lib/bounded-map.js'
import { SingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { TokenStore, Touch } from '../stores/token-store.js'

const MAX_DELAY: Millis = SECOND
const MIN_DELAY: Millis = 10
const BATCH_SIZE = 500
// Bounds the memory while the store does not respond.
const MAX_PENDING = 250_000
/** Maximum number of sessions in memory. A dropped session only costs one more write. */
const MAX_SEEN = 200_000

/**
 * Tracks which generation of each session was last used, and writes it in batches.
 *
 * Each generation of a session is written once. By default no request waits for the write.
 */
export class UsageTracker {
  readonly #store: TokenStore
  readonly #realm: string
  readonly #delay: Millis
  readonly #seen = new BoundedMap<string, number>(MAX_SEEN)
  /** Generations that the store has written. `null` if no request waits. */
  readonly #written: BoundedMap<string, number> | null
  readonly #writing = new SingleFlight<void>()
  #pending = new Map<string, Touch>()
  // A batch serves several requests, so it must not run in the async context of one of them.
  readonly #writePending: () => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #hasFailed = false

  /**
   * @param grace - Grace period of rotations. Batches are at most half of it apart, so that a
   * recovery is judged by recent data.
   * @param writesImmediately - Whether responses wait for the first write of a generation.
   */
  constructor (store: TokenStore, realm: string, grace: Millis, writesImmediately = false) {
    this.#store = store
    this.#realm = realm
    this.#written = writesImmediately ? new BoundedMap(MAX_SEEN) : null
    this.#writePending = AsyncResource.bind(() => this.#writing.run(() => this.#write()))
    this.#delay = Math.max(MIN_DELAY, Math.min(MAX_DELAY, grace / 2))
  }

  /** Number of sessions whose last use is not written yet. */
  get pending (): number {
    return this.#pending.size
  }

  /** Whether the last write failed. */
  get hasFailed (): boolean {
    return this.#hasFailed
  }

  /**
   * Records that a token of this generation was accepted. Writes each generation once.
   *
   * @returns `null` if the response need not wait. Otherwise a promise of the write, which rejects
   * with `AUTH_STORE_UNAVAILABLE` if it fails. The next call then tries again.
   */
  markConfirmed (sessionId: string, generation: number, at: Millis): Promise<void> | null {
    const known = this.#written ?? this.#seen

    return (known.get(sessionId) ?? -1) < generation
      ? this.markUsed(sessionId, generation, at)
      : null
  }

  /** Does the same as {@link markConfirmed}, but always writes the moment of use. */
  markUsed (sessionId: string, generation: number, at: Millis): Promise<void> | null {
    this.#seen.set(sessionId, Math.max(generation, this.#seen.get(sessionId) ?? 0))
    this.#add({
      realm: this.#realm,
      sessionId,
      generation,
      lastUsedAt: at,
      confirmedGeneration: generation,
      graceFrom: null,
      replayRun: null
    })

    if (this.#written !== null) {
      return this.#writeNow(sessionId, generation, this.#written)
    }

    this.#schedule(this.#delay)
    return null
  }

  /**
   * Records generations that another service has accepted, and waits until they are written.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the write fails. A later batch tries again.
   */
  async confirmAll (
    uses: ReadonlyArray<{ readonly sessionId: string, readonly generation: number }>,
    at: Millis
  ): Promise<void> {
    if (uses.length === 0) {
      return
    }

    await Promise.all(
      uses.map(({ sessionId, generation }) => this.markConfirmed(sessionId, generation, at))
    )
    await this.flush()

    if (this.#hasFailed) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }
  }

  /**
   * Returns the newest generation that this instance has seen in use, whether written or not.
   *
   * @returns -1 if it has seen none.
   */
  getConfirmedGeneration (sessionId: string): number {
    return Math.max(
      this.#seen.get(sessionId) ?? -1,
      this.#pending.get(sessionId)?.confirmedGeneration ?? -1
    )
  }

  /** Writes all pending records. Failed ones stay pending and are written by a later batch. */
  async flush (): Promise<void> {
    // The current write may have started before the last record was added.
    while (this.#writing.running !== null) {
      await this.#writing.running
    }

    if (this.#pending.size > 0) {
      await this.#writePending()
    }
  }

  /** Writes all pending records once more and stops the timer. */
  async close (): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
  }

  async #writeNow (
    sessionId: string,
    generation: number,
    written: BoundedMap<string, number>
  ): Promise<void> {
    // The current write may have started before this use was added. The next one contains it.
    await this.#writing.running
    await this.#writePending()

    if ((written.get(sessionId) ?? -1) < generation) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }
  }

  async #write (): Promise<void> {
    // Sorts by ID, so that two instances cannot deadlock on each other's rows.
    const touches = [...this.#pending.values()].sort((a, b) => a.sessionId < b.sessionId ? -1 : 1)
    this.#pending = new Map()

    try {
      while (touches.length > 0) {
        const batch = touches.slice(0, BATCH_SIZE)
        await this.#store.touch(batch)
        touches.splice(0, BATCH_SIZE)
        this.#recordWritten(batch)
      }

      this.#hasFailed = false
    } catch {
      this.#hasFailed = true

      for (const touch of touches) {
        this.#add(touch)
      }

      this.#schedule(MAX_DELAY)
    }
  }

  #recordWritten (batch: readonly Touch[]): void {
    const written = this.#written

    if (written === null) {
      return
    }

    for (const { sessionId, confirmedGeneration } of batch) {
      written.set(sessionId, Math.max(confirmedGeneration, written.get(sessionId) ?? -1))
    }
  }

  #add (touch: Touch): void {
    const pending = this.#pending.get(touch.sessionId)

    if (pending === undefined && this.#pending.size >= MAX_PENDING) {
      this.#dropOldest()
    }

    this.#pending.set(
      touch.sessionId,
      pending === undefined
        ? touch
        : {
          ...touch,
          generation: Math.max(pending.generation, touch.generation),
          lastUsedAt: Math.max(pending.lastUsedAt, touch.lastUsedAt),
          confirmedGeneration: Math.max(pending.confirmedGeneration, touch.confirmedGeneration)
        }
    )
  }

  // The next use of the session is recorded again.
  #dropOldest (): void {
    const [oldest] = this.#pending.keys()

    if (oldest !== undefined) {
      this.#pending.delete(oldest)
      this.#seen.delete(oldest)
    }
  }

  #schedule (delay: Millis): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.flush()
    }, delay).unref()
  }
}
