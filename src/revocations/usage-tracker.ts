import { AsyncResource } from 'node:async_hooks'
import { BoundedMap } from '../lib/bounded-map.js'
import { SingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { TokenStore, Touch } from '../stores/token-store.js'

const MAX_DELAY: Millis = SECOND
const MIN_DELAY: Millis = 10
const BATCH_SIZE = 500
// Half of them are never dropped. A dropped session only costs one more write.
const MAX_SEEN = 200_000

/**
 * Tracks which generation of each session was last used, and writes it in batches.
 *
 * No request waits for a write, and each generation of a session is written once.
 */
export class UsageTracker {
  readonly #store: TokenStore
  readonly #realm: string
  readonly #delay: Millis
  readonly #seen = new BoundedMap<string, number>(MAX_SEEN)
  readonly #writing = new SingleFlight<void>()
  #pending = new Map<string, Touch>()
  // A batch serves several requests, so it must not run in the async context of one of them.
  readonly #flushInOwnContext: () => void
  #timer: NodeJS.Timeout | undefined

  /**
   * @param grace - Grace period of rotations. Batches are at most half of it apart, so that a
   * recovery is judged by recent data.
   */
  constructor (store: TokenStore, realm: string, grace: Millis) {
    this.#store = store
    this.#realm = realm
    this.#flushInOwnContext = AsyncResource.bind(() => {
      this.#timer = undefined
      void this.flush()
    })
    this.#delay = Math.max(MIN_DELAY, Math.min(MAX_DELAY, grace / 2))
  }

  /** Records that a token of this generation was accepted. Writes each generation once. */
  markConfirmed (sessionId: string, generation: number, at: Millis): void {
    const seen = this.#seen.get(sessionId)

    if (seen === undefined || seen < generation) {
      this.markUsed(sessionId, generation, at)
    }
  }

  /** Does the same as {@link markConfirmed}, but always writes the moment of use. */
  markUsed (sessionId: string, generation: number, at: Millis): void {
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
    this.#schedule(this.#delay)
  }

  /**
   * Returns the newest generation that this instance has seen in use, whether written or not.
   *
   * @returns -1 if it has seen none.
   */
  confirmedGeneration (sessionId: string): number {
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
      await this.#writing.run(() => this.#write())
    }
  }

  /** Writes all pending records once more and stops the timer. */
  async close (): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
  }

  async #write (): Promise<void> {
    // In the order of IDs, so that two instances cannot deadlock on each other's rows.
    const touches = [...this.#pending.values()].sort((a, b) => a.sessionId < b.sessionId ? -1 : 1)
    this.#pending = new Map()

    try {
      while (touches.length > 0) {
        await this.#store.touch(touches.slice(0, BATCH_SIZE))
        touches.splice(0, BATCH_SIZE)
      }
    } catch {
      for (const touch of touches) {
        this.#add(touch)
      }

      this.#schedule(MAX_DELAY)
    }
  }

  #add (touch: Touch): void {
    const pending = this.#pending.get(touch.sessionId)
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

  #schedule (delay: Millis): void {
    this.#timer ??= setTimeout(this.#flushInOwnContext, delay).unref()
  }
}
