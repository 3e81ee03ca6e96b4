import type { Caller, RevocationReason } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Events, RefreshRejection } from '../events.js'
import { RateLimit } from '../lib/rate-limit.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { RefreshToken } from '../tokens/refresh-token.js'

const CODES: { readonly [Reason in RefreshRejection]: TokenAuthError['code'] } = {
  invalid: 'AUTH_REFRESH_INVALID',
  'wrong-client': 'AUTH_REFRESH_INVALID',
  'wrong-key': 'AUTH_REFRESH_INVALID',
  unknown: 'AUTH_REFRESH_INVALID',
  expired: 'AUTH_REFRESH_EXPIRED',
  revoked: 'AUTH_REFRESH_REVOKED',
  reused: 'AUTH_REFRESH_REUSED'
}

/** Creates the errors of rejected refresh tokens, and reports each one as `refresh-rejected`. */
export class RefreshRejections {
  readonly #events: Events
  readonly #clock: () => Millis
  // An attacker can send any number of forged tokens.
  readonly #invalidTokens: RateLimit

  constructor (events: Events, clock: () => Millis) {
    this.#events = events
    this.#clock = clock
    this.#invalidTokens = new RateLimit(1, SECOND, clock)
  }

  /** Rejects a token that is not authentic. Reports it at most once per second. */
  rejectInvalid (by: Caller): TokenAuthError {
    const skipped = this.#invalidTokens.next()

    if (skipped !== null) {
      this.#emit('invalid', { sessionId: null, userId: null }, by, null, skipped + 1)
    }

    return new TokenAuthError(CODES.invalid)
  }

  /**
   * Rejects an authentic token.
   *
   * @param revokedFor - Why the session was revoked, for the reason `revoked`.
   */
  reject (
    reason: Exclude<RefreshRejection, 'invalid'>,
    token: RefreshToken,
    by: Caller,
    revokedFor: RevocationReason | null = null
  ): TokenAuthError {
    this.#emit(reason, token, by, revokedFor, 1)
    return new TokenAuthError(CODES[reason])
  }

  #emit (
    reason: RefreshRejection,
    { sessionId, userId }: { readonly sessionId: string | null, readonly userId: string | null },
    by: Caller,
    revokedFor: RevocationReason | null,
    count: number
  ): void {
    const at = this.#clock()
    this.#events.emit('refresh-rejected', {
      at,
      sessionId,
      userId,
      ...by,
      reason,
      revokedFor,
      count
    })
  }
}
