import { hash } from 'node:crypto'
import { createWindowRule } from '../domain/attempt-rule.js'
import type { Millis } from '../lib/time.js'
import type { AttemptStore } from '../stores/attempt-store.js'

/** Settings of a {@link SingleUse}. */
export interface SingleUseContext {
  readonly realm: string
  /** Store of the app, wrapped with a timeout. */
  readonly attempts: AttemptStore
  readonly clock: () => Millis
}

/** Result of {@link SingleUse.claim}. */
export interface Claim {
  /** Whether this call was the first. Exactly one of all calls gets `true`. */
  readonly isFirst: boolean
  /** Moment of the first claim. */
  readonly since: Millis
}

/**
 * Lets a value count once over all instances: a link, a code or a step of a one-time password.
 *
 * Counts in the `AttemptStore`, which decides in one atomic step.
 */
export class SingleUse {
  readonly #context: SingleUseContext

  constructor (context: SingleUseContext) {
    this.#context = context
  }

  /**
   * Claims a value, or returns when it was claimed.
   *
   * @param kind - Separates values of different origin, such as `'totp'`.
   * @param value - Unique value. Only its hash is saved.
   * @param until - Moment after which the value is invalid. The claim is deleted later.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE`
   */
  async claim (kind: string, value: string, until: Millis): Promise<Claim> {
    const { realm, attempts, clock } = this.#context
    const now = clock()
    const key = createKey(realm, kind, value)
    const rule = createWindowRule({
      maxAttempts: 1,
      window: Math.max(1, Math.ceil(until - now))
    })
    const blocked = await attempts.consume([{ key, rule }], now)

    return { isFirst: blocked === null, since: blocked?.since ?? now }
  }

  /** Reverts a claim whose operation has failed, so that it can be repeated. */
  async release (kind: string, value: string): Promise<void> {
    const { realm, attempts } = this.#context
    await attempts.reset([createKey(realm, kind, value)])
  }
}

function createKey (realm: string, kind: string, value: string): string {
  return hash('sha256', JSON.stringify([realm, kind, value]), 'base64url')
}
