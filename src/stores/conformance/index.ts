/**
 * Tests for stores of your own.
 *
 * @module fastify-token-auth/conformance
 */

export type { HarnessOptions, OpenedStore } from './harness.js'
export { testTokenStore } from './token-store.js'
export type { ConformanceOptions, OpenStore } from './token-store.js'
export { testAttemptStore } from './attempt-store.js'
export type { AttemptConformanceOptions, OpenAttemptStore } from './attempt-store.js'
