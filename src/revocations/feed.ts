// Follows what other instances have revoked, so that a logout is known everywhere within a second and `authenticate` asks
// nobody. Polling is the truth; a push from the database is only a hint to poll now.

import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { TokenStore } from '../stores/token-store.js'
import type { Events, Logger } from '../events.js'
import type { RevokedSessions } from './revoked.js'
import type { Millis } from '../lib/time.js'

const PAGE = 500
const AUDIBLE_STEP: Millis = 1000

/** Starts to call `poll` whenever something may have been revoked; gives what ends that. */
export type RevocationSubscriber = (poll: () => void) => (() => unknown) | Promise<() => unknown>

export interface RevocationFeedContext {
  readonly store: TokenStore
  readonly revoked: RevokedSessions
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Between two polls; `null` where there is only this one instance. */
  readonly pollInterval: Millis | null
  /** How far back a revocation still matters: until every access token of its time has ended. */
  readonly reach: Millis
  /** How long the feed may be out of reach before `isLost`; `null` for ever. */
  readonly failAfter: Millis | null
  readonly subscribe: RevocationSubscriber | undefined
}

/** */
export class RevocationFeed {
  readonly #context: RevocationFeedContext
  #newest: Millis
  #readAt: Millis
  #behind = false
  #timer: NodeJS.Timeout | undefined
  #polling: Promise<void> | undefined
  #unsubscribe: (() => unknown) | undefined
  #stopped = false

  constructor (context: RevocationFeedContext) {
    this.#context = context
    this.#readAt = context.clock()
    this.#newest = this.#readAt - context.reach
  }

  /** Reads the window that still matters, and follows from there. Rejects where the store does not answer. */
  async start (): Promise<void> {
    await this.poll()
    const { subscribe } = this.#context

    if (subscribe !== undefined) {
      const pollSoon = (): void => {
        if (!this.#stopped) {
          this.poll().catch(() => {})
        }
      }

      this.#unsubscribe = await subscribe(pollSoon)
      // What was revoked before the first hint could come.
      pollSoon()
    }

    this.#schedule()
  }

  /** Reads what is new. Polls that come while one is under way share the one after it: the first may have begun too soon. */
  async poll (): Promise<void> {
    const underWay = this.#polling

    if (underWay === undefined) {
      return this.#begin()
    }

    await underWay.catch(() => {})

    if (this.#stopped) {
      return
    }

    return this.#polling ?? this.#begin()
  }

  /** Whether revocations may have been missed for longer than the app allows. */
  isStale (now: Millis): boolean {
    const { failAfter } = this.#context
    return failAfter !== null && this.#behind && now - this.#readAt > failAfter
  }

  async stop (): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#polling?.catch(() => {})

    try {
      await this.#unsubscribe?.()
    } catch {
      this.#context.logger.warn({}, 'failed to unsubscribe from revocations')
    }
  }

  #schedule (): void {
    const { pollInterval } = this.#context

    if (pollInterval === null || this.#stopped) {
      return
    }

    this.#timer = setTimeout(() => {
      this.poll().catch(() => {}).finally(() => {
        this.#schedule()
      })
    }, pollInterval).unref()
  }

  #begin (): Promise<void> {
    this.#polling = this.#read().finally(() => {
      this.#polling = undefined
    })
    return this.#polling
  }

  async #read (): Promise<void> {
    const { clock, events, logger, reach } = this.#context
    const now = clock()

    // This clock was ahead and was put right: what was read up to, then, says nothing.
    if (now < this.#readAt - AUDIBLE_STEP) {
      this.#newest = Math.min(this.#newest, now - reach)
    }

    this.#readAt = Math.min(this.#readAt, now)

    try {
      await this.#readPages(now)
    } catch (error) {
      if (!this.#behind) {
        logger.warn({ since: this.#readAt }, 'failed to read revocations')
        events.emit('revocations-stalled', { at: now, since: this.#readAt })
      }

      this.#behind = true
      throw error
    }

    this.#behind = false
    this.#readAt = now
  }

  // Entries may come in after later ones, from an instance whose clock is behind or whose statement took its time: so
  // each poll looks back. A clock that is ahead must not carry the place past entries that are yet to come.
  async #readPages (now: Millis): Promise<void> {
    const { store, revoked } = this.#context
    let after = { at: this.#newest - CLOCK_TOLERANCE, sessionId: '' }
    let newest = this.#newest

    for (;;) {
      const page = await store.revocations(after, PAGE)

      for (const revocation of page) {
        revoked.add(revocation, now)
      }

      const last = page.at(-1)

      if (last !== undefined) {
        newest = Math.min(now, last.at)
      }

      if (last === undefined || page.length < PAGE) {
        break
      }

      after = last
    }

    this.#newest = Math.max(this.#newest, newest)
  }
}
