// Passwords, by argon2id. A failed check costs no less than a new hash, whether there is a user, a password or a sound
// hash at all, so that the time of an answer tells nobody who has an account.

import { randomBytes } from 'node:crypto'
import { hash, parseOptions, verify } from '@node-rs/argon2'
import { bcryptCostOf, dummyBcrypt, isBcrypt, verifyBcrypt } from './bcrypt.js'
import type { HashQueue } from './hash-queue.js'

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
  | 'right' | 'weak' | 'wrong'
  /** The stored hash is none that can be checked: the app's data is at fault, not the user. */
  | 'malformed'
  /** The stored hash is one of bcrypt, and the package that checks it cannot be loaded. */
  | 'uncheckable'

export class Passwords {
  readonly #queue: HashQueue
  readonly #dummy: string
  // The dearest bcrypt that was met. From then on every failed check costs as much, while some users still have such hashes.
  #bcryptCost = 0

  private constructor (queue: HashQueue, dummy: string) {
    this.#queue = queue
    this.#dummy = dummy
  }

  static async create (queue: HashQueue): Promise<Passwords> {
    return new Passwords(queue, await hash(randomBytes(16), cost))
  }

  /** @returns A PHC string with its own salt and parameters. */
  hash (password: string): Promise<string> {
    return this.#queue.run(() => hash(password, cost))
  }

  /** @param stored `null` for a user who is not there or may not log in: the same work, and always `wrong`. */
  check (stored: string | null, password: string): Promise<PasswordResult> {
    return this.#queue.run(async () => {
      if (isBcrypt(stored)) return this.#checkBcrypt(stored, password)
      const result = await this.#checkArgon2(stored, password)
      const isOver = result === 'right' || result === 'weak' || this.#bcryptCost === 0
      if (!isOver) await verifyBcrypt(dummyBcrypt(this.#bcryptCost), password)
      return result
    })
  }

  async #checkArgon2 (stored: string | null, password: string): Promise<PasswordResult> {
    const costOfStored = stored === null ? null : costOf(stored)
    if (stored === null || costOfStored === null) {
      await verify(this.#dummy, password)
      return stored === null ? 'wrong' : 'malformed'
    }
    const missing = fullCost - costOfStored
    if (await verify(stored, password)) return missing > 0 ? 'weak' : 'right'
    if (missing > 0) await hash(password, { memoryCost: Math.max(8, missing), timeCost: 1, parallelism: 1 })
    return 'wrong'
  }

  // A hash from before.
  async #checkBcrypt (stored: string, password: string): Promise<PasswordResult> {
    this.#bcryptCost = Math.max(this.#bcryptCost, bcryptCostOf(stored))
    const isRight = await verifyBcrypt(stored, password)
    if (isRight === true) return 'weak'
    await verify(this.#dummy, password)
    return isRight === null ? 'uncheckable' : 'wrong'
  }
}

// What computing a hash takes, in KiB times passes; `null` where it cannot, or must not, be checked.
function costOf (stored: unknown): number | null {
  if (typeof stored !== 'string' || !stored.startsWith('$argon2id$v=19$')) return null
  try {
    const { memoryCost, timeCost } = parseOptions(stored)
    return memoryCost <= mostMemory && memoryCost * timeCost <= mostWork ? memoryCost * timeCost : null
  } catch {
    return null
  }
}
