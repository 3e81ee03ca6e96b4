import { randomBytes } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import { assertBoolean } from '../lib/callback-result.js'
import {
  createDummyBcrypt,
  getBcryptCost,
  isBcrypt,
  isReadWhole,
  verifyBcrypt
} from './bcrypt.js'
import { getWork, HashCosts, MAX_MEMORY, MAX_WORK, NEW_HASH_COST } from './hash-costs.js'
import type { Argon2Cost, StoredHash } from './hash-costs.js'
import type { HashLoad, HashQueue, HashRequest } from './hash-queue.js'

type Argon2 = typeof import('@node-rs/argon2')

const COST = { ...NEW_HASH_COST, parallelism: 1 } as const

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
  /** Kinds of hashes that the app has stored, besides new ones. */
  readonly storedHashes: readonly StoredHash[]
}

/**
 * Hashes and verifies passwords with argon2id.
 *
 * Every failed check costs as much as the most expensive known hash of each algorithm. Neither the
 * hash of a user nor its absence changes that. So the response time does not show who has an
 * account.
 */
export class Passwords {
  readonly #queue: HashQueue
  readonly #rules: PasswordRules
  readonly #costs: HashCosts
  /** Peppers that a stored hash may use. `undefined` means a hash without a pepper. */
  readonly #secrets: ReadonlyArray<Uint8Array | undefined>

  constructor (queue: HashQueue, rules: PasswordRules) {
    this.#queue = queue
    this.#rules = rules
    this.#costs = new HashCosts(rules.storedHashes)
    this.#secrets = [...rules.peppers, undefined]
  }

  /** Number of running and waiting hashes. */
  get load (): HashLoad {
    return this.#queue.load
  }

  /**
   * Checks whether a hash would be accepted now.
   *
   * @throws TokenAuthError `AUTH_BUSY`
   */
  assertCapacity (request: HashRequest): void {
    this.#queue.assertCapacity(request)
  }

  /**
   * Loads the native library, so that a missing one fails the startup and not the first login.
   *
   * @throws Error if the library is not installed for this platform.
   */
  async loadLibrary (): Promise<void> {
    try {
      await loadArgon2()
    } catch (error) {
      throw new Error(
        'fastify-token-auth: "@node-rs/argon2" cannot be loaded on ' +
          `${process.platform}-${process.arch}; install the dependencies on this platform, with ` +
          'optional ones, or disable the login with "routes: { login: false }"',
        { cause: error }
      )
    }
  }

  /**
   * Hashes a new password.
   *
   * @returns A PHC string with its own salt and parameters.
   * @throws TokenAuthError `AUTH_PASSWORD_REJECTED`, `AUTH_BUSY`
   * @throws TypeError if `passwords.validate` does not return a boolean.
   */
  async hash (password: string, request: HashRequest): Promise<string> {
    await this.assertAcceptable(password)
    return this.#computeHash(this.#normalize(password), request)
  }

  /**
   * Checks a new password against the rules.
   *
   * @throws TokenAuthError `AUTH_PASSWORD_REJECTED`
   * @throws TypeError if `passwords.validate` does not return a boolean.
   */
  async assertAcceptable (password: string): Promise<void> {
    const { minLength, validate } = this.#rules

    if ([...this.#normalize(password)].length < minLength) {
      throw rejectPassword(`password must have at least ${minLength} characters`)
    }

    if (password.length > MAX_PASSWORD_LENGTH) {
      throw rejectPassword(`password must have at most ${MAX_PASSWORD_LENGTH} characters`)
    }

    if (!assertBoolean('passwords.validate', await validate(password))) {
      throw rejectPassword('password is too common')
    }
  }

  /** Hashes a current password again, without the rules for new passwords. */
  upgrade (password: string, request: HashRequest): Promise<string> {
    return this.#computeHash(this.#normalize(password), request)
  }

  /**
   * Checks a password against a stored hash.
   *
   * @param stored - `null` for a user who does not exist or cannot log in. The check then takes as
   * long and results in `wrong`.
   * @throws TokenAuthError `AUTH_BUSY`, or `AUTH_REQUEST_INVALID` if the client has disconnected
   * before the check starts.
   */
  check (stored: string | null, password: string, request: HashRequest): Promise<PasswordResult> {
    return this.#queue.run(async () => {
      // Loaded first for every kind of user, so that the first login takes equally long for all.
      const argon2 = await loadArgon2()

      return isBcrypt(stored)
        ? this.#checkBcrypt(argon2, stored, password)
        : this.#checkArgon2(argon2, stored, password)
    }, request)
  }

  #computeHash (password: string, request: HashRequest): Promise<string> {
    const [secret] = this.#secrets

    return this.#queue.run(async () => {
      const argon2 = await loadArgon2()
      return argon2.hash(password, { ...COST, ...(secret && { secret }) })
    }, request)
  }

  #normalize (password: string): string {
    return this.#rules.normalize === null ? password : password.normalize(this.#rules.normalize)
  }

  async #checkArgon2 (
    argon2: Argon2,
    stored: string | null,
    password: string
  ): Promise<PasswordResult> {
    const normalized = this.#normalize(password)
    const cost = stored === null ? null : readCost(argon2, stored)

    if (stored === null || cost === null) {
      await this.#findSecret(argon2, createDummyArgon2(this.#costs.argon2), normalized)
      await this.#padBcrypt(null, password)
      return stored === null ? 'wrong' : 'malformed'
    }

    this.#costs.learnArgon2(cost)
    const secretIndex = await this.#findSecret(argon2, stored, normalized)

    if (secretIndex !== -1) {
      return getWork(cost) < getWork(COST) || secretIndex > 0 ? 'weak' : 'right'
    }

    for (const { memoryCost, timeCost } of this.#costs.getArgon2Padding(cost)) {
      await argon2.hash(normalized, {
        memoryCost,
        timeCost: timeCost * this.#secrets.length,
        parallelism: 1
      })
    }

    await this.#padBcrypt(null, password)
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
    const cost = getBcryptCost(stored)
    this.#costs.learnBcrypt(cost)
    const isMatch = await verifyBcrypt(stored, password)

    if (isMatch === true) {
      // A new hash would reject other passwords that match the old one.
      return isReadWhole(password) ? 'weak' : 'right'
    }

    await this.#padBcrypt(cost, password)
    const dummy = createDummyArgon2(this.#costs.argon2)
    await this.#findSecret(argon2, dummy, this.#normalize(password))
    return isMatch === null ? 'uncheckable' : 'wrong'
  }

  async #padBcrypt (spent: number | null, password: string): Promise<void> {
    for (const cost of this.#costs.getBcryptPadding(spent)) {
      await verifyBcrypt(createDummyBcrypt(cost), password)
    }
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
 * other of the same cost.
 */
function createDummyArgon2 ({ memoryCost, timeCost }: Argon2Cost): string {
  const [salt, digest] = [16, 32].map(length =>
    randomBytes(length).toString('base64').replaceAll('=', '')
  )
  return `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=1$${salt}$${digest}`
}

/** Returns the cost of an argon2id hash; `null` if it is malformed or takes too much work. */
function readCost ({ parseOptions }: Argon2, stored: unknown): Argon2Cost | null {
  if (typeof stored !== 'string' || !stored.startsWith('$argon2id$v=19$')) {
    return null
  }

  try {
    const { memoryCost, timeCost } = parseOptions(stored)
    const cost = { memoryCost, timeCost }
    return memoryCost <= MAX_MEMORY && getWork(cost) <= MAX_WORK ? cost : null
  } catch {
    return null
  }
}
