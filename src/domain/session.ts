// A session is one login on one device, together with every refresh token that descends from it. It is one
// row in the store however often it is refreshed, so that nothing grows with the number of refreshes, and
// an ancient token is recognised by its number alone.

import type { Millis } from '../lib/time.js'

/** Who sent a request, as far as the server can tell. Both are hints to show to people, never proofs. */
export interface Caller {
  readonly address: string | null
  readonly userAgent: string | null
}

/** The device of a session: fixed at login. */
export interface Device extends Caller {
  /** What the client called itself at login, such as "Ann's phone". */
  readonly label: string | null
}

/**
 * Why a session was ended before its time.
 *
 * - `logout`, `logout-all`: its user did so
 * - `revoked`: by a list of sessions, or by the app
 * - `reuse`: a refresh token that was long replaced was presented again: somebody holds a copy
 * - `user-gone`: its user was disabled or deleted
 * - `replaced`: a new login took its place
 * - `too-many`: it was the oldest, and its user has opened another one than may be
 * - `password-changed`: the app said so
 * - `shadowed`: somebody followed it from elsewhere, generation by generation
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

export interface Session {
  /** Starts with a letter. The `sid` claim of its tokens. */
  readonly id: string
  readonly userId: string
  /** SHA-256, base64url, of the secret inside the refresh token: a copy of the row makes no token. */
  readonly secretHash: string
  /** How often the refresh token was rotated. Only this generation may rotate next. */
  readonly generation: number
  /** The newest generation that was seen in use. Once it equals `generation`, the token before is dead. */
  readonly confirmedGeneration: number
  readonly createdAt: Millis
  /** When the user proved who they are; the login may have ended a little later. */
  readonly authenticatedAt: Millis
  /** The last rotation; `createdAt` as long as there was none. */
  readonly rotatedAt: Millis
  /** Who presented the token that was rotated last; at first, who logged in. */
  readonly rotatedBy: Caller
  readonly lastUsedAt: Millis
  /** The idle end: slides with each rotation, never past `endsAt`. */
  readonly expiresAt: Millis
  /** The absolute end: never moves. */
  readonly endsAt: Millis
  readonly revokedAt: Millis | null
  readonly revokedFor: RevocationReason | null
  readonly device: Device
}

/** Whether a session can still be refreshed at a given moment. `expiresAt` never lies behind `endsAt`. */
export function isLive (session: Session, now: Millis): boolean {
  return session.revokedAt === null && now < session.expiresAt
}
