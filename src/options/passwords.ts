import type { Duration } from '../lib/duration.js'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { BCRYPT_COSTS, getWork, MAX_MEMORY, MAX_WORK } from '../login/hash-costs.js'
import type { StoredHash } from '../login/hash-costs.js'
import { MAX_PASSWORD_LENGTH } from '../login/passwords.js'
import type { PasswordRules } from '../login/passwords.js'
import type { Secrets } from '../tokens/key-derivation.js'
import { resolveSecret } from './signing.js'
import type { Secret } from './signing.js'
import { assert, callable, duration, integer, oneOf, optional, resolveShape } from './validate.js'
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
   * Called by `app.tokenAuth.hashPassword`, not at login. Anything but a boolean is a `TypeError`.
   *
   * @default accepts every password
   * @example
   * ```ts
   * passwords: { validate: password => !commonPasswords.has(password) }
   * ```
   */
  readonly validate?: (password: string) => boolean | Promise<boolean>

  /**
   * Kinds of password hashes in your database, if other software made them.
   *
   * Every failed login costs as much as the most expensive hash of each algorithm. So its time does
   * not show which hash an account has. A process learns these costs from the hashes that it finds.
   * The limits are bcrypt cost 12, and argon2id with 128 MiB and 311,296 KiB times passes. A failed
   * login of an account with a hash that is more expensive, or not learned yet, takes longer than
   * others. This option closes that gap. It accepts bcrypt up to cost 14, and argon2id up to
   * 256 MiB and 1,245,184 KiB times passes. An expensive kind makes every failed login slow.
   *
   * @default []
   * @example
   * ```ts
   * passwords: {
   *   storedHashes: [
   *     { algorithm: 'bcrypt', cost: 12 },
   *     { algorithm: 'argon2id', memoryCost: 65536, timeCost: 3 }
   *   ]
   * }
   * ```
   */
  readonly storedHashes?: readonly StoredHash[]

  /**
   * Maximum time that a login is expected to wait for its hash. From 100 ms to 1 minute.
   *
   * The plugin estimates it from the time of recent hashes. A login that would wait longer gets 503
   * `AUTH_BUSY` with `Retry-After`. A longer time keeps more logins waiting under load, a shorter
   * one rejects more of them.
   *
   * @default '3s'
   */
  readonly maxWait?: Duration
}

/** Rules for passwords, and for the queue of their hashes. */
export interface ResolvedPasswords extends PasswordRules {
  readonly maxWait: Millis
}

/** Checks of {@link PasswordOptions}. */
export const passwordShape = {
  pepper: (value, path, isSet): Secrets | null => isSet ? resolveSecret(value, path) : null,
  normalize: optional(oneOf(['NFC'])),
  minLength: integer({ min: 1, max: MAX_PASSWORD_LENGTH, fallback: 8 }),
  validate: callable<PasswordRules['validate']>('returns whether a password is valid', () => true),
  storedHashes: resolveStoredHashes,
  maxWait: duration({ min: 100, max: MINUTE, fallback: '3s' })
} satisfies Shape<PasswordOptions>

/** Checks the option `passwords`. */
export function resolvePasswords (value: unknown = {}, path: string): ResolvedPasswords {
  const { pepper, ...rules } = resolveShape(passwordShape, value, path)
  return { ...rules, peppers: pepper?.map(secret => Buffer.from(secret as string)) ?? [] }
}

const algorithm = oneOf(['argon2id', 'bcrypt'])

const argon2Shape = {
  algorithm,
  memoryCost: integer({ min: 8, max: MAX_MEMORY }),
  timeCost: integer({ min: 1 })
}

const bcryptShape = { algorithm, cost: integer(BCRYPT_COSTS) }

function resolveStoredHashes (value: unknown = [], path: string): StoredHash[] {
  assert(Array.isArray(value), `"${path}" must be an array of objects with an "algorithm"`)
  return value.map((kind, index) => resolveStoredHash(kind, `${path}[${index}]`))
}

function resolveStoredHash (value: unknown, path: string): StoredHash {
  const name = algorithm(
    (value as { algorithm?: unknown } | null | undefined)?.algorithm,
    `${path}.algorithm`,
    true
  )

  if (name === 'bcrypt') {
    return { algorithm: name, cost: resolveShape(bcryptShape, value, path).cost }
  }

  const { memoryCost, timeCost } = resolveShape(argon2Shape, value, path)
  assert(
    getWork({ memoryCost, timeCost }) <= MAX_WORK,
    `"${path}" must have at most ${MAX_WORK} KiB times passes; a more expensive hash is rejected`
  )
  return { algorithm: name, memoryCost, timeCost }
}
