// How passwords are hashed, and what new ones must be.

import type { Secret } from './options.js'

/** How passwords are hashed and, where `app.tokenAuth.hashPassword` sets one, what they must be. */
export interface PasswordOptions {
  /**
   * A secret that is mixed into each hash (argon2's own), and kept out of the database: a copy of the users' table alone is
   * worth nothing then. `[current, ...previous]` changes it; hashes with an older one, or none, are replaced at login. Lost,
   * nobody can log in by password any more. Each previous one makes a failed login dearer by as much again.
   * @default none
   */
  readonly pepper?: Secret
  /**
   * Passwords are hashed in this form of Unicode, so that an accent is one however a keyboard makes it. Decide before the first
   * user: hashes of passwords in another form are wrong afterwards.
   * @default none
   */
  readonly normalize?: 'NFC'
  /**
   * The fewest characters that a new password may have. NIST SP 800-63B-4 asks for 15 where it is the only factor.
   * @default 8
   */
  readonly minLength?: number
  /**
   * Whether a new password may be set: `false` for those on a list of common ones, say. Not asked at login.
   * @default any may
   */
  readonly validate?: (password: string) => boolean | Promise<boolean>
}
