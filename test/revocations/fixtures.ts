import { mock } from 'node:test'
import type { Test } from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents, TokenAuthListeners } from '../../src/events.js'
import { RevocationFeed } from '../../src/revocations/feed.js'
import type { RevocationFeedContext } from '../../src/revocations/feed.js'
import { RevocationReporter } from '../../src/revocations/reporter.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import { createFixedStoreTime } from '../../src/revocations/store-clock.js'
import type {
  Cursor,
  FeedWindow,
  Revocation,
  RevocationPage,
  TokenStore
} from '../../src/stores/token-store.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

export const REALM = 'test'
export const KEEP = 16 * MINUTE
export const PAGE = 5000
/** Beginning of a read at start. */
export const WINDOW = { after: { within: KEEP }, limit: PAGE }

export interface Read {
  resolve(): void
  reject(error: Error): void
}

/** Feed of a database. Records all reads, and can fail or hold them. */
export class Entries {
  readonly reads: Array<{ readonly after: Cursor | FeedWindow, readonly limit: number }> = []
  /** Number of reads that succeed before all others fail. */
  readsUntilFailure = Infinity
  /** Pending reads in order; `null` if reads resolve immediately. */
  held: Read[] | null = null
  readonly #clock: () => number
  readonly #entries: Array<{ readonly storedAt: number, readonly entry: Revocation }> = []

  /** @param clock - Clock of the database. */
  constructor (clock: () => number) {
    this.#clock = clock
  }

  /** Commits revocations of single sessions now, with any moment. */
  add (at: number, ...sessionIds: string[]): void {
    for (const sessionId of sessionIds) {
      this.addEntry({ realm: REALM, at, reason: 'logout', sessionId, userId: 'ann' })
    }
  }

  addEntry (entry: Revocation): void {
    this.#entries.push({ storedAt: this.#clock(), entry })
  }

  /** Returns the cursor of a reader that has read the given number of entries. */
  getCursor (count: number): Cursor {
    return `after ${count}`
  }

  async revocations (after: Cursor | FeedWindow, limit: number): Promise<RevocationPage> {
    this.reads.push({ after, limit })
    // A database reads its rows when it gets the statement, however late its response arrives.
    const page = this.#readPage(after, limit)

    if (this.held !== null) {
      await new Promise<void>((resolve, reject) => {
        this.held?.push({ resolve, reject })
      })
    }

    if (this.readsUntilFailure-- <= 0) {
      throw new Error('password of the database')
    }

    return page
  }

  #readPage (after: Cursor | FeedWindow, limit: number): RevocationPage {
    const now = this.#clock()
    const isNew = typeof after === 'string'
      ? () => true
      : ({ storedAt }: { storedAt: number }) => storedAt >= now - after.within
    const from = typeof after === 'string' ? Number(after.replace('after ', '')) : 0
    const found = [...this.#entries.entries()].slice(from).filter(([, stored]) => isNew(stored))
    const page = found.slice(0, limit)
    const complete = page.length === found.length
    const read = complete ? this.#entries.length : (page.at(-1)?.[0] as number) + 1

    return {
      now,
      cursor: this.getCursor(read),
      complete,
      entries: page.map(([, { entry }]) => entry)
    }
  }
}

export interface TestFeed {
  readonly feed: RevocationFeed
  readonly entries: Entries
  readonly clock: TestClock
  readonly reported: Array<TokenAuthEvents['revocations-stalled']>
  readonly ended: Array<TokenAuthEvents['session-ended']>
  readonly logged: Array<{ level: string, facts: object, message: string }>
  /** Returns the sessions that are known to be revoked. */
  known(ids: readonly string[]): string[]
}

export function createFeed (
  given: Partial<
    Pick<RevocationFeedContext, 'pollInterval' | 'failAfter' | 'subscribe' | 'time' | 'clocks'>
  > = {},
  clock = createClock()
): TestFeed {
  const entries = new Entries(clock)
  const reported: TestFeed['reported'] = []
  const logged: TestFeed['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger = { error: at('error'), warn: at('warn'), info: at('info') }
  const ended: TestFeed['ended'] = []
  const listeners: TokenAuthListeners = {
    'revocations-stalled': event => reported.push(event),
    'session-ended': event => ended.push(event)
  }
  const events = new Events(listeners, logger, REALM)
  const revoked = new RevokedSessions(KEEP)
  const feed = new RevocationFeed({
    store: entries as unknown as TokenStore,
    realm: REALM,
    reporter: new RevocationReporter({ revoked, events, retention: KEEP }),
    events,
    logger,
    time: createFixedStoreTime(clock),
    clocks: { wall: clock, monotonic: clock },
    pollInterval: null,
    retention: KEEP,
    failAfter: null,
    subscribe: undefined,
    ...given
  })

  return {
    feed,
    entries,
    clock,
    reported,
    ended,
    logged,
    known: ids => ids.filter(id => revoked.has(id, 'ann'))
  }
}

export const createIds = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `s${String(index).padStart(5, '0')}`)

/** Waits until all pending promises have settled. */
export async function settled (): Promise<void> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

export function mockTimers (t: Test): void {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
}

export async function tick (by: number): Promise<void> {
  mock.timers.tick(by)
  await settled()
}

/** Tracks whether a poll has ended. */
export function watch (
  polled: Promise<void>
): { readonly ended: () => boolean, readonly polled: Promise<void> } {
  let ended = false

  const mark = (): void => {
    ended = true
  }

  polled.then(mark, mark)
  return { ended: () => ended, polled }
}
