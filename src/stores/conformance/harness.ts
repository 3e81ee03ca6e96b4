import assert from 'node:assert/strict'
import { planRotation } from '../../domain/rotation.js'
import type { RotationAttempt } from '../../domain/rotation.js'
import { NO_REPLAYS } from '../../domain/session.js'
import type { Session } from '../../domain/session.js'
import { DAY, SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import { SessionRefusedError } from '../token-store.js'
import type { Cursor, FeedWindow, Revocation, TokenStore, Touch } from '../token-store.js'

/** Time of the tests. After 2 ** 31 seconds, so that 32 bits do not suffice. */
export const NOW: Millis = Date.UTC(2040, 1, 29, 12, 34, 56, 789)
export const REALM = 'test'
export const GRACE: Millis = 10 * SECOND
/** Number of repetitions of a race. */
export const ROUNDS = 50
/** Number of concurrent calls in a race. */
export const CONCURRENT_CALLS = 20
const MAX_PAGES = 1000

/** Test runner and stores of a conformance suite. */
export interface HarnessOptions<Store> {
  /** Registers a test: `test` of node:test, vitest or jest, or `t.test` of tap. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Returns an empty store. Called once for each test. */
  readonly open: () => Promise<OpenedStore<Store>> | OpenedStore<Store>
  /**
   * Returns a store on a database that lacks something, such as the tables. Leave it out if the
   * store needs nothing.
   */
  readonly openIncomplete?: () => Promise<OpenedStore<Store>> | OpenedStore<Store>
}

/** Store that a test uses. */
export interface OpenedStore<Store> {
  /** Store under test. */
  readonly store: Store
  /**
   * Second store on the same data, for example over another connection. Race tests use both.
   * Without it, calls do not race in a store that gathers them.
   */
  readonly other?: Store
  /** Closes the store, and deletes its data. */
  readonly close?: () => Promise<void> | void
}

/** Registers a test that gets a store of its own. */
export type ConformanceTest<Store> = (
  name: string,
  run: (store: Store, other: Store) => Promise<void>
) => void

/** Returns a function that registers conformance tests. */
export function defineTest<Store> ({ test, open }: HarnessOptions<Store>): ConformanceTest<Store> {
  return (name, run) => {
    test(name, async () => {
      const { store, other = store, close } = await open()

      try {
        await run(store, other)
      } finally {
        await close?.()
      }
    })
  }
}

let sessionCount = 0

/** Creates a session as a login does. Later sessions of the same time have greater IDs. */
export function makeSession (given: Partial<Session> = {}): Session {
  const by = { address: '192.0.2.1', userAgent: 'tests' }
  const createdAt = given.createdAt ?? NOW
  const time = createdAt.toString(36).padStart(9, '0')
  const id = given.id ?? `s${time}${String(++sessionCount).padStart(22, '0')}`

  return {
    id,
    realm: REALM,
    userId: 'ann',
    secretHash: `hash of ${id}`,
    generation: 0,
    confirmedGeneration: 0,
    createdAt,
    authenticatedAt: createdAt,
    rotatedAt: createdAt,
    rotatedBy: by,
    graceFrom: createdAt,
    lastUsedAt: createdAt,
    expiresAt: createdAt + 7 * DAY,
    endsAt: createdAt + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...by },
    replayRun: NO_REPLAYS,
    ...given
  }
}

/** Creates sessions and saves them. */
export async function saveSessions (
  store: TokenStore,
  ...given: ReadonlyArray<Partial<Session>>
): Promise<Session[]> {
  const sessions = given.map(makeSession)

  for (const session of sessions) {
    await store.create(session)
  }

  return sessions
}

/** Creates and saves one session. */
export async function saveSession (
  store: TokenStore,
  given: Partial<Session> = {}
): Promise<Session> {
  const session = makeSession(given)
  await store.create(session)
  return session
}

/** Creates the attempt to rotate the current token of a session. */
export function attemptAt (
  session: Session,
  now: Millis,
  changes: Partial<RotationAttempt> = {}
): RotationAttempt {
  const { id: sessionId, realm, userId, secretHash, generation } = session
  const by = { address: '2001:db8::1', userAgent: null }
  const presented = { realm, sessionId, userId, secretHash, generation }
  return { ...planRotation(presented, { now, lifetime: 7 * DAY, grace: GRACE, by }), ...changes }
}

/** Creates a touch that changes nothing but the given members. */
export function touchOf (session: Session, given: Partial<Touch>): Touch {
  return {
    realm: session.realm,
    sessionId: session.id,
    generation: session.generation,
    lastUsedAt: session.lastUsedAt,
    confirmedGeneration: 0,
    graceFrom: null,
    replayRun: null,
    ...given
  }
}

/** Reads pages until the feed is complete. */
export async function readFeed (
  store: TokenStore,
  after: Cursor | FeedWindow = { within: DAY },
  limit = 100
): Promise<{ readonly entries: Revocation[], readonly cursor: Cursor, readonly now: Millis }> {
  const entries: Revocation[] = []
  let position = after

  // Bounded, because a store whose feed is never complete would block the test runner.
  for (let pages = 0;; pages++) {
    assert.ok(pages < MAX_PAGES, `the feed is complete after ${MAX_PAGES} pages`)
    const page = await store.revocations(position, limit)
    entries.push(...page.entries)
    position = page.cursor

    if (page.complete) {
      return { entries, cursor: page.cursor, now: page.now }
    }
  }
}

/** Sorts entries, because their order has no meaning. */
export function sortEntries (entries: readonly Revocation[]): Revocation[] {
  return entries.toSorted((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)
}

/** Asserts that a store rejects a new session. */
export async function assertRefused (
  reason: SessionRefusedError['reason'],
  work: Promise<void>,
  before?: Millis
): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof SessionRefusedError, 'a SessionRefusedError')
    assert.equal(error.reason, reason)

    if (before !== undefined) {
      assert.equal(error.before, before)
    }

    return true
  })
}
