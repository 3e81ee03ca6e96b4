import type { Millis } from '../lib/time.js'

/** Sender of a request. Both values are hints for people to read and prove nothing. */
export interface Caller {
  /** IP address; `null` if unknown. */
  readonly address: string | null
  /** `User-Agent` header; `null` if missing. */
  readonly userAgent: string | null
}

/** Device of a session, as seen at login. */
export interface Device extends Caller {
  /** Name that the client gave the device, such as "Ann's phone"; `null` if it gave none. */
  readonly label: string | null
}

/**
 * Reason for a revocation.
 *
 * | reason | cause |
 * |---|---|
 * | `logout` | The user logged out on this device. |
 * | `logout-all` | The user logged out on all devices. |
 * | `revoked` | The user chose the session from a list, or the app revoked it. |
 * | `reuse` | A rotated refresh token was presented again, so an attacker may have a copy. |
 * | `user-gone` | The user was disabled or deleted. |
 * | `replaced` | A new login on the same device took its place. |
 * | `too-many` | It was the oldest session when the user exceeded `maxSessions`. |
 * | `password-changed` | The app reported a new password. |
 * | `suspicious-replay` | Another client kept replaying its refresh tokens. |
 */
export type RevocationReason =
  | 'logout'
  | 'logout-all'
  | 'revoked'
  | 'reuse'
  | 'user-gone'
  | 'replaced'
  | 'too-many'
  | 'password-changed'
  | 'suspicious-replay'

/**
 * One login on one device, with every refresh token that descends from it.
 *
 * A session is one row, however often it is refreshed. Its refresh tokens differ only in their
 * generation, so the row detects a token of any age by one number.
 */
export interface Session {
  /** Starts with a letter. The `sid` claim of its tokens. */
  readonly id: string
  readonly userId: string
  /** SHA-256 hash, base64url, of the secret in its refresh tokens. Cannot make a token. */
  readonly secretHash: string
  /** Number of rotations so far. Only the refresh token of this generation can rotate. */
  readonly generation: number
  /**
   * Newest generation whose tokens a client used. As soon as it equals `generation`, the previous
   * refresh token is no longer accepted after the grace period.
   */
  readonly confirmedGeneration: number
  readonly createdAt: Millis
  /** Moment when the user proved their identity, shortly before `createdAt`. */
  readonly authenticatedAt: Millis
  /** Moment of the last rotation; `createdAt` before the first one. */
  readonly rotatedAt: Millis
  /** Sender of the last rotated refresh token; before the first rotation, of the login. */
  readonly rotatedBy: Caller
  readonly lastUsedAt: Millis
  /** End of the idle lifetime. Moved forward by every rotation, but never past `endsAt`. */
  readonly expiresAt: Millis
  /** End of the absolute lifetime. Never changes. */
  readonly endsAt: Millis
  /** Moment of the revocation; `null` if the session is not revoked. */
  readonly revokedAt: Millis | null
  readonly revokedFor: RevocationReason | null
  readonly device: Device
}

/** Whether a session is neither revoked nor expired. */
export function isLive (session: Session, now: Millis): boolean {
  return session.revokedAt === null && now < session.expiresAt
}

/** Sorts newer sessions first, and sessions of the same time by ID. */
export function compareNewestFirst (a: Session, b: Session): number {
  return b.createdAt - a.createdAt || compareIds(a.id, b.id)
}

/** Compares IDs byte by byte, as databases do. JavaScript compares UTF-16 units. */
export function compareIds (a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
