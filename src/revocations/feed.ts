import { AsyncResource } from 'node:async_hooks'
import { TokenAuthError } from '../errors.js'
import type { Events, Logger } from '../events.js'
import { SingleFlight } from '../lib/single-flight.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { Cursor, RevocationPage, TokenStore } from '../stores/token-store.js'
import { PollSchedule } from './poll-schedule.js'
import type { RevocationReporter } from './reporter.js'
import type { InstanceClocks, StoreTime } from './store-clock.js'

const PAGE_SIZE = 5000
/** Time after which an app becomes ready, even if it has not read all revocations. */
const START_TIMEOUT: Millis = 5 * SECOND
/** Minimum time between two polls that pushes cause. */
const MIN_PUSH_INTERVAL: Millis = 100
/** Minimum age of the last complete read at which the feed is reported as stalled. */
const MIN_STALLED_AGE: Millis = 10 * SECOND
const STALLED_INTERVALS = 5

/**
 * Subscribes to pushes of a database. Calls `poll` whenever a session may have been revoked, and
 * logs the loss of a connection with `logger`.
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
export type RevocationSubscriber = (
  poll: () => void,
  logger: Pick<Logger, 'warn' | 'info'>
) => (() => unknown) | Promise<() => unknown>

/** Dependencies and settings of a {@link RevocationFeed}. */
export interface RevocationFeedContext {
  readonly store: Pick<TokenStore, 'revocations'>
  /** Entries of other realms are ignored. */
  readonly realm: string
  /** Learns every entry of the realm. */
  readonly reporter: RevocationReporter
  readonly events: Events
  readonly logger: Logger
  /** Learns the time of the database from every page. */
  readonly time: StoreTime
  /** Clocks by which a process notices that it stood still. */
  readonly clocks: InstanceClocks
  /** Time between two polls; `null` if there is only one instance. */
  readonly pollInterval: Millis | null
  /** Age of the oldest revocation that matters: all older access tokens have expired. */
  readonly retention: Millis
  /** Age of the last complete read from which the feed is stale; `null` for no limit. */
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
  readonly #catchingUp = new SingleFlight<void>()
  readonly #schedule: PollSchedule | null
  // A poll serves several requests, so it must not run in the async context of one of them.
  readonly #readInOwnContext: () => Promise<void>
  #cursor: Cursor | null = null
  #readCount = 0
  /** Monotonic moment at which the last complete read began. */
  #readAt: Millis
  /** Moment at which the last read began, by the clock of the schedule. */
  #sentAt: Millis = -Infinity
  /** Moment at which the last complete read began, by the clock of the schedule. */
  #completeSentAt: Millis
  #hasCaughtUp = false
  #isStalled = false
  #pushTimer: NodeJS.Timeout | undefined
  #unsubscribe: (() => unknown) | undefined
  #isStopped = false

  constructor (context: RevocationFeedContext) {
    const { pollInterval, clocks, time } = context
    this.#context = context
    this.#readAt = time.monotonic()
    this.#completeSentAt = clocks.monotonic()
    this.#readInOwnContext = AsyncResource.bind(() => this.#read())
    this.#schedule = pollInterval === null
      ? null
      : new PollSchedule(pollInterval, clocks, isOverdue => {
        this.#onInterval(isOverdue)
      })
  }

  /**
   * Reads all revocations that still matter, then polls for new ones.
   *
   * Resolves after 5 s if more are left to read. The feed is stale until it has read them.
   *
   * @throws Error if the store or the subscription fails, or if the store has returned nothing for
   * 5 s. No poll is scheduled then, and a caller may try again.
   */
  async start (): Promise<void> {
    await this.#readBeforeDeadline()
    await this.#subscribe()

    // The app may have closed meanwhile.
    if (!this.#isStopped) {
      this.#schedule?.start()
    }
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

  /**
   * Whether this process may have stood still, so that it has not polled in time.
   *
   * A caller that judges revocations or uses store time must await {@link catchUp} first.
   */
  isOverdue (): boolean {
    return this.#schedule?.isOverdue() === true
  }

  /**
   * Waits for a poll that is sent now, until the store has responded or failed.
   *
   * Sends none if the process did not stand still.
   */
  async catchUp (): Promise<void> {
    const schedule = this.#schedule

    // Before the first complete read, the feed is stale anyway.
    if (schedule === null || this.#isStopped || !this.#hasCaughtUp) {
      return
    }

    // The process may stand still again while it waits for the poll.
    while (schedule.isOverdue()) {
      await this.#catchingUp.run(async () => {
        const standstills = schedule.countStandstills()
        // A read from before the standstill must not delay this one. If it fails, `failAfter`
        // decides whether tokens are accepted.
        await this.#readInOwnContext().catch(() => {})
        schedule.settle(standstills)
      })
    }
  }

  /** Time since the last complete read began; since the creation if there was none. */
  get age (): Millis {
    return this.#context.time.monotonic() - this.#readAt
  }

  /** Whether revocations may have been missed for longer than `failAfter`, or since the start. */
  isStale (): boolean {
    const { failAfter, pollInterval } = this.#context

    // A single instance also reads revocations once: it accepts tokens from before a restart.
    return !this.#hasCaughtUp ||
      (pollInterval !== null && failAfter !== null && this.age > failAfter)
  }

  /** Stops polling, waits for the current poll and ends the subscription. */
  async stop (): Promise<void> {
    this.#isStopped = true
    this.#schedule?.stop()
    clearTimeout(this.#pushTimer)
    await Promise.allSettled([this.#polling.running, this.#catchingUp.running])
    await this.#endSubscription()
  }

  async #endSubscription (): Promise<void> {
    const unsubscribe = this.#unsubscribe
    this.#unsubscribe = undefined

    try {
      await unsubscribe?.()
    } catch {
      this.#context.logger.warn({}, 'failed to unsubscribe from revocations')
    }
  }

  async #readBeforeDeadline (): Promise<void> {
    const { logger, time } = this.#context
    const startedAt = time.monotonic()
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<'late'>(resolve => {
      timer = setTimeout(resolve, START_TIMEOUT, 'late')
    })
    const reading = this.poll().finally(() => {
      clearTimeout(timer)
    })

    if (await Promise.race([reading, deadline]) !== 'late') {
      return
    }

    const isPartial = this.#cursor !== null
    reading.then(() => {
      const took = Math.round(time.monotonic() - startedAt)
      logger.info({ read: this.#readCount, took }, 'read all revocations')
    }, () => {
      if (isPartial) {
        this.#readRestLater()
      }
    })

    if (!isPartial) {
      throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
    }

    logger.warn(
      { read: this.#readCount },
      'not all revocations are read yet, protected routes respond with 503 until they are'
    )
  }

  // Without an interval, no other poll would read the rest.
  #readRestLater (): void {
    if (this.#schedule !== null || this.#isStopped) {
      return
    }

    this.#pushTimer = setTimeout(() => {
      this.poll().catch(() => {
        this.#readRestLater()
      })
    }, SECOND).unref()
  }

  async #subscribe (): Promise<void> {
    const { subscribe } = this.#context

    if (subscribe === undefined || this.#isStopped) {
      return
    }

    this.#unsubscribe = await subscribe(() => {
      this.#onPush()
    }, this.#context.logger)

    // A connection that nobody closes would keep the process alive.
    if (this.#isStopped) {
      await this.#endSubscription()
      return
    }

    // Finds revocations from before the subscription was active.
    this.poll().catch(() => {})
  }

  // Many pushes in a short time cause one poll after the current one.
  #onPush (): void {
    if (this.#isStopped || this.#pushTimer !== undefined) {
      return
    }

    const wait = Math.ceil(this.#sentAt + MIN_PUSH_INTERVAL - this.#context.clocks.monotonic())

    if (wait <= 0 && this.#polling.running === null) {
      this.poll().catch(() => {})
      return
    }

    this.#pushTimer = setTimeout(() => {
      this.#pushTimer = undefined
      this.poll().catch(() => {})
    }, Math.max(0, wait))
  }

  #onInterval (isOverdue: boolean): void {
    // After a standstill, nothing was sent that could have failed.
    if (isOverdue) {
      void this.catchUp()
      return
    }

    this.#reportAge()

    if (this.#polling.running === null) {
      this.poll().catch(() => {})
    }
  }

  #reportAge (): void {
    const { events, time, clocks, pollInterval } = this.#context
    // Does not use store time, because a clock of the app may jump in its tests.
    const age = clocks.monotonic() - this.#completeSentAt
    const limit = Math.max(MIN_STALLED_AGE, STALLED_INTERVALS * (pollInterval ?? 0))

    if (age > limit && !this.#isStalled && time.isKnown) {
      this.#isStalled = true
      events.emit('revocations-stalled', { at: time.now(), since: Math.round(time.now() - age) })
    }
  }

  async #read (): Promise<void> {
    const { logger, time, clocks } = this.#context
    const startedAt = time.monotonic()
    const sentAt = clocks.monotonic()
    this.#sentAt = sentAt
    await this.#readPages()
    const after = Math.round(sentAt - this.#completeSentAt)
    this.#hasCaughtUp = true
    this.#readAt = Math.max(this.#readAt, startedAt)
    this.#completeSentAt = Math.max(this.#completeSentAt, sentAt)

    if (this.#isStalled) {
      this.#isStalled = false
      logger.info({ after }, 'revocations are read again')
    }
  }

  async #readPages (): Promise<void> {
    const { time, pollInterval } = this.#context
    // The first read shows what happened before this instance started.
    const isNews = this.#hasCaughtUp && pollInterval !== null
    let sentAt = time.monotonic()
    let next: Promise<RevocationPage> | null = this.#readPage(this.#cursor)

    while (next !== null) {
      const page: RevocationPage = await next
      time.addSample({ sentAt, receivedAt: time.monotonic(), now: page.now })
      sentAt = time.monotonic()
      // The database reads the next page while this process adds the current one.
      next = page.complete ? null : this.#readPage(page.cursor)
      this.#addEntries(page, isNews)
    }
  }

  #readPage (cursor: Cursor | null): Promise<RevocationPage> {
    const { store, retention } = this.#context
    return store.revocations(cursor ?? { within: retention }, PAGE_SIZE)
  }

  #addEntries ({ entries, cursor }: RevocationPage, isNews: boolean): void {
    const { realm, reporter, time } = this.#context
    const now = time.now()

    for (const revocation of entries) {
      if (revocation.realm === realm) {
        reporter.addEntry(revocation, now, isNews)
      }
    }

    this.#cursor = cursor
    this.#readCount += entries.length
  }
}
