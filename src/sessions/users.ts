import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import { InvalidUserDataError, isThenable } from '../stores/guard.js'
import type { Guard } from '../stores/guard.js'
import { findReservedClaim } from '../tokens/access-token.js'
import type { AuthClaims } from '../tokens/auth.js'

type Awaitable<T> = T | Promise<T>

/** Maximum size of the user ID and the app's claims, in bytes of JSON. */
const MAX_CLAIMS_SIZE = 4096
const MAX_UNCHECKED_ID_LENGTH = MAX_CLAIMS_SIZE / 8

/** User in the form that the plugin needs. Other members of a record are ignored. */
export interface AuthUser {
  /** Unique ID, the `sub` claim. Compared byte by byte. Convert numbers with `String(row.id)`. */
  readonly id: string
  /**
   * Password hash: argon2id as a PHC string (see `app.tokenAuth.hashPassword`), or bcrypt if
   * `@node-rs/bcrypt` is installed. A user without a hash cannot log in with a password.
   */
  readonly passwordHash?: string | null | undefined
  /** Whether the user is disabled. A disabled user cannot log in, and the next refresh fails. */
  readonly disabled?: boolean | null | undefined
  readonly username?: string | null | undefined
  readonly email?: string | null | undefined
}

/**
 * Callbacks that read the users of the app.
 *
 * A callback that throws, or takes longer than `storeTimeout`, results in 503.
 *
 * @example
 * ```ts
 * const users: Users = {
 *   findByLogin: login => db.user.findFirst({ where: { email: login } }),
 *   findById: id => db.user.findUnique({ where: { id } })
 * }
 * ```
 */
export interface Users {
  /** Returns the user with this username or email, exactly as it was typed, or `null`. */
  findByLogin(login: string): Awaitable<AuthUser | null | undefined>
  /** Returns the user with an ID, or `null`. Called at every refresh. */
  findById(id: string): Awaitable<AuthUser | null | undefined>
  /**
   * Saves a stronger password hash after a login. Without this callback, weak hashes stay.
   *
   * Write `hash` only if the stored hash still is `replaced`, for example with
   * `UPDATE ... WHERE password_hash = $replaced`. Otherwise you undo a concurrent password change.
   * A failure is logged, and the login succeeds.
   */
  savePasswordHash?(id: string, hash: string, replaced: string): Awaitable<unknown>
  /**
   * Returns claims for the access token, such as roles. Clients can read them. Called at every
   * login and refresh.
   */
  claims?(user: AuthUser): Awaitable<AuthClaims>
  /**
   * Returns the user data in the responses of login, refresh and `me`.
   *
   * @default `{ id, username, email }`, without members that are not set
   */
  present?(user: AuthUser): Awaitable<object>
}

/** User as the app returned it, with the members that the plugin reads. */
export interface FoundUser {
  readonly id: string
  readonly passwordHash: string | null
  readonly isDisabled: boolean
  readonly username: string | null
  readonly email: string | null
  /** The record of the app, for its callbacks. */
  readonly record: AuthUser
}

/** Active user with the data for tokens and responses. */
export interface Profile {
  readonly userId: string
  readonly claims: AuthClaims
  /** User data for responses. */
  readonly publicUser: object
}

/** Profile of a user; or why there is none. */
export type ProfileResult = Profile | 'gone' | 'disabled'

/**
 * Calls the user callbacks of the app with a timeout, and checks their results.
 *
 * Results become plain data once, before anything is written. So the data that was checked is the
 * data that is signed and sent. A callback that fails, or returns invalid data, results in 503.
 */
export class UserDirectory {
  readonly #users: Users
  readonly #guard: Guard
  readonly #logger: Logger

  constructor (users: Users, guard: Guard, logger: Logger) {
    this.#users = users
    this.#guard = guard
    this.#logger = logger
  }

  /** Finds a user by username or email. */
  async findByLogin (login: string): Promise<FoundUser | null> {
    return this.#guard('users.findByLogin', () => mapUser(this.#users.findByLogin(login)))
  }

  /** Finds a user by ID. */
  async findById (id: string): Promise<FoundUser | null> {
    return this.#guard('users.findById', () => mapUser(this.#users.findById(id)))
  }

  /** Returns the username and email of a user, without those that are not set. */
  async getLogins (id: string): Promise<string[]> {
    const { username, email } = await this.findById(id) ?? {}
    return [username, email].filter(login => login != null)
  }

  /** Returns the profile of a user, or why there is none. */
  async getProfile (id: string): Promise<ProfileResult> {
    const user = await this.findById(id)

    if (user === null) {
      return 'gone'
    }

    return user.isDisabled ? 'disabled' : this.createProfile(user)
  }

  /** Returns the profile of a user, or `null` if the user is gone or disabled. */
  async findActive (id: string): Promise<Profile | null> {
    const profile = await this.getProfile(id)
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
    await this.#guard(
      'users.savePasswordHash',
      () => this.#users.savePasswordHash?.(id, hash, replaced)
    )
    this.#logger.info({ userId: id }, 'upgraded a password hash')
  }
}

// A result that is there already needs neither a promise nor a timeout.
function mapUser (
  result: Awaitable<AuthUser | null | undefined>
): FoundUser | null | PromiseLike<FoundUser | null> {
  return isThenable(result) ? result.then(readUser) : readUser(result)
}

// Reads each member once, because it may be a getter.
function readUser (record: AuthUser | null | undefined): FoundUser | null {
  if (record == null) {
    return null
  }

  const { id, passwordHash = null, disabled, username = null, email = null } = record

  if (typeof id !== 'string' || id === '') {
    throw new InvalidUserDataError(
      '"id" of a user must be a non-empty string; convert numbers with String(id)'
    )
  }

  assertSize(id, {})
  // Some databases return 1 for true.
  return { id, passwordHash, isDisabled: Boolean(disabled), username, email, record }
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

function toPlainObject (name: string, { passwordHash }: FoundUser, result: object): object {
  let json: string | undefined

  try {
    json = JSON.stringify(result)
  } catch {
    json = undefined
  }

  const plain: unknown = json === undefined ? undefined : JSON.parse(json)

  if (json === undefined || typeof plain !== 'object' || plain === null || Array.isArray(plain)) {
    throw new InvalidUserDataError(`"${name}" must return an object that JSON can represent`)
  }

  if (passwordHash && json.includes(JSON.stringify(passwordHash).slice(1, -1))) {
    throw new InvalidUserDataError(`"${name}" must not return the password hash`)
  }

  return plain
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
