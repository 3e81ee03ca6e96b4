import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { ignoreRejection } from '../lib/callback-result.js'
import { guardCallback, InvalidUserDataError, isThenable } from '../stores/guard.js'
import type { Guard } from '../stores/guard.js'
import { findReservedClaim } from '../tokens/access-token.js'
import type { AuthClaims } from '../tokens/auth.js'
import { toPlainObject } from './plain-data.js'
import type { AuthUser, Awaitable, ParsedIds, UserCallbacks, Users } from './user-callbacks.js'
import { getMemberNames, readUser } from './user-record.js'
import type { FoundUser } from './user-record.js'

/** Maximum size of the user ID and the app's claims, in bytes of JSON. */
const MAX_CLAIMS_SIZE = 4096
const MAX_UNCHECKED_ID_LENGTH = MAX_CLAIMS_SIZE / 8

/** Active user with the data for tokens and responses. */
export interface Profile {
  readonly userId: string
  readonly claims: AuthClaims
  /** User data for responses. */
  readonly publicUser: object
}

// The compiler has matched `findById` with `parseId` in the app.
type GivenUsers = UserCallbacks<AuthUser, unknown>

/** Profile of a user; or why there is none. */
export type ProfileResult = Profile | 'gone' | 'disabled'

/**
 * Calls the user callbacks of the app with a timeout, and checks their results.
 *
 * Results become plain data once, before anything is written. So the data that was checked is the
 * data that is signed and sent. A callback that fails, or returns invalid data, results in 503.
 */
export class UserDirectory {
  readonly #users: GivenUsers
  readonly #guard: Guard
  readonly #logger: Logger
  readonly #parseId: (id: string) => unknown
  #hasReportedMissingHash = false

  constructor (users: Users | ParsedIds, guard: Guard, logger: Logger) {
    this.#users = users as GivenUsers
    this.#guard = guard
    this.#logger = logger
    this.#parseId = users.parseId === undefined
      ? id => id
      : guardCallback('users.parseId', id => parseId(users, id), logger)
  }

  /** Finds a user by username or email. */
  async findByLogin (login: string): Promise<FoundUser | null> {
    const user = await this.#guard(
      'users.findByLogin',
      () => mapUser('users.findByLogin', this.#users.findByLogin(login))
    )

    if (user?.isHashMissing === true) {
      this.#reportMissingHash(user)
    }

    return user
  }

  /** Finds a user by ID. The user may have another spelling of the ID. */
  async findById (id: string): Promise<FoundUser | null> {
    return this.#find(id, () => {})
  }

  /** Returns the username and email of a user, without those that are not set. */
  async getLogins (id: string): Promise<string[]> {
    const { username, email } = await this.findById(id) ?? {}
    return [username, email].filter(login => login != null)
  }

  /** Returns the profile of the user of a session, or why there is none. */
  async getProfile (id: string): Promise<ProfileResult> {
    return this.#createProfile(
      await this.#find(id, user => {
        assertSameId(id, user)
      })
    )
  }

  /** Returns the profile of the user of a session, or `null` if the user is gone or disabled. */
  async findActive (id: string): Promise<Profile | null> {
    const profile = await this.getProfile(id)
    return typeof profile === 'string' ? null : profile
  }

  /**
   * Returns the profile of a user who gets a new session, or `null` if the user is gone or
   * disabled. The session gets the ID in the spelling of the profile.
   */
  async findForSession (id: string): Promise<Profile | null> {
    const profile = await this.#createProfile(await this.findById(id))
    return typeof profile === 'string' ? null : profile
  }

  /**
   * Returns the public data of a user.
   *
   * @throws TokenAuthError `AUTH_SESSION_REVOKED` if the user is gone or disabled. The next refresh
   * revokes the session.
   */
  async getPublicUser (id: string): Promise<object> {
    const profile = await this.findActive(id)

    if (profile === null) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    return profile.publicUser
  }

  /** Creates the data for tokens and responses. */
  async createProfile (user: FoundUser): Promise<Profile> {
    const { claims, present } = this.#users

    return {
      userId: user.id,
      claims: claims === undefined
        ? {}
        : await this.#guard('users.claims', async () => {
          const result = await this.#users.claims?.(user.record)
          return result == null ? {} : readClaims(user, result)
        }),
      publicUser: present === undefined
        ? getDefaultPublicUser(user)
        : await this.#guard('users.present', async () => {
          const result = await this.#users.present?.(user.record)

          return result == null
            ? getDefaultPublicUser(user)
            : toPlainObject('users.present', user, result)
        })
    }
  }

  /** Whether the app saves upgraded password hashes. */
  get savesHashes (): boolean {
    return this.#users.savePasswordHash !== undefined
  }

  /** Saves an upgraded password hash. */
  async savePasswordHash (id: string, hash: string, replaced: string): Promise<void> {
    await this.update(
      'users.savePasswordHash',
      id,
      parsed => this.#users.savePasswordHash?.(parsed, hash, replaced)
    )
    this.#logger.info({ userId: id }, 'upgraded a password hash')
  }

  /**
   * Calls a look-up of another plugin with the checks of `findByLogin`.
   *
   * @param name - Path of the callback, for the log.
   */
  findBy (
    name: string,
    find: () => Awaitable<AuthUser | null | undefined>
  ): Promise<FoundUser | null> {
    return this.#guard(name, () => mapUser(name, find()))
  }

  /**
   * Calls a callback that changes a user, with the ID in the type of the app.
   *
   * @param name - Path of the callback, for the log.
   * @returns The result of the callback.
   */
  async update (
    name: string,
    id: string,
    change: (parsedId: unknown) => Awaitable<unknown>
  ): Promise<unknown> {
    const parsed = this.#parseId(id)

    return this.#guard(name, () => {
      // Some query builders take `undefined` for any value, and would update all users.
      if (parsed == null) {
        throw new InvalidUserDataError(
          '"users.parseId" must not return null or undefined for an existing user'
        )
      }

      return change(parsed)
    })
  }

  async #find (id: string, check: (user: FoundUser) => void): Promise<FoundUser | null> {
    const parsed = this.#parseId(id)

    if (parsed == null) {
      return null
    }

    return this.#guard(
      'users.findById',
      () => mapUser('users.findById', this.#users.findById(parsed), check)
    )
  }

  async #createProfile (user: FoundUser | null): Promise<ProfileResult> {
    if (user === null) {
      return 'gone'
    }

    return user.isDisabled ? 'disabled' : this.createProfile(user)
  }

  // Once, because users without a password may be many.
  #reportMissingHash ({ record }: FoundUser): void {
    if (!this.#hasReportedMissingHash) {
      this.#hasReportedMissingHash = true
      this.#logger.warn(
        {
          operation: 'users.findByLogin',
          members: getMemberNames(record),
          hint: 'return the hash as "passwordHash", or null for a user without a password'
        },
        'users.findByLogin returned a user without "passwordHash", who cannot log in'
      )
    }
  }
}

// A result that is no promise needs no timeout.
function mapUser (
  callback: string,
  result: Awaitable<AuthUser | null | undefined>,
  check = (_user: FoundUser): void => {}
): FoundUser | null | PromiseLike<FoundUser | null> {
  const read = (record: AuthUser | null | undefined): FoundUser | null => {
    const user = readUser(callback, record)

    if (user !== null) {
      assertSize(user.id, {})
      check(user)
    }

    return user
  }

  return isThenable(result) ? result.then(read) : read(result)
}

// The response would have the claims of one user in a session of another one.
function assertSameId (id: string, user: FoundUser): void {
  if (user.id !== id) {
    throw new InvalidUserDataError(
      '"users.findById" returned a user with another ID; compare the whole ID, and its case'
    )
  }
}

/** @throws InvalidUserDataError if the result cannot be the ID of this user. */
function parseId (users: ParsedIds, id: string): unknown {
  const parsed = users.parseId(id)
  const isNumeric = typeof parsed === 'number' || typeof parsed === 'bigint'

  // A rounded number is the ID of another user.
  if (isThenable(parsed) || (isNumeric && String(parsed) !== id)) {
    ignoreRejection(parsed)
    throw new InvalidUserDataError(
      `"users.parseId" must return the same ID in another type, or null, not ${
        isNumeric ? describeNumber(parsed) : 'a promise'
      }`
    )
  }

  return parsed
}

function describeNumber (parsed: unknown): string {
  return Number.isNaN(parsed) ? 'NaN' : 'another ID'
}

function readClaims (user: FoundUser, result: object): AuthClaims {
  const claims = toPlainObject('users.claims', user, result)
  const reserved = findReservedClaim(claims)

  if (reserved !== undefined) {
    throw new InvalidUserDataError(
      `"users.claims" must not return the reserved claim "${reserved}"`
    )
  }

  assertSize(user.id, claims)
  return claims
}

function assertSize (id: string, claims: object): void {
  // JSON needs at most 6 bytes for a UTF-16 unit, so a shorter ID without claims always fits.
  if (id.length <= MAX_UNCHECKED_ID_LENGTH && Object.keys(claims).length === 0) {
    return
  }

  if (Buffer.byteLength(JSON.stringify([id, claims])) > MAX_CLAIMS_SIZE) {
    throw new InvalidUserDataError(
      `"users.claims" and the user ID must have at most ${MAX_CLAIMS_SIZE} bytes of JSON, ` +
        'because every request carries them'
    )
  }
}

function getDefaultPublicUser ({ id, username, email }: FoundUser): object {
  return {
    id,
    ...username !== null && { username },
    ...email !== null && { email }
  }
}
