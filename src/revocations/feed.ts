import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Events, Logger } from '../events.js'
import { SingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { TokenStore } from '../stores/token-store.js'
import type { RevokedSessions } from './revoked.js'

const PAGE_SIZE = 500
/** A step back of the clock by more than this is a correction. */
const CLOCK_STEP: Millis = SECOND

/**
 * Subscribes to pushes of a database. Calls `poll` whenever a session may have been revoked.
 *
 * @returns A function that ends the subscription.
 * @example
 * ```ts
 * const subscribe: RevocationSubscriber = poll => {
 *   emitter.on('revoked', poll)
 *   return () => emitter.off('revoked', poll)
 * }
 * ```
 */
export type RevocationSubscriber = (poll: () => void) => (() => unknown) | Promise<() => unknown>

/** Dependencies and settings of a {@link RevocationFeed}. */
export interface RevocationFeedContext {
  readonly store: TokenStore
  readonly revoked: RevokedSessions
  readonly events: Events
  readonly logger: Logger
  readonly clock: () => Millis
  /** Time between two polls; `null` if there is only one instance. */
  readonly pollInterval: Millis | null
  /** Age of the oldest revocation that matters: all older access tokens have expired. */
  readonly retention: Millis
  /** Time without a successful poll after which the feed is stale; `null` for no limit. */
  readonly failAfter: Millis | null
  readonly subscribe: RevocationSubscriber | undefined
}

/**
 * Follows the revocations of all instances.
 *
 * Polls the store, so that `authenticate` finds every revocation in memory. A push of the database
 * only triggers an earlier poll.
 */
export class RevocationFeed {
  readonly #context: RevocationFeedContext
  readonly #polling = new SingleFlight<void>()
  #newest: Millis
  #readAt: Millis
  #isBehind = false
  #timer: NodeJS.Timeout | undefined
  #unsubscribe: (() => unknown) | undefined
  #isStopped = false

  constructor (context: RevocationFeedContext) {
    this.#context = context
    this.#readAt = context.clock()
    this.#newest = this.#readAt - context.retention
  }

  /**
   * Reads all revocations that still matter, then polls for new ones.
   *
   * @throws Error if the store or the subscription fails. No poll is scheduled then.
   */
  async start (): Promise<void> {
    await this.poll()
    const { subscribe } = this.#context

    if (subscribe !== undefined) {
      const pollSoon = (): void => {
        if (!this.#isStopped) {
          this.poll().catch(() => {})
        }
      }

      this.#unsubscribe = await subscribe(pollSoon)
      // Finds revocations from before the subscription was active.
      pollSoon()
    }

    this.#schedule()
  }

  /** Reads new revocations. Calls during a poll share the next poll. */
  async poll (): Promise<void> {
    const { running } = this.#polling

    if (running !== null) {
      // The current poll may have read the store before the caller's revocation was written.
      await running.catch(() => {})

      if (this.#isStopped) {
        return
      }
    }

    return this.#polling.run(() => this.#read())
  }

  /** Whether revocations may have been missed for longer than `failAfter`. */
  isStale (now: Millis): boolean {
    const { failAfter } = this.#context
    return failAfter !== null && this.#isBehind && now - this.#readAt > failAfter
  }

  /** Stops polling, waits for the current poll and ends the subscription. */
  async stop (): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await this.#polling.running?.catch(() => {})

    try {
      await this.#unsubscribe?.()
    } catch {
      this.#context.logger.warn({}, 'failed to unsubscribe from revocations')
    }
  }

  #schedule (): void {
    const { pollInterval } = this.#context

    if (pollInterval === null || this.#isStopped) {
      return
    }

    this.#timer = setTimeout(() => {
      this.poll().catch(() => {}).finally(() => {
        this.#schedule()
      })
    }, pollInterval).unref()
  }

  async #read (): Promise<void> {
    const { clock, events, logger, retention } = this.#context
    const now = clock()

    // The clock was ahead and has been corrected, so the position may lie in the future.
    if (now < this.#readAt - CLOCK_STEP) {
      this.#newest = Math.min(this.#newest, now - retention)
    }

    this.#readAt = Math.min(this.#readAt, now)

    try {
      await this.#readPages(now)
    } catch (error) {
      if (!this.#isBehind) {
        logger.warn({ since: this.#readAt }, 'failed to read revocations')
        events.emit('revocations-stalled', { at: now, since: this.#readAt })
      }

      this.#isBehind = true
      throw error
    }

    this.#isBehind = false
    this.#readAt = now
  }

  async #readPages (now: Millis): Promise<void> {
    const { store, revoked } = this.#context
    // An entry may appear after a newer one, if its statement was slow or its clock is behind.
    let after = { at: this.#newest - CLOCK_TOLERANCE, sessionId: '' }
    let newest = this.#newest

    for (;;) {
      const page = await store.revocations(after, PAGE_SIZE)

      for (const revocation of page) {
        revoked.add(revocation, now)
      }

      const last = page.at(-1)

      if (last !== undefined) {
        // An entry from a clock that is ahead must not move the position past later entries.
        newest = Math.min(now, last.at)
      }

      if (last === undefined || page.length < PAGE_SIZE) {
        break
      }

      after = last
    }

    this.#newest = Math.max(this.#newest, newest)
  }
}
