import type { AuthClaims } from '../tokens/auth.js'
import type { UserId } from './user-id.js'

/** Result of a callback: a value, a promise, or a query builder that can be awaited. */
export type Awaitable<T> = T | PromiseLike<T>

/**
 * User in the form that the plugin needs. Other members of a record are ignored, but `claims` and
 * `present` get them.
 */
export interface AuthUser {
  /**
   * Unique ID. Its string is the `sub` claim, which is compared byte by byte.
   *
   * Convert other types to a string, for example with `String(user._id)`.
   */
  readonly id: UserId
  /**
   * Password hash: argon2id as a PHC string (see `app.tokenAuth.hashPassword`), or bcrypt if
   * `@node-rs/bcrypt` is installed. A user without a hash cannot log in with a password.
   *
   * Return `null` for such a user. If the member is missing in a result of `findByLogin`, a warning
   * is logged once, because a column with another name usually is the reason.
   */
  readonly passwordHash?: string | null | undefined
  /**
   * Whether the user is disabled. A disabled user cannot log in, and the next refresh fails.
   *
   * Databases without booleans may return `0` or `1`.
   */
  readonly disabled?: boolean | number | null | undefined
  /** User name for the login. */
  readonly username?: string | null | undefined
  /** E-mail address for the login. */
  readonly email?: string | null | undefined
}

/**
 * User in the responses of login, refresh and `me`. Augment it to type `users.present`, and the
 * result of `openSession`.
 *
 * @example
 * ```ts
 * declare module 'fastify-token-auth' {
 *   interface PublicUser { id: string, name: string }
 * }
 * ```
 */
export interface PublicUser {}

/** Callbacks that read the users of the app, with the type of their IDs. */
export interface UserCallbacks<User extends AuthUser, Id> {
  /** Returns the user with this username or email, exactly as it was typed, or `null`. */
  findByLogin(login: string): Awaitable<User | null | undefined>
  /**
   * Returns the user with an ID, or `null`. Called at every refresh.
   *
   * A user with another ID results in 503, because the tokens would be those of another user.
   */
  findById(id: Id): Awaitable<User | null | undefined>
  /**
   * Saves a stronger password hash after a login. Without this callback, weak hashes stay.
   *
   * Write `hash` only if the stored hash still is `replaced`, for example with
   * `UPDATE ... WHERE password_hash = $replaced`. Otherwise you undo a concurrent password change.
   * A failure is logged, and the login succeeds.
   */
  savePasswordHash?(id: Id, hash: string, replaced: string): Awaitable<unknown>
  /**
   * Returns claims for the access token, such as roles. Clients can read them. Called at every
   * login and refresh.
   *
   * The claims and the user ID must have at most 4,096 bytes of JSON, because every request carries
   * them. More bytes, a claim that the plugin sets, such as `sub`, or the stored password hash in
   * any member result in 503.
   */
  claims?(user: User): Awaitable<AuthClaims>
  /**
   * Returns the user data in the responses of login, refresh and `me`.
   *
   * A result that contains the stored password hash, in any member, results in 503.
   *
   * @default `{ id, username, email }`, without members that are not set. `id` is a string.
   */
  present?(user: User): Awaitable<object & PublicUser>
}

/**
 * Callbacks that read the users of the app.
 *
 * A callback that throws, or takes longer than `storeTimeout`, results in 503.
 *
 * @see defineUsers
 * @example
 * ```ts
 * const users: Users<Person> = {
 *   findByLogin: login => db.user.findFirst({ where: { email: login } }),
 *   findById: id => db.user.findUnique({ where: { id } }),
 *   claims: person => ({ role: person.role })
 * }
 * ```
 */
export interface Users<User extends AuthUser = AuthUser> extends UserCallbacks<User, string> {
  /** Requires {@link defineUsers}, which checks the type that `findById` takes. */
  readonly parseId?: undefined
}

/** Callbacks of an app that looks its users up by numbers, bigints or objects. */
export interface UsersWithParsedIds<User extends AuthUser, Id> extends UserCallbacks<User, Id> {
  /**
   * Converts the ID of a token to the type that `findById` and `savePasswordHash` take.
   *
   * Return `null` if no user can have this ID. A function that throws results in 503, and so does a
   * number or bigint with another string than the ID, such as `NaN`.
   *
   * @default the string itself
   * @example
   * ```ts
   * parseId: Number
   * parseId: id => new ObjectId(id)
   * ```
   */
  parseId(id: string): Id | null | undefined
}

// Type of a member that does not exist. `ParsedIds` has no `findById`, so that the option `users`
// has a single type for it. TypeScript then infers the argument of an inline `findById`.
declare const isDefined: unique symbol

/** Result of {@link defineUsers} with `parseId`. */
export interface ParsedIds
  extends Pick<UserCallbacks<AuthUser, unknown>, 'findByLogin' | 'claims' | 'present'> {
  /** Converts the ID of a token to the type that `findById` takes. */
  parseId(id: string): unknown
  /** Exists only for the compiler. */
  readonly [isDefined]: true
}

/**
 * Infers the type of the app's user, so that `claims` and `present` know it. Returns its argument.
 *
 * Write the look-ups before the callbacks that take a user, and `parseId` first. TypeScript infers
 * the types in this order.
 *
 * @example
 * ```ts
 * const users = defineUsers({
 *   parseId: Number,
 *   findByLogin: login => db.user.findFirst({ where: { email: login } }),
 *   findById: id => db.user.findUnique({ where: { id } }),
 *   claims: user => ({ role: user.role })
 * })
 * await app.register(tokenAuth, { secret, store, users })
 * ```
 */
export function defineUsers<User extends AuthUser, Id> (
  users: UsersWithParsedIds<User, Id>
): UsersWithParsedIds<User, Id> & ParsedIds
/** Infers the type of the app's user for look-ups by string. */
export function defineUsers<User extends AuthUser> (users: Users<User>): Users<User>

export function defineUsers (users: object): object {
  return users
}
