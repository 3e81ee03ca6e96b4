import type { TokenStore } from '../token-store.js'
import { testCheck, testCheckOfSessions } from './check-tests.js'
import { testFeed } from './feed-tests.js'
import { defineTest } from './harness.js'
import type { HarnessOptions, OpenedStore } from './harness.js'
import { testRevocations } from './revocation-tests.js'
import { testRotation } from './rotation-tests.js'
import { testSessions } from './session-tests.js'
import { testSweep } from './sweep-tests.js'

/** Options of {@link testTokenStore}. */
export type ConformanceOptions = HarnessOptions<TokenStore>
/** Token store that a test uses. */
export type OpenStore = OpenedStore<TokenStore>

/**
 * Registers the conformance tests of a token store.
 *
 * Tests every sentence of {@link TokenStore}, with concurrent calls. Never sleeps.
 *
 * @example
 * ```ts
 * import { test } from 'node:test'
 * import { testTokenStore } from 'fastify-token-auth/conformance'
 *
 * testTokenStore({ test, open: async () => ({ store: new MyStore() }) })
 * ```
 */
export function testTokenStore (options: ConformanceOptions): void {
  const test = defineTest(options)
  testCheck(options)
  testCheckOfSessions(test)
  testSessions(test)
  testRotation(test)
  testRevocations(test)
  testFeed(test)
  testSweep(test)
}
