import { AsyncResource } from 'node:async_hooks'
import type { Events, Logger } from '../events.js'
import { SingleFlight } from '../lib/single-flight.js'
import type { Millis } from '../lib/time.js'
import type { Cursor, TokenStore } from '../stores/token-store.js'
import type { RevocationReporter } from './reporter.js'
import type { StoreTime } from './store-clock.js'

const PAGE_SIZE = 5000

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
  /** Entries of other realms are ignored. */
  readonly realm: string
  /** Learns every entry of the realm. */
  readonly reporter: RevocationReporter
  readonly events: Events
  readonly logger: Logger
  /** Learns the time of the database from every page. */
  readonly time: StoreTime
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
  // A poll serves several requests, so it must not run in the async context of one of them.
  readonly #readInOwnContext: () => Promise<void>
  #cursor: Cursor | null = null
  /** Monotonic moment at which the last complete read began. */
  #readAt: Millis
  #hasCaughtUp = false
  #isBehind = false
  #timer: NodeJS.Timeout | undefined
  #unsubscribe: (() => unknown) | undefined
  #isStopped = false

  constructor (context: RevocationFeedContext) {
    this.#context = context
    this.#readAt = context.time.monotonic()
    this.#readInOwnContext = AsyncResource.bind(() => this.#read())
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

    return this.#polling.run(this.#readInOwnContext)
  }

  /** Whether revocations may have been missed for longer than `failAfter`. */
  isStale (): boolean {
    const { failAfter, time } = this.#context
    return failAfter !== null && this.#isBehind && time.monotonic() - this.#readAt > failAfter
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
    const { events, logger, time } = this.#context
    const startedAt = time.monotonic()

    try {
      await this.#readPages()
    } catch (error) {
      const wasBehind = this.#isBehind
      this.#isBehind = true

      if (!wasBehind && time.isKnown) {
        const at = time.now()
        const since = at - (startedAt - this.#readAt)
        logger.warn({ since }, 'failed to read revocations')
        events.emit('revocations-stalled', { at, since })
      }

      throw error
    }

    this.#isBehind = false
    this.#readAt = startedAt
  }

  async #readPages (): Promise<void> {
    const { store, realm, reporter, retention, time, pollInterval } = this.#context
    // The first read shows what happened before this instance started.
    const isNews = this.#hasCaughtUp && pollInterval !== null

    for (let isComplete = false; !isComplete;) {
      const sentAt = time.monotonic()
      const page = await store.revocations(this.#cursor ?? { within: retention }, PAGE_SIZE)
      time.addSample({ sentAt, receivedAt: time.monotonic(), now: page.now })
      const now = time.now()

      for (const revocation of page.entries) {
        if (revocation.realm === realm) {
          reporter.addEntry(revocation, now, isNews)
        }
      }

      this.#cursor = page.cursor
      isComplete = page.complete
    }

    this.#hasCaughtUp = true
  }
}
