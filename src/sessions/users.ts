import { TokenAuthError } from '../errors.js'
import type { Logger } from '../events.js'
import type { Guard } from '../stores/guarded-store.js'
import { findReservedClaim } from '../tokens/access-token.js'
import type { AuthClaims } from '../tokens/auth.js'

type Awaitable<T> = T | Promise<T>

/** Maximum size of the user ID and the app's claims, in bytes of JSON. */
const MAX_CLAIMS_SIZE = 4096

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

/** Active user with the data for tokens and responses. */
export interface Profile {
  readonly userId: string
  readonly claims: AuthClaims
  /** User data for responses. */
  readonly publicUser: object
}

/** Calls the user callbacks of the app with a timeout, and checks their results. */
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
  async findByLogin (login: string): Promise<AuthUser | null> {
    return checkUser(
      await this.#guard('users.findByLogin', () => this.#users.findByLogin(login))
    )
  }

  /** Returns the username and email of a user, without those that are not set. */
  async getLogins (id: string): Promise<string[]> {
    const { username, email } = checkUser(await this.#findById(id)) ?? {}
    return [username, email].filter(login => login != null)
  }

  /** Returns the profile of a user, or `null` if the user is gone or disabled. */
  async findActive (id: string): Promise<Profile | null> {
    const user = checkUser(await this.#findById(id))
    return user === null || isDisabled(user) ? null : await this.createProfile(user)
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

  /**
   * Creates the data for tokens and responses.
   *
   * @throws TypeError if the claims are too large or set a reserved claim.
   */
  async createProfile (user: AuthUser): Promise<Profile> {
    const claims = await this.#guard('users.claims', () => this.#users.claims?.(user)) ?? {}
    assertClaims(user.id, claims)
    const publicUser = await this.#guard('users.present', () => this.#users.present?.(user))
    return { userId: user.id, claims, publicUser: publicUser ?? getDefaultPublicUser(user) }
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

  #findById (id: string): Promise<AuthUser | null | undefined> {
    return this.#guard('users.findById', () => this.#users.findById(id))
  }
}

/** Whether a user is disabled. Accepts any truthy value, because some databases return 1. */
export function isDisabled (user: AuthUser): boolean {
  return Boolean(user.disabled)
}

function assertClaims (id: string, claims: AuthClaims): void {
  const reserved = findReservedClaim(claims)

  if (reserved !== undefined) {
    throw new TypeError(`"users.claims" must not return the reserved claim "${reserved}"`)
  }

  if (Buffer.byteLength(JSON.stringify([id, claims])) > MAX_CLAIMS_SIZE) {
    throw new TypeError(
      `"users.claims" and the user ID must have at most ${MAX_CLAIMS_SIZE} bytes of JSON, ` +
        'because every request carries them'
    )
  }
}

function getDefaultPublicUser ({ id, username, email }: AuthUser): object {
  const user: Record<string, string> = { id }

  if (username != null) {
    user.username = username
  }

  if (email != null) {
    user.email = email
  }

  return user
}

function checkUser (user: AuthUser | null | undefined): AuthUser | null {
  if (user == null) {
    return null
  }

  if (typeof user.id !== 'string' || user.id === '') {
    throw new TypeError(
      '"id" of a user must be a non-empty string; convert numbers with String(id)'
    )
  }

  return user
}
