import type { OneTimeTokens } from './account/one-time-tokens.js'
import type { Session as DomainSession } from './domain/session.js'
import type { Health } from './health/health.js'
import type { Authenticate, AuthenticatedRequest } from './http/authenticate.js'
import type { HttpRequest } from './http/authorization.js'
import type { CookieReply } from './http/cookies.js'
import type { DpopRequest } from './http/dpop.js'
import type { ClaimRequirements, FreshOptions } from './http/guards.js'
import type { Registration } from './http/registration.js'
import type { UnprotectedRoute } from './http/unprotected-routes.js'
import type { Duration } from './lib/duration.js'
import type { FollowedSession } from './live/follower.js'
import type { CookieResponse, TokenResponse } from './protocol.js'
import type { AuthUser, PublicUser } from './sessions/user-callbacks.js'
import type { UserId } from './sessions/user-id.js'
import type { Auth } from './tokens/auth.js'
import type { KeyInput } from './tokens/keys.js'

/** Session without the hash that verifies its refresh token. */
export type SessionInfo = Omit<DomainSession, 'secretHash'>

/** Options of `app.tokenAuth.openSession`. */
export interface OpenOptions {
  /** Label of the device, which the list of sessions shows. Cut to 128 characters. */
  readonly device?: string | null
  /**
   * Authentication methods that the user passed (RFC 8176), with at most 512 characters in all.
   *
   * @default []
   * @example
   * ```ts
   * const tokens = await app.tokenAuth.openSession(userId, request, { amr: ['otp'] })
   * ```
   */
  readonly amr?: readonly string[]
  /**
   * OAuth client that the session is for, one of `oauth.clients`.
   *
   * Its tokens are in the result, never in a cookie.
   */
  readonly clientId?: string
}

/** Sender of a request, for `openSession` in code that has no Fastify request. */
export interface SessionOrigin {
  /** IP address of the client. Missing or `null` if unknown. */
  readonly ip?: string | null | undefined
  /** Headers with names in lower case, of which `user-agent` and `cookie` are read. */
  readonly headers: {
    /** `User-Agent` header, which the list of sessions shows. */
    readonly 'user-agent'?: string | undefined
    /** `Cookie` header, in which `openSession` finds the session that it replaces. */
    readonly cookie?: string | undefined
  }
}

/**
 * Request that `openSession` reads: a Fastify request, or `{ ip, headers }`.
 *
 * With the option `dpop`, the DPoP proof of a Fastify request binds the session to its key.
 */
export type SessionRequest = HttpRequest | DpopRequest | SessionOrigin

/** Options of `app.tokenAuth.openSession` for a session that uses cookies. */
export interface OpenInCookieOptions extends OpenOptions {
  /** Reply that sets the cookies. */
  readonly reply: CookieReply
  /**
   * Transport of the tokens, if `refreshToken.transport` is `'both'`.
   *
   * Use `'cookie'` for a page that the browser opens itself, such as a link in an e-mail or the
   * redirect of another login provider. Any page can send a browser there. So accept only a secret
   * that was made for this browser or user, such as `state` or the token of the link.
   *
   * @default `'cookie'` if the request has the header `X-Token-Transport: cookie`, else `'body'`
   * @example
   * ```ts
   * await app.tokenAuth.openSession(userId, request, { reply, transport: 'cookie' })
   * ```
   */
  readonly transport?: 'body' | 'cookie'
  /**
   * Whether the cookies survive a restart of the browser.
   *
   * @default false
   */
  readonly persistent?: boolean
}

/** Options of `app.tokenAuth.elevate`. */
export interface ElevateOptions {
  /**
   * Authentication methods of the step-up (RFC 8176), with at most 128 characters in all.
   *
   * They replace those of the login. So name each method that the user has just passed.
   */
  readonly amr: readonly string[]
  /** Reply that sets the cookie. Required if the request has its access token in a cookie. */
  readonly reply?: CookieReply
}

/** Request of a route with `authenticate`. */
export type ElevatedRequest = AuthenticatedRequest

/** Request of a route with `authenticate`. */
export type FollowableRequest = AuthenticatedRequest

/**
 * Sessions and passwords for the app's own code: `app.tokenAuth`.
 *
 * Every method that uses the store rejects with a {@link TokenAuthError} `AUTH_STORE_UNAVAILABLE`
 * if the store fails. An invalid user ID or option is a `TypeError`.
 */
export interface TokenAuth {
  /**
   * Opens a session for a user who logged in by other means: a magic link, a passkey or another
   * provider.
   *
   * Send the result with `Cache-Control: no-store`.
   *
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED` if the user is unknown or disabled.
   * `AUTH_DPOP_INVALID` or `AUTH_DPOP_NONCE` if the request has an invalid DPoP proof.
   * @throws TypeError if `refreshToken.transport` is `'cookie'` and `options.reply` is missing,
   * `options.transport` is another one than that of the server, an option is unknown, or
   * `options.clientId` names no client.
   * @example
   * ```ts
   * app.get('/magic-link', async (request, reply) => {
   *   const userId = await consumeMagicLink(request.query)
   *   reply.header('cache-control', 'no-store')
   *   return app.tokenAuth.openSession(userId, request, { reply, transport: 'cookie' })
   * })
   * ```
   * @example
   * ```ts
   * const tokens = await app.tokenAuth.openSession(user.id, { ip: socket.ip, headers: {} })
   * ```
   */
  openSession(
    userId: UserId,
    request: SessionRequest,
    options?: OpenOptions
  ): Promise<TokenResponse<PublicUser>>
  /**
   * Opens a session that uses cookies if `refreshToken.transport` is `'cookie'`, or if it is
   * `'both'` and the request or `options.transport` asks for cookies.
   *
   * Rejects like the overload without `reply`.
   */
  openSession(
    userId: UserId,
    request: SessionRequest,
    options: OpenInCookieOptions
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>>
  /**
   * Issues an access token for a signed-in user who has authenticated again (step-up), for example
   * with a passkey. Opens no session and writes nothing.
   *
   * The token has the time and the methods `amr` of the step-up. It belongs to the same session,
   * OAuth client and key as the access token of the request, and replaces it. It contains the
   * current result of `users.claims`. A refresh, or a silent renewal, returns to the time and
   * methods of the login. Call it in a route with `authenticate`, and send the result with
   * `Cache-Control: no-store`. For a step-up by password, use the route `POST elevate`.
   *
   * @throws TokenAuthError `AUTH_ACCESS_MISSING` if `authenticate` has accepted no token.
   * `AUTH_ACCESS_EXPIRED` if the client has refreshed meanwhile. `AUTH_SESSION_REVOKED` if the
   * session was revoked, or the user is unknown or disabled.
   * @throws TypeError if `options.amr` is empty or too long, an option is unknown, or the access
   * token is in a cookie and `options.reply` is missing.
   * @example
   * ```ts
   * app.post('/passkey/elevate', { onRequest: [authenticate] }, async (request, reply) => {
   *   await verifyPasskey(getAuth(request).userId, request.body)
   *   reply.header('cache-control', 'no-store')
   *   return app.tokenAuth.elevate(request, { amr: ['hwk'], reply })
   * })
   * ```
   */
  elevate(
    request: ElevatedRequest,
    options: ElevateOptions & { readonly reply: CookieReply }
  ): Promise<TokenResponse<PublicUser> | CookieResponse<PublicUser>>
  /** Issues an access token for a request that has its token in the `Authorization` header. */
  elevate(request: ElevatedRequest, options: ElevateOptions): Promise<TokenResponse<PublicUser>>
  /**
   * Follows the session of a request that outlives its response: a WebSocket, a stream or a job.
   *
   * The signal of the result aborts when the session is revoked on any instance, or when the access
   * token expires. To prevent that, let the client send a newer token in time, and pass it to
   * `renew`. Other instances learn of a revocation with their next poll, or earlier if the database
   * pushes. A store that does not respond aborts nothing.
   *
   * Call it in a route with `authenticate`, and call `end` when the connection closes. Each
   * followed session takes about 1 kB of memory. If the session was revoked or has expired since
   * `authenticate`, the signal has aborted already. `addAbortListener` of Node.js also calls its
   * listener in that case.
   *
   * @throws TokenAuthError `AUTH_ACCESS_MISSING` if `authenticate` has accepted no token.
   * @example
   * ```ts
   * import { addAbortListener } from 'node:events'
   *
   * app.get('/live', { websocket: true, onRequest: [app.authenticate] }, (socket, request) => {
   *   const { signal, renew, end } = app.tokenAuth.follow(request)
   *   const close = (): void => {
   *     socket.close(4401)
   *   }
   *   addAbortListener(signal, close)
   *   // The client has the option `createRenewal: token => token` of `openSocket`.
   *   socket.on('message', message => {
   *     renew(String(message)).catch(close)
   *   })
   *   socket.on('close', end)
   * })
   * ```
   */
  follow(request: FollowableRequest): FollowedSession
  /**
   * Lists the live sessions of a user, newest first, at most 100.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  listSessions(userId: UserId): Promise<SessionInfo[]>
  /**
   * Revokes a session. This process rejects its access tokens immediately.
   *
   * @returns Whether the session existed and was not revoked before.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  revokeSession(sessionId: string): Promise<boolean>
  /**
   * Revokes all sessions of a user. A login that has started but not finished reads the user again,
   * and verifies the password again if the stored hash has changed.
   *
   * Call it after you delete or disable a user, or if a user has lost a device.
   *
   * @param options.keep - ID of a session to keep.
   * @returns The number of sessions that this call revoked.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   * @example
   * ```ts
   * await db.users.delete(userId)
   * await app.tokenAuth.revokeUser(userId)
   * ```
   */
  revokeUser(userId: UserId, options?: { readonly keep?: string }): Promise<number>
  /**
   * Revokes all sessions of the realm, which is every session of this registration.
   *
   * Its cost does not depend on the number of sessions. This process rejects their access tokens
   * immediately, and other instances after their next poll. All instances reject their refresh
   * tokens immediately. A login that has started but not finished reads the user again. Use it
   * after a leak of the secret or of the database. All users must log in again.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails. Call it again then.
   * @example
   * ```ts
   * await app.tokenAuth.revokeAll()
   * ```
   */
  revokeAll(): Promise<void>
  /**
   * Revokes all sessions of a user after a change of the password.
   *
   * The event `session-ended` has the reason `password-changed`. Resets the failed logins of the
   * user, so that a throttled account accepts the new password immediately.
   *
   * @param options.keep - ID of a session to keep, usually the one that changed the password.
   * @returns The number of sessions that this call revoked.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   * @example
   * ```ts
   * await db.users.update(userId, { passwordHash: await app.tokenAuth.hashPassword(password) })
   * await app.tokenAuth.passwordChanged(userId, { keep: getAuth(request).sessionId })
   * ```
   */
  passwordChanged(userId: UserId, options?: { readonly keep?: string }): Promise<number>
  /**
   * Hashes a new password with argon2id.
   *
   * @returns A PHC string. Save it as `passwordHash`.
   * @throws TokenAuthError `AUTH_PASSWORD_REJECTED` if the password breaks the rules of the option
   * `passwords`. `AUTH_BUSY` if the hash would wait longer than `passwords.maxWait`.
   * @throws TypeError if `passwords.validate` does not return a boolean.
   * @example
   * ```ts
   * const passwordHash = await app.tokenAuth.hashPassword(password)
   * ```
   */
  hashPassword(password: string): Promise<string>
  /**
   * Verifies a password. A failed check takes the same time for every hash, including `null`.
   *
   * @throws TokenAuthError `AUTH_BUSY` if the hash would wait longer than `passwords.maxWait`.
   * @throws Error if the hash is a bcrypt hash and `@node-rs/bcrypt` is not installed.
   * @example
   * ```ts
   * if (!await app.tokenAuth.verifyPassword(user?.passwordHash ?? null, password)) {
   *   throw app.httpErrors.forbidden()
   * }
   * ```
   */
  verifyPassword(hash: string | null, password: string): Promise<boolean>
  /**
   * Verifies a name and a password like the route `login`, and opens no session.
   *
   * Use it for a login of your own, for example one with another step before `openSession`. Failed
   * attempts count together with those of the route, and take the same time for every name.
   *
   * @typeParam User - Type of the users of `users.findByLogin`.
   * @param credentials.deviceToken - Device token of an earlier login. By default, that of the
   * cookie.
   * @returns The user as `users.findByLogin` returned it. It contains the password hash, so do not
   * send it.
   * @throws TokenAuthError `AUTH_CREDENTIALS_REJECTED`, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_BUSY` or
   * `AUTH_STORE_UNAVAILABLE`, as the route does.
   * @throws TypeError if the name or the password is not a string.
   * @example
   * ```ts
   * app.post('/sign-in', async (request, reply) => {
   *   const { id } = await app.tokenAuth.verifyLogin(readForm(request), request)
   *   return app.tokenAuth.openSession(id, request, { reply, amr: ['pwd'] })
   * })
   * ```
   */
  verifyLogin<User extends AuthUser = AuthUser>(
    credentials: {
      readonly login: string
      readonly password: string
      readonly deviceToken?: string | null
    },
    request: SessionRequest
  ): Promise<User>
  /**
   * Replaces the `keys` of the options in this process. Invalid keys change nothing.
   *
   * Takes three steps, so that no valid token is rejected:
   *
   * 1. Announce the new key on every instance: `[old, new]`. Wait until verifiers have read it,
   *    usually 5 to 10 minutes.
   * 2. Sign with it: `[new, old]`. Wait until the last access token of the old key has expired.
   * 3. Remove the old key: `[new]`.
   *
   * The entry `'secret'` means the key derived from `secret`, as in the option.
   *
   * @throws TypeError if a key cannot be used, or the app started without `keys`.
   * @example
   * ```ts
   * app.tokenAuth.rotateKeys([{ key: oldKey }, { key: newKey }])
   * ```
   */
  rotateKeys(keys: ReadonlyArray<KeyInput | 'secret'>): void
  /**
   * Deletes expired sessions now, or joins a running sweep.
   *
   * Takes at most 1 minute. The next sweep deletes the rest. Deletes nothing within an hour after a
   * step of the database's clock. A script that only sweeps must await `app.ready()` first.
   *
   * @returns The number of deleted records.
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  sweep(): Promise<number>
  /**
   * One-time tokens for purposes of the app, such as an invitation or a change of address.
   *
   * @example
   * ```ts
   * const { token } = await app.tokenAuth.oneTimeTokens.create({
   *   purpose: 'invitation',
   *   subject: 'ann@example.org',
   *   lifetime: '7d'
   * })
   * ```
   */
  readonly oneTimeTokens: OneTimeTokens
  /**
   * Measures the health of this instance, for readiness probes and metrics. Never rejects.
   *
   * Several probes per second cost one look-up in the store per second. A store that does not
   * respond within 800 ms counts as failed. The result is plain data without secrets, but it shows
   * details of your servers. So a public route must send only a status code.
   *
   * Do not use it for liveness probes: a restart cannot repair a database, and every restart makes
   * an outage worse.
   *
   * @example
   * ```ts
   * app.get('/readyz', async (_request, reply) => {
   *   const { status, acceptsTokens } = await app.tokenAuth.health()
   *   return reply.code(acceptsTokens ? 200 : 503).send({ status })
   * })
   * ```
   */
  health(): Promise<Health>
  /**
   * Lists the routes of the whole app that no `authenticate` hook protects, by path and method.
   *
   * Assert the list in a test, so that it finds each route that is open by mistake.
   *
   * Only the hook counts. A route with it is not listed, even if `config.tokenAuth` marks it as
   * `'public'` or `'optional'`, or `protect.except` names it. The app opened such a route on
   * purpose. A route without the hook is listed, even if it is marked.
   *
   * Recognizes `authenticate` and `protect`, but no hook of your own that calls them, nor
   * `app.auth` of @fastify/auth. Leaves out the routes of this plugin, `OPTIONS`, and `HEAD` of a
   * listed `GET`.
   *
   * @throws Error if the app is not ready.
   * @example
   * ```ts
   * await app.ready()
   * assert.deepEqual(app.tokenAuth.unprotectedRoutes(), [
   *   { method: 'GET', path: '/' },
   *   { method: 'POST', path: '/sign-up' }
   * ])
   * ```
   */
  unprotectedRoutes(): UnprotectedRoute[]
}

// TypeScript drops the import of a type that only an augmentation uses. This export keeps it in the
// emitted declarations.
export type {
  Auth,
  Authenticate,
  AuthenticatedRequest,
  ClaimRequirements,
  FreshOptions,
  Registration,
  UnprotectedRoute
}

/**
 * Type of the hooks that `app.requireFresh` and `app.requireClaims` create.
 *
 * Such a hook runs after `app.authenticate`. Without `done`, it returns a promise. It also works as
 * a function of @fastify/auth, in a list after `app.authenticate`.
 */
export type AuthGuard = Authenticate

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * `onRequest` hook that requires a valid access token and sets `request.auth`.
     *
     * Without `done`, returns a promise that rejects if the token is rejected. Await it in a hook
     * of your own: `await app.authenticate(request, reply)`.
     *
     * @throws TokenAuthError with status 401 if the token is missing, invalid, expired or revoked,
     * 403 if a request with a cookie fails the origin check, or 503 if revocations cannot be
     * checked.
     * @example
     * ```ts
     * app.get('/orders', { onRequest: [app.authenticate] }, async request => {
     *   return listOrders(getAuth(request).userId)
     * })
     * ```
     */
    authenticate: Authenticate
    /**
     * Creates an `onRequest` hook that requires a recent login or step-up. Place it after
     * `app.authenticate`.
     *
     * Use it for sensitive operations, such as a payment or the deletion of an account. The
     * hook rejects with a {@link TokenAuthError} `AUTH_REAUTHENTICATION_REQUIRED` (403) if the
     * login is older, or used no method of `options.amr`.
     *
     * @throws TypeError if `maxAge` is not a duration above 0, or an option is invalid or unknown.
     * @example
     * ```ts
     * app.delete('/account', {
     *   onRequest: [app.authenticate, app.requireFresh('5m')]
     * }, deleteAccount)
     * ```
     */
    requireFresh(maxAge: Duration, options?: FreshOptions): AuthGuard
    /**
     * Creates an `onRequest` hook that requires claims of the access token. Place it after
     * `app.authenticate`.
     *
     * The hook rejects with a {@link TokenAuthError} `AUTH_CLAIMS_INSUFFICIENT` (403) if a claim
     * has another value.
     *
     * @throws TypeError if no claim is required, or a claim has no accepted value.
     * @example
     * ```ts
     * app.get('/admin', {
     *   onRequest: [app.authenticate, app.requireClaims({ role: ['admin', 'support'] })]
     * }, showAdminPage)
     * ```
     */
    requireClaims(requirements: ClaimRequirements): AuthGuard
    /** Sessions and passwords for the app's own code. */
    tokenAuth: TokenAuth
  }

  interface FastifyRequest {
    /**
     * User and session of the request. `null` if `app.authenticate` did not run. See `getAuth` for
     * a value that is never `null`.
     */
    auth: Auth | null
  }

  interface FastifyContextConfig {
    /**
     * Exceptions from `authenticate` and the option `protect`. Other values require a token.
     *
     * `'public'` accepts every request unchanged; `request.auth` is `null`.
     *
     * `'optional'` accepts requests without a token; their `request.auth` is `null`. A token in the
     * `Authorization` header must be valid, otherwise the response is 401. A cookie that has
     * expired or was revoked counts as no token for `GET` and `HEAD`, and is 401 otherwise.
     *
     * @example
     * ```ts
     * app.get('/news', {
     *   config: { tokenAuth: 'optional' },
     *   onRequest: [authenticate]
     * }, request => listNews(request.auth?.userId))
     * ```
     */
    tokenAuth?: 'public' | 'optional' | undefined
  }
}
