import type { Session } from '../../domain/session.js'
import { DAY } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

/** Time of the tests. After 2 ** 31 seconds, so that 32 bits do not suffice. */
export const NOW: Millis = Date.UTC(2040, 1, 29, 12, 34, 56, 789)

/** Test runner and stores of a conformance suite. */
export interface HarnessOptions<Store> {
  /** Registers a test: `test` of node:test, vitest or jest, or `t.test` of tap. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Returns an empty store. Called once for each test. */
  readonly open: () => Promise<Opened<Store>> | Opened<Store>
}

/** Store that a test uses. */
export interface Opened<Store> {
  readonly store: Store
  /**
   * Second store on the same data, for example over another connection. Race tests use both.
   * Without it, calls do not race in a store that gathers them.
   */
  readonly other?: Store
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

/** Creates a session as a login does. */
export function makeSession (id: string, given: Partial<Session> = {}): Session {
  const by = { address: '192.0.2.1', userAgent: 'tests' }
  const createdAt = given.createdAt ?? NOW

  return {
    id,
    userId: 'ann',
    secretHash: `hash of ${id}`,
    generation: 0,
    confirmedGeneration: 0,
    createdAt,
    authenticatedAt: createdAt,
    rotatedAt: createdAt,
    rotatedBy: by,
    lastUsedAt: createdAt,
    expiresAt: createdAt + 7 * DAY,
    endsAt: createdAt + 30 * DAY,
    revokedAt: null,
    revokedFor: null,
    device: { label: null, ...by },
    ...given
  }
}
