/** Cost parameters of an argon2id hash. */
export interface Argon2Cost {
  /** Memory in KiB. */
  readonly memoryCost: number
  /** Number of passes over the memory. */
  readonly timeCost: number
}

/** Kind of password hash that an app has stored. */
export type StoredHash =
  | Argon2Cost & {
    /** Algorithm of the hash. */
    readonly algorithm: 'argon2id'
  }
  | {
    /** Algorithm of the hash. */
    readonly algorithm: 'bcrypt'
    /** Binary logarithm of the number of rounds, 4 to 14. */
    readonly cost: number
  }

/**
 * Cost of new hashes: OWASP's minimum for argon2id. A hash takes about 14 ms of one core.
 */
export const NEW_HASH_COST: Argon2Cost = { memoryCost: 19_456, timeCost: 2 }

// A stored hash determines the work of a check. A planted one must not overload the server.
/** Maximum memory of a stored argon2id hash, in KiB. */
export const MAX_MEMORY = 262_144
/** Maximum work of a stored argon2id hash, in KiB times passes. */
export const MAX_WORK = 32 * getWork(NEW_HASH_COST)
/** Costs of a stored bcrypt hash. The highest one takes about one second. */
export const BCRYPT_COSTS = { min: 4, max: 14 } as const

// A hash that was found makes all failed logins as slow as itself, so the limits are lower. They
// include the defaults of PHP, Django and argon2-cffi, and take about 120 and 240 ms.
const MAX_LEARNED_MEMORY = 131_072
const MAX_LEARNED_WORK = 8 * getWork(NEW_HASH_COST)
const MAX_LEARNED_BCRYPT_COST = 12

/** Returns the work of an argon2id hash, in KiB times passes. */
export function getWork ({ memoryCost, timeCost }: Argon2Cost): number {
  return memoryCost * timeCost
}

/**
 * Tracks the most expensive stored hash of each algorithm.
 *
 * Every failed check costs as much as these together. So its time does not show which hash an
 * account has, or whether there is an account.
 */
export class HashCosts {
  #argon2 = NEW_HASH_COST
  /** 0 if no bcrypt hash is known. */
  #bcrypt = 0

  /** @param stored - Kinds of hashes that the app says it has. */
  constructor (stored: readonly StoredHash[]) {
    for (const kind of stored) {
      if (kind.algorithm === 'bcrypt') {
        this.#bcrypt = Math.max(this.#bcrypt, kind.cost)
      } else if (getWork(kind) > getWork(this.#argon2)) {
        this.#argon2 = kind
      }
    }
  }

  /** Cost of the most expensive argon2id hash. */
  get argon2 (): Argon2Cost {
    return this.#argon2
  }

  /** Learns the cost of a hash that was found, unless it is unusually high. */
  learnArgon2 (cost: Argon2Cost): void {
    const work = getWork(cost)
    const isUsual = work <= MAX_LEARNED_WORK && cost.memoryCost <= MAX_LEARNED_MEMORY

    if (isUsual && work > getWork(this.#argon2)) {
      this.#argon2 = cost
    }
  }

  /** Learns the cost of a hash that was found, unless it is unusually high. */
  learnBcrypt (cost: number): void {
    if (cost <= MAX_LEARNED_BCRYPT_COST) {
      this.#bcrypt = Math.max(this.#bcrypt, cost)
    }
  }

  /**
   * Returns the hashes that a failed check must add to one of the given cost.
   *
   * None of them takes more memory than the most expensive hash.
   */
  getArgon2Padding (spent: Argon2Cost): Argon2Cost[] {
    const { memoryCost } = this.#argon2
    const missing = getWork(this.#argon2) - getWork(spent)

    if (missing <= 0) {
      return []
    }

    const timeCost = Math.floor(missing / memoryCost)
    const rest = missing % memoryCost

    return [
      ...timeCost > 0 ? [{ memoryCost, timeCost }] : [],
      // Argon2 requires 8 KiB.
      ...rest >= 8 ? [{ memoryCost: rest, timeCost: 1 }] : []
    ]
  }

  /**
   * Returns the costs of the bcrypt hashes that a failed check must add to one of the given cost.
   *
   * For example, hashes of the costs 10, 10 and 11 together take as long as one of cost 12.
   *
   * @param spent - `null` if no bcrypt hash was computed.
   */
  getBcryptPadding (spent: number | null): number[] {
    if (spent === null) {
      return this.#bcrypt === 0 ? [] : [this.#bcrypt]
    }

    return Array.from({ length: Math.max(0, this.#bcrypt - spent) }, (_, i) => spent + i)
  }
}
