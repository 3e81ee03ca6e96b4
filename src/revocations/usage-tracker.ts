// Which generation of which session was seen in use. It is noted in memory and written in the next batch, so that no
// request waits for it, and a session is written at most once a generation.

import type { TokenStore, Touch } from '../stores/token-store.js'
import { BoundedMap } from '../lib/bounded-map.js'
import type { Millis } from '../lib/time.js'

const LONGEST_WAIT: Millis = 1000
const SHORTEST_WAIT: Millis = 10
// A hundred thousand that are in use are never forgotten; beyond, a note may be written again.
const REMEMBERED = 200_000
const BATCH = 500

/** */
export class UsageTracker {
  readonly #store: TokenStore
  readonly #wait: Millis
  readonly #seen = new BoundedMap<string, number>(REMEMBERED)
  #pending = new Map<string, Touch>()
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> | undefined

  /** @param grace Notes are written twice a grace or more often, so that a recovery is judged by fresh ones. */
  constructor (store: TokenStore, grace: Millis) {
    this.#store = store
    this.#wait = Math.max(SHORTEST_WAIT, Math.min(LONGEST_WAIT, grace / 2))
  }

  /** Notes that a token of this generation was accepted. The same generation again is not written again. */
  markConfirmed (sessionId: string, generation: number, at: Millis): void {
    const seen = this.#seen.get(sessionId)

    if (seen === undefined || seen < generation) {
      this.markUsed(sessionId, generation, at)
    }
  }

  /** Like {@link markConfirmed}, but the moment of use is written in any case. */
  markUsed (sessionId: string, generation: number, at: Millis): void {
    this.#seen.set(sessionId, Math.max(generation, this.#seen.get(sessionId) ?? 0))
    this.#add({ sessionId, lastUsedAt: at, confirmedGeneration: generation })
    this.#schedule(this.#wait)
  }

  /** The newest generation that this instance has seen in use, written or not; -1 where it has seen none. */
  confirmedGeneration (sessionId: string): number {
    return Math.max(
      this.#seen.get(sessionId) ?? -1,
      this.#pending.get(sessionId)?.confirmedGeneration ?? -1
    )
  }

  /** Writes what is pending. What could not be written stays pending and is tried again. */
  async flush (): Promise<void> {
    while (this.#flushing !== undefined) {
      await this.#flushing
    }

    if (this.#pending.size === 0) {
      return
    }

    this.#flushing = this.#write().finally(() => {
      this.#flushing = undefined
    })
    await this.#flushing
  }

  /** Writes what is pending for the last time. */
  async close (): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
  }

  async #write (): Promise<void> {
    // In the order of ids, so that two instances never wait for each other's rows.
    const touches = [...this.#pending.values()].sort((a, b) => a.sessionId < b.sessionId ? -1 : 1)
    this.#pending = new Map()

    try {
      while (touches.length > 0) {
        await this.#store.touch(touches.slice(0, BATCH))
        touches.splice(0, BATCH)
      }
    } catch {
      for (const touch of touches) {
        this.#add(touch)
      }

      this.#schedule(LONGEST_WAIT)
    }
  }

  #add (touch: Touch): void {
    const pending = this.#pending.get(touch.sessionId)
    this.#pending.set(
      touch.sessionId,
      pending === undefined
        ? touch
        : {
          sessionId: touch.sessionId,
          lastUsedAt: Math.max(pending.lastUsedAt, touch.lastUsedAt),
          confirmedGeneration: Math.max(pending.confirmedGeneration, touch.confirmedGeneration)
        }
    )
  }

  #schedule (wait: Millis): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      void this.flush()
    }, wait).unref()
  }
}
