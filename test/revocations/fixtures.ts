import { mock } from 'node:test'
import type { Test } from 'tap'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import { RevocationFeed } from '../../src/revocations/feed.js'
import type { RevocationFeedContext } from '../../src/revocations/feed.js'
import { RevokedSessions } from '../../src/revocations/revoked.js'
import type { Cursor, Revocation, TokenStore } from '../../src/stores/token-store.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

export const KEEP = 16 * MINUTE
export const LOOK_BACK = MINUTE
export const PAGE = 500

export interface Read {
  resolve(): void
  reject(error: Error): void
}

/** Revocations of other instances. Records all reads, and can fail or hold them. */
export class Entries {
  readonly reads: Array<Cursor & { limit: number }> = []
  /** Number of reads that succeed before all others fail. */
  readsUntilFailure = Infinity
  /** Pending reads in order; `null` if reads resolve immediately. */
  held: Read[] | null = null
  readonly #entries: Revocation[] = []

  add (at: number, ...sessionIds: string[]): void {
    for (const sessionId of sessionIds) {
      this.#entries.push({ at, sessionId })
    }

    this.#entries.sort((a, b) => isAfter(a, b) ? 1 : -1)
  }

  async revocations (after: Cursor, limit: number): Promise<Revocation[]> {
    this.reads.push({ ...after, limit })
    // A database reads its rows when it gets the statement, however late its response arrives.
    const page = this.#entries.filter(entry => isAfter(entry, after)).slice(0, limit)

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
}

function isAfter (a: Cursor, b: Cursor): boolean {
  return a.at > b.at || (a.at === b.at && a.sessionId > b.sessionId)
}

export interface TestFeed {
  readonly feed: RevocationFeed
  readonly entries: Entries
  readonly clock: TestClock
  readonly reported: Array<TokenAuthEvents['revocations-stalled']>
  readonly logged: Array<{ level: string, facts: object, message: string }>
  /** Returns the sessions that are known to be revoked. */
  known(ids: readonly string[]): string[]
}

export function createFeed (
  given: Partial<Pick<RevocationFeedContext, 'pollInterval' | 'failAfter' | 'subscribe'>> = {}
): TestFeed {
  const entries = new Entries()
  const clock = createClock()
  const reported: TestFeed['reported'] = []
  const logged: TestFeed['logged'] = []

  const at = (level: string) => (facts: object, message: string) => {
    logged.push({ level, facts, message })
  }

  const logger = { error: at('error'), warn: at('warn'), info: at('info') }
  const events = new Events({ 'revocations-stalled': event => reported.push(event) }, logger)
  const revoked = new RevokedSessions(KEEP)
  const feed = new RevocationFeed({
    store: entries as unknown as TokenStore,
    revoked,
    events,
    logger,
    clock,
    pollInterval: null,
    retention: KEEP,
    failAfter: null,
    subscribe: undefined,
    ...given
  })
  return { feed, entries, clock, reported, logged, known: ids => ids.filter(id => revoked.has(id)) }
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
