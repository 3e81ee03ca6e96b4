// The app's users, as the app tells of them.

import { reservedClaim } from '../tokens/access-token.js'
import type { AuthClaims } from './access-verifier.js'
import type { Guard } from '../stores/guarded-store.js'
import type { Logger } from '../events.js'

type Awaitable<T> = T | Promise<T>

const LONGEST_CLAIMS = 4096
// Such an id, without claims, is never too long: JSON makes at most six bytes of a UTF-16 unit.
const LONGEST_PLAIN_ID = LONGEST_CLAIMS / 8
const noClaims: AuthClaims = Object.freeze({})

/** What must be known of a user. Your own record may hold more; nothing more than this is read from it. */
export interface AuthUser {
  /** Compared byte by byte; the `sub` claim. Numbers are made text by the app: `String(row.id)`. */
  readonly id: string
  /**
   * A PHC string of argon2id, from `app.tokenAuth.hashPassword`, or one of bcrypt where `@node-rs/bcrypt` is installed.
   * Without one the user cannot log in by password.
   */
  readonly passwordHash?: string | null | undefined
  /** A disabled user cannot log in, and is signed out at the next refresh. */
  readonly disabled?: boolean | null | undefined
  readonly username?: string | null | undefined
  readonly email?: string | null | undefined
}

/** Where users come from. A callback that throws, or takes longer than `storeTimeout`, is answered with 503. */
export interface Users {
  /** The user of a `username` or `email`, exactly as it was typed; `null` or `undefined` where there is none. */
  findByLogin(login: string): Awaitable<AuthUser | null | undefined>
  /** Asked again at every refresh, so that a deleted or disabled user is signed out then. */
  findById(id: string): Awaitable<AuthUser | null | undefined>
  /**
   * Given, a hash that is weaker than today's is replaced at login. Write `hash` only where the stored one still is `replaced`
   * (`UPDATE .. WHERE password_hash = replaced`), or a password that is changed meanwhile is undone. Its failure is logged and
   * hinders nobody.
   */
  savePasswordHash?(id: string, hash: string, replaced: string): Awaitable<unknown>
  /** Claims for the access token, such as roles; readable by whoever holds it. They are fresh from each refresh on. */
  claims?(user: AuthUser): Awaitable<AuthClaims>
  /**
   * What login, refresh and `me` tell a client of its user.
   * @default `{ id, username, email }`, as far as they are there
   */
  present?(user: AuthUser): Awaitable<object>
}

/** A user who may be signed in, and what tokens and answers say of them. */
export interface Profile {
  readonly userId: string
  readonly claims: AuthClaims
  readonly publicUser: object
}

/** */
export class UserDirectory {
  readonly #users: Users
  readonly #guard: Guard
  readonly #logger: Logger

  constructor (users: Users, guard: Guard, logger: Logger) {
    this.#users = users
    this.#guard = guard
    this.#logger = logger
  }

  async findByLogin (login: string): Promise<AuthUser | null> {
    return checked(await this.#guard('users.findByLogin', () => this.#users.findByLogin(login)))
  }

  /** What a user logs in by, as far as the record tells. */
  async namesOf (id: string): Promise<string[]> {
    const { username, email } = checked(await this.#findById(id)) ?? {}
    return [username, email].filter(name => name != null)
  }

  /** The profile of a user who is there and not disabled, or `null`. */
  async findActive (id: string): Promise<Profile | null> {
    const user = checked(await this.#findById(id))
    return user === null || isDisabled(user) ? null : await this.profileOf(user)
  }

  async profileOf (user: AuthUser): Promise<Profile> {
    const { claims: claimsOf, present } = this.#users
    const claims = claimsOf === undefined
      ? noClaims
      : await this.#guard('users.claims', () => this.#users.claims?.(user)) ?? noClaims

    if (claims !== noClaims || user.id.length > LONGEST_PLAIN_ID) {
      assertSendable(user.id, claims)
    }

    const shown = present === undefined
      ? null
      : await this.#guard('users.present', () => this.#users.present?.(user))
    return { userId: user.id, claims, publicUser: shown ?? presentByDefault(user) }
  }

  #findById (id: string): Promise<AuthUser | null | undefined> {
    return this.#guard('users.findById', () => this.#users.findById(id))
  }

  get savesHashes (): boolean {
    return this.#users.savePasswordHash !== undefined
  }

  async savePasswordHash (id: string, hash: string, replaced: string): Promise<void> {
    await this.#guard(
      'users.savePasswordHash',
      () => this.#users.savePasswordHash?.(id, hash, replaced)
    )
    this.#logger.info({ userId: id }, 'a weak password hash was replaced')
  }
}

// Truthy, since some databases have 1 for true.
/** */
export function isDisabled (user: AuthUser): boolean {
  return Boolean(user.disabled)
}

function assertSendable (id: string, claims: AuthClaims): void {
  const taken = reservedClaim(claims)

  if (taken !== undefined) {
    throw new TypeError(`users.claims must not set "${taken}": that claim is the token's own`)
  }

  if (Buffer.byteLength(JSON.stringify([id, claims])) > LONGEST_CLAIMS) {
    throw new TypeError(
      `users.claims and the id must stay below ${LONGEST_CLAIMS} bytes of JSON: they travel with every request`
    )
  }
}

function presentByDefault ({ id, username, email }: AuthUser): object {
  const shown: Record<string, string> = { id }

  if (username != null) {
    shown.username = username
  }

  if (email != null) {
    shown.email = email
  }

  return shown
}

function checked (user: AuthUser | null | undefined): AuthUser | null {
  if (user == null) {
    return null
  }

  if (typeof user.id !== 'string' || user.id === '') {
    throw new TypeError(
      'A user needs an `id` that is a text and not empty; make numbers text by String(id)'
    )
  }

  return user
}
