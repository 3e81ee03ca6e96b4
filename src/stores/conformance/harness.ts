// What the laws of a store begin with, in both suites: any test runner, one or two ways to the same data, a moment, a session.

import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'

export const SECOND: Millis = 1000
export const HOUR: Millis = 3_600_000
export const DAY: Millis = 24 * HOUR
/** Past 2 ** 31 seconds, where 32 bits do not reach. */
export const NOW: Millis = Date.UTC(2040, 1, 29, 12, 34, 56, 789)

export interface HarnessOptions<Store> {
  /** Takes a test: `test` of node:test, vitest or jest, `t.test` of tap. */
  readonly test: (name: string, run: () => Promise<void>) => unknown
  /** Gives a store that holds nothing. Called once a test. */
  readonly open: () => Promise<Opened<Store>> | Opened<Store>
}

export interface Opened<Store> {
  readonly store: Store
  /**
   * A second way to the same data, such as another connection: races are run over both. Without it nothing races in a store that
   * gathers calls.
   */
  readonly other?: Store
  readonly close?: () => Promise<void> | void
}

/** Registers a law as a test, with a store of its own. */
export type ConformanceTest<Store> = (
  name: string,
  run: (store: Store, other: Store) => Promise<void>
) => void

/** */
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

/** A session as a login opens it. */
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
