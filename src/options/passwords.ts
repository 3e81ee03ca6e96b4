import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'
import type { PasswordRules } from '../login/passwords.js'
import type { Secrets } from '../tokens/key-derivation.js'
import { resolveSecret } from './signing.js'
import type { Secret } from './signing.js'
import { callable, integer, oneOf, optional, resolveShape } from './validate.js'
import type { Shape } from './validate.js'

/** Options for password hashes, and for new passwords. */
export interface PasswordOptions {
  /**
   * Secret that is mixed into every password hash (the secret of argon2) and is not in the
   * database.
   *
   * An attacker who copies the users table cannot guess passwords without it. If it is lost, no
   * user can log in with a password. To replace it, set `[current, ...previous]`; a login
   * replaces hashes that use a previous pepper or none. Each previous pepper adds the cost of one
   * hash to a failed login. `undefined` throws at startup, because it usually means a missing
   * environment variable.
   *
   * @default no pepper
   * @example
   * ```ts
   * passwords: { pepper: [newPepper, oldPepper] }
   * ```
   */
  readonly pepper?: Secret

  /**
   * Unicode normalization of passwords before they are hashed.
   *
   * With `'NFC'`, a character with an accent matches regardless of the keyboard that typed it.
   * Choose it before the first user signs up: existing hashes of other forms no longer match.
   *
   * @default no normalization
   */
  readonly normalize?: 'NFC'

  /**
   * Minimum length of a new password, in characters. From 1 to 1024.
   *
   * NIST SP 800-63B-4 requires 15 if the password is the only factor. Existing passwords still
   * work.
   *
   * @default 8
   */
  readonly minLength?: number

  /**
   * Returns whether a new password is acceptable. `false` rejects it.
   *
   * Called by `app.tokenAuth.hashPassword`, not at login.
   *
   * @default accepts every password
   * @example
   * ```ts
   * passwords: { validate: password => !commonPasswords.has(password) }
   * ```
   */
  readonly validate?: (password: string) => boolean | Promise<boolean>
}

/** Checks of {@link PasswordOptions}. */
export const passwordShape = {
  pepper: (value, path, isSet): Secrets | null => isSet ? resolveSecret(value, path) : null,
  normalize: optional(oneOf(['NFC'])),
  minLength: integer({ min: 1, max: MAX_PASSWORD_LENGTH, fallback: 8 }),
  validate: callable<PasswordRules['validate']>('returns whether a password is valid', () => true)
} satisfies Shape<PasswordOptions>

/** Checks the option `passwords`. */
export function resolvePasswords (value: unknown = {}, path: string): PasswordRules {
  const { pepper, ...rules } = resolveShape(passwordShape, value, path)
  return { ...rules, peppers: pepper?.map(secret => Buffer.from(secret as string)) ?? [] }
}
