// Passwords, by argon2id. A failed check costs no less than a new hash, whether there is a user, a password or a sound
// hash at all, so that the time of an answer tells nobody who has an account.

import { randomBytes } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import { bcryptCostOf, dummyBcrypt, isBcrypt, verifyBcrypt } from './bcrypt.js'
import type { HashQueue } from './hash-queue.js'

type Argon2 = typeof import('@node-rs/argon2')

// OWASP's minimum for argon2id, and the binding's own default: 14 ms of one core.
const cost = { memoryCost: 19456, timeCost: 2, parallelism: 1 } as const

// KiB times passes.
const fullCost = cost.memoryCost * cost.timeCost

// A stored hash tells what checking it takes: one that somebody has planted must not take the server down.
const mostWork = 32 * fullCost
const mostMemory = 262_144

/** The longest password that is hashed, in UTF-16 units. */
export const MAX_PASSWORD_LENGTH = 1024

export type PasswordResult =
  /** `weak`: right, and its hash costs an attacker less than a new one would. */
  | 'right'
  | 'weak'
  | 'wrong'
  /** The stored hash is none that can be checked: the app's data is at fault, not the user. */
  | 'malformed'
  /** The stored hash is one of bcrypt, and the package that checks it cannot be loaded. */
  | 'uncheckable'

export interface PasswordRules {
  /** Mixed into each hash, and in no database: the current one, then previous ones. */
  readonly peppers: readonly Uint8Array[]
  /** The form of Unicode in which passwords are hashed; `null` for as they come. */
  readonly normalize: 'NFC' | null
  /** In characters, as people count them: code points. */
  readonly minLength: number
  /** Whether a password may be set: not one of those that everybody tries first. */
  readonly validate: (password: string) => boolean | Promise<boolean>
}

/** */
export class Passwords {
  readonly #queue: HashQueue
  readonly #rules: PasswordRules
  // What is checked where there is no sound hash: as dear as a new one, and right for nobody.
  readonly #dummy = dummyArgon2()
  // What a hash may have been made with. Hashes from before there was a pepper have none.
  readonly #secrets: ReadonlyArray<Uint8Array | undefined>
  // The dearest bcrypt that was met. From then on every failed check costs as much, while some users still have such hashes.
  #bcryptCost = 0
  #argon2: Promise<Argon2> | null = null

  constructor (queue: HashQueue, rules: PasswordRules) {
    this.#queue = queue
    this.#rules = rules
    this.#secrets = [...rules.peppers, undefined]
  }

  /**
   * @returns A PHC string with its own salt and parameters.
   * @throws TokenAuthError AUTH_PASSWORD_REJECTED
   */
  async hash (password: string): Promise<string> {
    const { minLength, validate } = this.#rules
    const text = this.#normalized(password)

    if ([...text].length < minLength) {
      throw rejected(`password must have at least ${minLength} characters`)
    }

    if (password.length > MAX_PASSWORD_LENGTH) {
      throw rejected(`password must have at most ${MAX_PASSWORD_LENGTH} characters`)
    }

    if (!await validate(password)) {
      throw rejected('password is too common')
    }

    return this.#hashNow(text)
  }

  /** How many hashes are being computed, and how many wait for their turn. */
  get load (): { readonly running: number, readonly waiting: number } {
    return this.#queue.load
  }

  /** Hashes a password anew that was good enough when it was set. */
  upgrade (password: string): Promise<string> {
    return this.#hashNow(this.#normalized(password))
  }

  /** @param stored `null` for a user who is not there or may not log in: the same work, and always `wrong`. */
  check (stored: string | null, password: string): Promise<PasswordResult> {
    const text = this.#normalized(password)

    return this.#queue.run(async () => {
      const argon2 = await this.#load()

      if (isBcrypt(stored)) {
        return this.#checkBcrypt(argon2, stored, password)
      }

      const result = await this.#checkArgon2(argon2, stored, text)
      const isOver = result === 'right' || result === 'weak' || this.#bcryptCost === 0

      if (!isOver) {
        await verifyBcrypt(dummyBcrypt(this.#bcryptCost), text)
      }

      return result
    })
  }

  #hashNow (text: string): Promise<string> {
    const [secret] = this.#secrets

    return this.#queue.run(async () =>
      (await this.#load()).hash(text, { ...cost, ...(secret && { secret }) })
    )
  }

  // A native library, which an app that never sees a password never needs. Every check loads it first, whoever it is about: the
  // first login after a start tells no more than any other.
  #load (): Promise<Argon2> {
    this.#argon2 ??= import('@node-rs/argon2')
    return this.#argon2
  }

  #normalized (password: string): string {
    return this.#rules.normalize === null ? password : password.normalize(this.#rules.normalize)
  }

  async #checkArgon2 (
    argon2: Argon2,
    stored: string | null,
    text: string
  ): Promise<PasswordResult> {
    const costOfStored = stored === null ? null : costOf(argon2, stored)

    if (stored === null || costOfStored === null) {
      await this.#secretOf(argon2, this.#dummy, text)
      return stored === null ? 'wrong' : 'malformed'
    }

    const missing = fullCost - costOfStored
    const place = await this.#secretOf(argon2, stored, text)

    if (place !== -1) {
      return missing > 0 || place > 0 ? 'weak' : 'right'
    }

    if (missing > 0) {
      await argon2.hash(text, {
        memoryCost: Math.max(8, missing),
        timeCost: this.#secrets.length,
        parallelism: 1
      })
    }

    return 'wrong'
  }

  // Which of the secrets a hash was made with; -1 where the password is wrong.
  async #secretOf (argon2: Argon2, stored: string, text: string): Promise<number> {
    for (const [place, secret] of this.#secrets.entries()) {
      if (await argon2.verify(stored, text, secret && { secret })) {
        return place
      }
    }

    return -1
  }

  // A hash from before: of the password as it came.
  async #checkBcrypt (argon2: Argon2, stored: string, password: string): Promise<PasswordResult> {
    this.#bcryptCost = Math.max(this.#bcryptCost, bcryptCostOf(stored))
    const isRight = await verifyBcrypt(stored, password)

    if (isRight === true) {
      return 'weak'
    }

    await this.#secretOf(argon2, this.#dummy, password)
    return isRight === null ? 'uncheckable' : 'wrong'
  }
}

function rejected (hint: string): TokenAuthError {
  return new TokenAuthError('AUTH_PASSWORD_REJECTED', { hint })
}

// What `hash` would write, of a digest that nobody has computed: a password with that digest is as hard to find as for 256 random
// bits, and checking one costs what it always does. Nothing is hashed for it while the app starts.
function dummyArgon2 (): string {
  const [salt, digest] = [16, 32].map(length =>
    randomBytes(length).toString('base64').replaceAll('=', '')
  )
  return `$argon2id$v=19$m=${cost.memoryCost},t=${cost.timeCost},p=${cost.parallelism}$${salt}$${digest}`
}

// What computing a hash takes, in KiB times passes; `null` where it cannot, or must not, be checked.
function costOf ({ parseOptions }: Argon2, stored: unknown): number | null {
  if (typeof stored !== 'string' || !stored.startsWith('$argon2id$v=19$')) {
    return null
  }

  try {
    const { memoryCost, timeCost } = parseOptions(stored)

    return memoryCost <= mostMemory && memoryCost * timeCost <= mostWork
      ? memoryCost * timeCost
      : null
  } catch {
    return null
  }
}
