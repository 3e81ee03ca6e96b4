// What the plugin adds to Fastify: `app.authenticate`, `app.tokenAuth`, `request.auth`, and a mark for public routes.

import type { Authenticate as AuthenticateHook } from './http/authenticate.js'
import type { HttpRequest } from './http/authorization.js'
import type { DpopRequest } from './http/dpop.js'
import type { CookieReply } from './http/cookies.js'
import type { KeyInput } from './tokens/keys.js'
import type { Session as DomainSession } from './domain/session.js'
import type { CookieResponse, TokenResponse } from './protocol.js'
import type { Duration } from './lib/duration.js'
import type { AuthGuard as Guard, ClaimRequirements as Demands } from './http/guards.js'
import type { Auth as RequestAuth } from './tokens/auth.js'

/** A session as the app may see it: all but what its token is checked by. */
export type SessionInfo = Omit<DomainSession, 'secretHash'>

export interface OpenOptions {
  /** What the client calls itself. */
  readonly device?: string
  /** How the user proved who they are (RFC 8176), such as `['otp']`. */
  readonly amr?: readonly string[]
  /** The OAuth client that the session is for, one of `oauth.clients`: its tokens are in what is given, and in no cookie. */
  readonly clientId?: string
}

/** The part of a Fastify request that is read. A proof of possession in a whole one binds the session, where there is `dpop`. */
export type SessionRequest = HttpRequest | DpopRequest

export interface OpenInCookieOptions extends OpenOptions {
  /** Gets the cookies. */
  readonly reply: CookieReply
  /** Whether they outlive the browser. @default false */
  readonly persistent?: boolean
}

/**
 * `app.tokenAuth`: what the routes do, for the app's own code. Where the store fails, each rejects with a
 * {@link TokenAuthError} AUTH_STORE_UNAVAILABLE.
 */
export interface TokenAuth {
  /**
   * Signs a user in who proved their identity elsewhere (a magic link, a passkey, another provider). Send what it gives
   * with `Cache-Control: no-store`.
   * @throws TokenAuthError AUTH_CREDENTIALS_REJECTED where the user is unknown or disabled; AUTH_DPOP_INVALID, AUTH_DPOP_NONCE
   * @throws TypeError where `refreshToken.transport` is `'cookie'` and there is no `options.reply`
   */
  openSession(
    userId: string,
    request: SessionRequest,
    options?: OpenOptions
  ): Promise<TokenResponse>
  /** The same in cookies, where `refreshToken.transport` is `'cookie'` or `'both'`. */
  openSession(
    userId: string,
    request: SessionRequest,
    options: OpenInCookieOptions
  ): Promise<TokenResponse | CookieResponse>
  /** The live sessions of a user, newest first, a hundred at most. */
  listSessions(userId: string): Promise<SessionInfo[]>
  /** Ends a session. Its access tokens are refused at once by this process. @returns Whether it was there and live. */
  revokeSession(sessionId: string): Promise<boolean>
  /**
   * Ends all sessions of a user, and every login that is under way: for a deleted user, or one who has lost a device.
   * @param options.keep The id of one session that lives on, such as the one in which the password was changed.
   * @returns How many sessions were ended.
   */
  revokeUser(userId: string, options?: { readonly keep?: string }): Promise<number>
  /**
   * The same for a changed password, and it says so in the event. Logins that were wrong before are forgotten, so that a user
   * whose account was stopped by them is let in by the new one.
   * @param options.keep As above.
   */
  passwordChanged(userId: string, options?: { readonly keep?: string }): Promise<number>
  /**
   * @returns A hash to store as `passwordHash`: argon2id, as a PHC string.
   * @throws TokenAuthError AUTH_PASSWORD_REJECTED where the rules of `passwords` are broken; AUTH_BUSY
   */
  hashPassword(password: string): Promise<string>
  /** How many hashes are being computed, and how many wait: for metrics. 256 may wait, then logins are 503. */
  hashLoad(): { readonly running: number, readonly waiting: number }
  /** Checks a password at the same cost whatever the hash is. @throws TokenAuthError AUTH_BUSY */
  verifyPassword(hash: string | null, password: string): Promise<boolean>
  /**
   * Puts other `keys` in the place of those of the options, in this process. In three steps nobody is refused: announce the
   * new one (`[old, new]`) on every instance, and wait until verifiers have read it (mostly 5 to 10 minutes); let it sign
   * (`[new, old]`); and when the last access token of the old one has ended, take that away (`[new]`).
   * @throws TypeError where a key cannot be used, or the app began without `keys`; what was stays then
   */
  rotateKeys(keys: readonly KeyInput[]): void
  /**
   * Deletes ended sessions now, or joins the sweep that is under way. It takes a minute at most; what is left waits for the next.
   * @returns How many records were deleted.
   */
  sweep(): Promise<number>
}

// Named, since a type that is imported for an augmentation alone vanishes from the emitted declarations.
export type Authenticate = AuthenticateHook
export type Auth = RequestAuth
export type AuthGuard = Guard
export type ClaimRequirements = Demands

declare module 'fastify' {
  interface FastifyInstance {
    /** An `onRequest` hook: demands a valid access token and sets `request.auth`, or answers 401. */
    authenticate: Authenticate
    /**
     * Makes an `onRequest` hook for behind `authenticate`: its user logged in at most that long ago, or 403.
     * For a changed address, a payment, the deletion of an account.
     */
    requireFresh(maxAge: Duration): AuthGuard
    /** Makes an `onRequest` hook for behind `authenticate`: the access token has these claims, or 403. */
    requireClaims(demands: ClaimRequirements): AuthGuard
    tokenAuth: TokenAuth
  }

  interface FastifyRequest {
    /** Who sends this request; `null` where {@link FastifyInstance.authenticate} did not run. */
    auth: Auth | null
  }

  interface FastifyContextConfig {
    /** `'public'`: `app.authenticate` lets every request to this route pass, as is. */
    tokenAuth?: 'public'
  }
}
