/**
 * Access tokens as the client sees them: unverified, because only the server can verify them.
 *
 * @module
 */

import type { Platform } from './platform.js'
import { isRecord } from './responses.js'

/** Moment on both clocks of a device. */
export interface Moment {
  /** Milliseconds on the monotonic clock, which may stand still while the device sleeps. */
  readonly now: number
  /** Milliseconds since 1970 on the wall clock, which may be wrong. */
  readonly date: number
}

/** Access token as received from the server. */
export interface AccessToken {
  /** The token; `null` if a cookie carries it. */
  readonly token: string | null
  /** Lifetime in milliseconds, counted from {@link requestedAt}. */
  readonly lifetime: number
  readonly requestedAt: Moment
  /** The user; `undefined` if unchanged. */
  readonly user?: object | null | undefined
  /**
   * Whether the session has a refresh token. Otherwise, it ends with this token.
   *
   * `undefined` if unchanged.
   */
  readonly hasRefreshToken?: boolean | undefined
}

/** Claims that the client reads. Those that are missing or have another type are `undefined`. */
export interface UnverifiedClaims {
  readonly exp: number | undefined
  readonly sid: string | undefined
  readonly sub: string | undefined
}

/** Reads both clocks. */
export function readClocks ({ now, date }: Platform): Moment {
  return { now: now(), date: date() }
}

/** Returns a moment a number of milliseconds later. */
export function addTime (moment: Moment, ms: number): Moment {
  return { now: moment.now + ms, date: moment.date + ms }
}

/** Decodes the claims of a token without verification. A token that is not a JWT has none. */
export function decodeClaims (token: string | null): UnverifiedClaims {
  const claims = decodePayload(token)
  const { exp, sid, sub } = claims

  return {
    exp: typeof exp === 'number' ? exp : undefined,
    sid: typeof sid === 'string' ? sid : undefined,
    sub: typeof sub === 'string' ? sub : undefined
  }
}

function decodePayload (token: string | null): Record<string, unknown> {
  try {
    const payload = token?.split('.')[1] ?? ''
    const claims: unknown = JSON.parse(atob(payload.replace(/-/g, '+').replace(/_/g, '/')))
    return isRecord(claims) ? claims : {}
  } catch {
    return {}
  }
}
