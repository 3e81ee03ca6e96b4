import { InvalidUserDataError } from '../stores/guard.js'
import type { AuthUser, Awaitable } from '../sessions/user-callbacks.js'
import type { FoundUser } from '../sessions/user-record.js'
import type { UserDirectory } from '../sessions/users.js'

/**
 * Callbacks that find users by address and change them.
 *
 * A callback that throws, or takes longer than `storeTimeout`, results in 503.
 *
 * @example
 * ```ts
 * users: {
 *   findByEmail: email => db.user.findFirst({ where: { email } }),
 *   markEmailVerified: (id, email) =>
 *     db.user.updateMany({ where: { id, email }, data: { verifiedEmail: email } })
 * }
 * ```
 */
export interface AccountUsers<User extends AuthUser = AuthUser, Id = string> {
  /**
   * Returns the user with this address, exactly as it was typed, or `null`.
   *
   * Required for links and codes by mail, except the verification of an address.
   */
  findByEmail?(email: string): Awaitable<User | null | undefined>
  /**
   * Saves that the user owns an address. Required by `send.verifyEmail`.
   *
   * Write only if the address of the user still is `email`. The plugin may repeat a call with the
   * same arguments, so the callback must be idempotent.
   *
   * @param id - ID in the type of `users.parseId` of `tokenAuth`.
   */
  markEmailVerified?(id: Id, email: string): Awaitable<unknown>
  /**
   * Saves the hash of a new password. Required by `send.resetPassword`; enables `password/change`.
   *
   * Write `hash` only if the stored hash still is `replaced`, and return `false` otherwise, for
   * example `rowCount === 1` of `UPDATE ... WHERE password_hash IS NOT DISTINCT FROM $replaced`.
   * Then only one of two concurrent changes succeeds.
   *
   * @param id - ID in the type of `users.parseId` of `tokenAuth`.
   * @param replaced - Hash of the old password; `null` if the user had none.
   */
  savePasswordHash?(id: Id, hash: string, replaced: string | null): Awaitable<unknown>
  /**
   * Returns the methods of the user's second factor. An empty array if there is none.
   *
   * With this callback, a login and a sign-in by mail require one of the methods.
   *
   * @example
   * ```ts
   * secondFactors: user => user.totpSecret === null ? [] : ['totp', 'recovery']
   * ```
   */
  secondFactors?(user: User): Awaitable<readonly SecondFactorMethod[]>
  /**
   * Returns the TOTP secret of a user (base32), or `null`. Required by the method `totp`.
   *
   * The server needs the secret itself, so encrypt it with a key that is not in the database.
   *
   * @param id - ID in the type of `users.parseId` of `tokenAuth`.
   */
  findTotpSecret?(id: Id): Awaitable<string | null | undefined>
  /**
   * Deletes a recovery code. Required by the method `recovery`.
   *
   * Find and delete the code in one statement, and return whether there was one, for example
   * `rowCount === 1` of `DELETE ... WHERE user_id = $id AND hash = ANY($hashes)`. Then each code
   * counts once.
   *
   * @param id - ID in the type of `users.parseId` of `tokenAuth`.
   * @param hashes - Hashes of the code, one for each value of the option `secret`. At most one of
   * them is stored.
   */
  useRecoveryCode?(id: Id, hashes: readonly string[]): Awaitable<boolean>
}

/** Method of a second factor: a code of an authenticator app, or a recovery code. */
export type SecondFactorMethod = 'totp' | 'recovery'

/** Calls the {@link AccountUsers} of the app with a timeout, and checks their results. */
export class AccountDirectory {
  readonly #given: AccountUsers<AuthUser, unknown>
  readonly #users: UserDirectory

  constructor (given: AccountUsers<AuthUser, unknown>, users: UserDirectory) {
    this.#given = given
    this.#users = users
  }

  /** Finds an active user by address, or returns `null`. */
  async findByEmail (email: string): Promise<FoundUser | null> {
    const user = await this.#users.findBy(
      'accountFlows.users.findByEmail',
      () => this.#given.findByEmail?.(email)
    )
    return user?.isDisabled === false ? user : null
  }

  /** Finds an active user by ID, or returns `null`. */
  async findById (id: string): Promise<FoundUser | null> {
    const user = await this.#users.findById(id)
    return user?.isDisabled === false ? user : null
  }

  /** Saves that a user owns an address. */
  async markEmailVerified (id: string, email: string): Promise<void> {
    await this.#users.update(
      'accountFlows.users.markEmailVerified',
      id,
      parsed => this.#given.markEmailVerified?.(parsed, email)
    )
  }

  /**
   * Saves a new password hash.
   *
   * @returns Whether it was saved. `false` if the stored hash no longer is `replaced`.
   */
  async savePasswordHash (id: string, hash: string, replaced: string | null): Promise<boolean> {
    const saved = await this.#users.update(
      'accountFlows.users.savePasswordHash',
      id,
      parsed => this.#given.savePasswordHash?.(parsed, hash, replaced)
    )
    return saved !== false
  }

  /** Returns the methods of a user's second factor. Empty if there is none. */
  async getSecondFactors ({ id, record }: FoundUser): Promise<readonly SecondFactorMethod[]> {
    const name = 'accountFlows.users.secondFactors'
    const methods = await this.#users.update(name, id, async () => {
      const methods: unknown = await this.#given.secondFactors?.(record)

      if (!Array.isArray(methods) || !methods.every(isMethod)) {
        throw new InvalidUserDataError(
          `"${name}" must return an array with "totp", "recovery", both or neither`
        )
      }

      return methods
    })
    return methods as readonly SecondFactorMethod[]
  }

  /** Returns the TOTP secret of a user in base32, or `null`. */
  async findTotpSecret (id: string): Promise<string | null> {
    const name = 'accountFlows.users.findTotpSecret'
    const secret = await this.#users.update(name, id, async parsed => {
      const secret = await this.#given.findTotpSecret?.(parsed) ?? null

      if (secret !== null && typeof secret !== 'string') {
        throw new InvalidUserDataError(`"${name}" must return a string or null`)
      }

      return secret
    })
    return secret as string | null
  }

  /**
   * Deletes a recovery code of a user.
   *
   * @returns Whether the code existed.
   */
  async useRecoveryCode (id: string, hashes: readonly string[]): Promise<boolean> {
    const name = 'accountFlows.users.useRecoveryCode'
    const isUsed = await this.#users.update(name, id, async parsed => {
      const isUsed = await this.#given.useRecoveryCode?.(parsed, hashes) ?? false

      // A count of rows, or a result object, must not pass as a valid code.
      if (typeof isUsed !== 'boolean') {
        throw new InvalidUserDataError(`"${name}" must return a boolean`)
      }

      return isUsed
    })
    return isUsed as boolean
  }
}

const METHODS: readonly unknown[] = ['totp', 'recovery'] satisfies SecondFactorMethod[]

function isMethod (value: unknown): boolean {
  return METHODS.includes(value)
}

/** Returns the state of a verification link: the address. After a change, the link is invalid. */
export function getAddressState ({ email }: FoundUser): string {
  return JSON.stringify([email])
}

/** Returns the state of other links and codes: the password hash and the address. */
export function getAccountState ({ email, passwordHash }: FoundUser): string {
  return JSON.stringify([email, passwordHash])
}
