import { randomBytes } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import { createDummyBcrypt, getBcryptCost, isBcrypt, verifyBcrypt } from './bcrypt.js'
import type { HashQueue } from './hash-queue.js'

type Argon2 = typeof import('@node-rs/argon2')

// OWASP's minimum for argon2id. A hash takes about 14 ms of one core.
const COST = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const

// Work is measured in KiB times passes.
const WORK = COST.memoryCost * COST.timeCost

// A stored hash determines the work of a check. A planted one must not overload the server.
const MAX_WORK = 32 * WORK
const MAX_MEMORY = 262_144

/** Maximum length of a new password, in UTF-16 code units. */
export const MAX_PASSWORD_LENGTH = 1024

/**
 * Result of a password check.
 *
 * | result | meaning |
 * |---|---|
 * | `right` | The password matches. |
 * | `weak` | The password matches, but its hash is cheaper to attack than a new one. |
 * | `wrong` | The password does not match. |
 * | `malformed` | The stored hash is unusable, which is an error in the app's data. |
 * | `uncheckable` | The stored hash needs `@node-rs/bcrypt`, which cannot be loaded. |
 */
export type PasswordResult = 'right' | 'weak' | 'wrong' | 'malformed' | 'uncheckable'

/** Rules for hashing passwords and for accepting new ones. */
export interface PasswordRules {
  /** Current pepper, followed by previous ones. A pepper is mixed into each hash. */
  readonly peppers: readonly Uint8Array[]
  /** Unicode normalization before hashing; `null` for none. */
  readonly normalize: 'NFC' | null
  /** Minimum length of a new password in Unicode code points. */
  readonly minLength: number
  /** Whether a new password is acceptable, for example not on a list of common passwords. */
  readonly validate: (password: string) => boolean | Promise<boolean>
}

/**
 * Hashes and verifies passwords with argon2id.
 *
 * A failed check takes at least as long as a new hash, whether or not the user exists and has a
 * valid hash. So the response time does not show who has an account.
 */
export class Passwords {
  readonly #queue: HashQueue
  readonly #rules: PasswordRules
  readonly #dummy = createDummyArgon2()
  /** Peppers that a stored hash may use. `undefined` stands for a hash without a pepper. */
  readonly #secrets: ReadonlyArray<Uint8Array | undefined>
  /** Highest bcrypt cost seen so far. Every failed check then takes as long as such a hash. */
  #bcryptCost = 0

  constructor (queue: HashQueue, rules: PasswordRules) {
    this.#queue = queue
    this.#rules = rules
    this.#secrets = [...rules.peppers, undefined]
  }

  /** Number of running and waiting hashes. */
  get load (): { readonly running: number, readonly waiting: number } {
    return this.#queue.load
  }

  /**
   * Hashes a new password.
   *
   * @returns A PHC string with its own salt and parameters.
   * @throws TokenAuthError `AUTH_PASSWORD_REJECTED`, `AUTH_BUSY`
   */
  async hash (password: string): Promise<string> {
    const { minLength, validate } = this.#rules
    const normalized = this.#normalize(password)

    if ([...normalized].length < minLength) {
      throw rejectPassword(`password must have at least ${minLength} characters`)
    }

    if (password.length > MAX_PASSWORD_LENGTH) {
      throw rejectPassword(`password must have at most ${MAX_PASSWORD_LENGTH} characters`)
    }

    if (!await validate(password)) {
      throw rejectPassword('password is too common')
    }

    return this.#computeHash(normalized)
  }

  /** Hashes a current password again, without the rules for new passwords. */
  upgrade (password: string): Promise<string> {
    return this.#computeHash(this.#normalize(password))
  }

  /**
   * Checks a password against a stored hash.
   *
   * @param stored - `null` for a user who does not exist or cannot log in. Takes as long as a check
   * and is always `wrong`.
   * @throws TokenAuthError `AUTH_BUSY`
   */
  check (stored: string | null, password: string): Promise<PasswordResult> {
    const normalized = this.#normalize(password)

    return this.#queue.run(async () => {
      // Loaded first for every kind of user, so that the first login takes equally long for all.
      const argon2 = await loadArgon2()

      if (isBcrypt(stored)) {
        return this.#checkBcrypt(argon2, stored, password)
      }

      const result = await this.#checkArgon2(argon2, stored, normalized)
      const isMatch = result === 'right' || result === 'weak'

      if (!isMatch && this.#bcryptCost > 0) {
        await verifyBcrypt(createDummyBcrypt(this.#bcryptCost), normalized)
      }

      return result
    })
  }

  #computeHash (password: string): Promise<string> {
    const [secret] = this.#secrets

    return this.#queue.run(async () => {
      const argon2 = await loadArgon2()
      return argon2.hash(password, { ...COST, ...(secret && { secret }) })
    })
  }

  #normalize (password: string): string {
    return this.#rules.normalize === null ? password : password.normalize(this.#rules.normalize)
  }

  async #checkArgon2 (
    argon2: Argon2,
    stored: string | null,
    password: string
  ): Promise<PasswordResult> {
    const work = stored === null ? null : readWork(argon2, stored)

    if (stored === null || work === null) {
      await this.#findSecret(argon2, this.#dummy, password)
      return stored === null ? 'wrong' : 'malformed'
    }

    const missingWork = WORK - work
    const secretIndex = await this.#findSecret(argon2, stored, password)

    if (secretIndex !== -1) {
      return missingWork > 0 || secretIndex > 0 ? 'weak' : 'right'
    }

    if (missingWork > 0) {
      await argon2.hash(password, {
        memoryCost: Math.max(8, missingWork),
        timeCost: this.#secrets.length,
        parallelism: 1
      })
    }

    return 'wrong'
  }

  /** Returns the index of the pepper that a hash was made with; -1 if the password is wrong. */
  async #findSecret (argon2: Argon2, stored: string, password: string): Promise<number> {
    for (const [index, secret] of this.#secrets.entries()) {
      if (await argon2.verify(stored, password, secret && { secret })) {
        return index
      }
    }

    return -1
  }

  /** Old bcrypt hashes were made from the password as typed, so it is not normalized here. */
  async #checkBcrypt (argon2: Argon2, stored: string, password: string): Promise<PasswordResult> {
    this.#bcryptCost = Math.max(this.#bcryptCost, getBcryptCost(stored))
    const isMatch = await verifyBcrypt(stored, password)

    if (isMatch === true) {
      return 'weak'
    }

    await this.#findSecret(argon2, this.#dummy, password)
    return isMatch === null ? 'uncheckable' : 'wrong'
  }
}

/** Loaded late, because the native library is useless to an app that hashes no passwords. */
function loadArgon2 (): Promise<Argon2> {
  return import('@node-rs/argon2')
}

function rejectPassword (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_PASSWORD_REJECTED', { hint })
}

/**
 * Creates a hash with a random digest. No password matches it, and a check takes as long as any
 * other. Computing no hash keeps the startup short.
 */
function createDummyArgon2 (): string {
  const { memoryCost, timeCost, parallelism } = COST
  const [salt, digest] = [16, 32].map(length =>
    randomBytes(length).toString('base64').replaceAll('=', '')
  )
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${parallelism}$${salt}$${digest}`
}

/** Returns the work of an argon2id hash; `null` if it is malformed or takes too much work. */
function readWork ({ parseOptions }: Argon2, stored: unknown): number | null {
  if (typeof stored !== 'string' || !stored.startsWith('$argon2id$v=19$')) {
    return null
  }

  try {
    const { memoryCost, timeCost } = parseOptions(stored)
    const work = memoryCost * timeCost
    return memoryCost <= MAX_MEMORY && work <= MAX_WORK ? work : null
  } catch {
    return null
  }
}
