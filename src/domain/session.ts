import { randomBytes } from 'node:crypto'
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
  /** The time of the login and 128 random bits. The `sid` claim of its tokens. */
  readonly id: string
  /** Name of the registration that it belongs to. No other registration sees it. */
  readonly realm: string
  /** ID of the user, the `sub` claim. */
  readonly userId: string
  /** SHA-256 hash, base64url, of the secret in its refresh tokens. Does not reveal the secret. */
  readonly secretHash: string
  /** Number of rotations so far. Only the refresh token of this generation can rotate. */
  readonly generation: number
  /**
   * Newest generation whose tokens a client used. As soon as it equals `generation`, the previous
   * refresh token is no longer accepted after the grace period.
   */
  readonly confirmedGeneration: number
  /** Moment of the login. */
  readonly createdAt: Millis
  /** Moment when the user proved their identity, shortly before `createdAt`. */
  readonly authenticatedAt: Millis
  /** Moment of the last rotation; `createdAt` before the first one. */
  readonly rotatedAt: Millis
  /** Sender of the last rotated refresh token; before the first rotation, of the login. */
  readonly rotatedBy: Caller
  /**
   * Start of the grace period of the previous refresh token.
   *
   * The moment of the last rotation, or a later one: a recovery and a late response to a rotation
   * move it forward.
   */
  readonly graceFrom: Millis
  /** Moment of the last use, which is saved with a delay. */
  readonly lastUsedAt: Millis
  /** End of the idle lifetime. Moved forward by every rotation, but never past `endsAt`. */
  readonly expiresAt: Millis
  /** End of the absolute lifetime. Never changes. */
  readonly endsAt: Millis
  /** Moment of the revocation; `null` if the session is not revoked. */
  readonly revokedAt: Millis | null
  /** Reason of the revocation; `null` if the session is not revoked. */
  readonly revokedFor: RevocationReason | null
  /** Device of the login. */
  readonly device: Device
  /** Replays by another client. See `refreshToken.replayDetection`. */
  readonly replayRun: ReplayRun
}

/**
 * Successive generations whose tokens another client presented a second time.
 *
 * `{ generation: 0, length: 0 }` if that never happened.
 */
export interface ReplayRun {
  /** Last generation of the run. */
  readonly generation: number
  /** Number of generations in the run. */
  readonly length: number
}

/** Run of a session without replays by another client. */
export const NO_REPLAYS: ReplayRun = { generation: 0, length: 0 }

const TIME_DIGITS = 9
const ID_FORM = /^s[0-9a-z]{9}[\w-]{22}$/

/**
 * Creates the ID of a session: `s`, the time in base 36, and 128 random bits.
 *
 * A new ID sorts after all older ones, so that inserts stay in one place of an index. The `sid`
 * claim of an access token shows when its session began.
 *
 * @param random - 16 random bytes. Bytes that derive from a token make the ID reproducible.
 * @throws RangeError if the time is negative or after the year 5188.
 */
export function createSessionId (createdAt: Millis, random: Buffer = randomBytes(16)): string {
  // Also rejects NaN, for example from the clock of an app.
  if (!(createdAt >= 0 && createdAt < 36 ** TIME_DIGITS)) {
    throw new RangeError(`the time ${createdAt} does not fit into a session ID`)
  }

  const digits = Math.floor(createdAt).toString(36).padStart(TIME_DIGITS, '0')
  return `s${digits}${random.toString('base64url')}`
}

/** Returns the time in a session ID, or `null` if it is not an ID of {@link createSessionId}. */
export function getCreationTime (sessionId: string): Millis | null {
  return ID_FORM.test(sessionId)
    ? Number.parseInt(sessionId.slice(1, 1 + TIME_DIGITS), 36)
    : null
}

/** Whether a session is neither revoked nor expired. */
export function isLive (session: Session, now: Millis): boolean {
  return session.revokedAt === null && now < session.expiresAt
}

/** Sorts the newest session first, because IDs start with the moment of the login. */
export function compareNewestFirst (a: Session, b: Session): number {
  return a.id < b.id ? 1 : -1
}
