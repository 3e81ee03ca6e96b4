import type { AttemptStore } from '../stores/attempt-store.js'
import { attemptStore } from './stores.js'
import { boolean, groupOrBoolean, optional } from './validate.js'
import type { Shape } from './validate.js'

/** Options for tokens that are bound to a key of the client (DPoP, RFC 9449). */
export interface DpopOptions {
  /**
   * Whether a login without a DPoP proof is rejected.
   *
   * Does not affect existing sessions and `openSession`. Clients without DPoP support cannot log
   * in if it is `true`.
   *
   * @default false
   */
  readonly required?: boolean

  /**
   * Whether a proof must contain a nonce of this server (RFC 9449, section 8).
   *
   * The header `DPoP-Nonce` contains the nonce, which is valid for 1 to 2 minutes. Without nonces,
   * a proof is valid for 1 minute by the clock of the client, so a client with a wrong clock is
   * rejected.
   *
   * @default true
   */
  readonly nonces?: boolean

  /**
   * Store that detects proofs that were used before.
   *
   * A shared store detects a replay at another instance too, but costs each request with a proof
   * a query. The default store holds 100,000 proofs, or 4 minutes at 400 requests per second.
   *
   * @default in memory
   * @example
   * ```ts
   * import { RedisAttempts } from 'fastify-token-auth/redis'
   *
   * dpop: { replays: new RedisAttempts(client) }
   * ```
   */
  readonly replays?: AttemptStore
}

/** Checks of {@link DpopOptions}. */
export const dpopShape = {
  required: boolean(false),
  nonces: boolean(true),
  replays: optional(attemptStore('new RedisAttempts(client) from fastify-token-auth/redis'))
} satisfies Shape<DpopOptions>

/** Checks the option `dpop`. Returns `null` if it is `false`. */
export const resolveDpop = groupOrBoolean(dpopShape)
