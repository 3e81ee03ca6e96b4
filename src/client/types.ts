/**
 * Public types of the client.
 *
 * @module
 */

import type { ErrorCode, RouteName, SessionResponse } from '../protocol.js'
import type { Platform } from './platform.js'
import type { TokenStorage } from './storage.js'

/** Reason of a sign-out: a logout, or the code with which the server rejected the session. */
export type SignOutReason = 'logout' | Extract<ErrorCode, `AUTH_REFRESH_${string}`>

/**
 * Signed-in state of a client. Check `status` or `user` to narrow the type.
 *
 * The object is frozen and stays the same until the state changes.
 */
export type AuthState<User extends object = object> =
  | StartingState
  | SignedInState<User>
  | SignedOutState

/** State until the client knows whether a user is signed in; see {@link AuthClient.ready}. */
export interface StartingState {
  /** The client does not know yet whether a user is signed in. */
  readonly status: 'starting'
  /** No user is known yet. */
  readonly user: null
  /** Exists only for the compiler. */
  readonly reason?: never
}

/** State of a client with a user. */
export interface SignedInState<User extends object = object> {
  /** A user is signed in. */
  readonly status: 'signed-in'
  /** The user, as returned by the server; `null` if the server was unreachable at startup. */
  readonly user: User | null
  /** Exists only for the compiler. */
  readonly reason?: never
}

/** State of a client without a user. */
export interface SignedOutState {
  /** No user is signed in. */
  readonly status: 'signed-out'
  /** No user is signed in. */
  readonly user: null
  /** Reason of the sign-out. Missing if no user was signed in before. */
  readonly reason?: SignOutReason
}

/** Credentials of a login by password. The server accepts a user name or an e-mail address. */
export type Credentials =
  & {
    /** Password of the user. */
    readonly password: string
    /** Label of this device in the list of sessions. */
    readonly device?: string
    /** Whether cookies survive a restart of the browser. */
    readonly remember_me?: boolean
  }
  & (
    | {
      /** User name. */
      readonly username: string
    }
    | {
      /** E-mail address. */
      readonly email: string
    }
  )

/** Credentials of a step-up. */
export interface ElevateCredentials {
  /** Password of the signed-in user. */
  readonly password: string
  /** Method of a second factor, if `AUTH_SECOND_FACTOR_REQUIRED` asks for one. */
  readonly method?: string
  /** Code of the second factor. */
  readonly code?: string
}

/** Options of a single call. */
export interface CallOptions {
  /** Rejects this call with the reason of the signal. Work shared with other calls continues. */
  readonly signal?: AbortSignal | undefined
}

/** Options of {@link createAuthClient}. */
export interface AuthClientOptions {
  /**
   * Absolute http(s) URL of the server. The client sends tokens to its origin only.
   *
   * @default the origin of the page
   */
  readonly baseUrl?: string
  /**
   * Path prefix of the routes; must equal the `prefix` option of the server.
   *
   * @default '/auth'
   */
  readonly prefix?: string
  /**
   * Paths of moved routes below the prefix; must equal the `routes` option of the server.
   *
   * @example
   * ```ts
   * paths: { refresh: '/token' }
   * ```
   */
  readonly paths?: Partial<Readonly<Record<RouteName, string>>>
  /**
   * Storage of the refresh token.
   *
   * - `cookie`: an HttpOnly cookie, which scripts cannot read. For browsers only. The server must
   *   not have `refreshToken: { transport: 'body' }`.
   * - `memory`: no storage. A reload signs the user out.
   * - A {@link TokenStorage}, such as the keychain of a phone. The client saves a new token before
   *   it uses the token.
   *
   * With `memory` or a {@link TokenStorage}, the server must not have
   * `refreshToken: { transport: 'cookie' }`. The client would get no refresh token, so `login`
   * revokes the session and throws `transport`.
   *
   * @default 'cookie'
   * @example
   * ```ts
   * storage: { get: readKeychain, set: writeKeychain, remove: clearKeychain }
   * ```
   */
  readonly storage?: 'cookie' | 'memory' | TokenStorage
  /**
   * Storage of the device token, which lets the server recognize this device at the next login.
   *
   * Failed logins of an attacker then do not lock this device out. The token survives logouts and
   * does not sign anyone in. Not needed with cookies.
   *
   * @default none, so that the server treats each login as one from a new device
   * @example
   * ```ts
   * device: { get: readDeviceToken, set: writeDeviceToken, remove: clearDeviceToken }
   * ```
   */
  readonly device?: TokenStorage
  /**
   * Name under which the tabs of a browser share a session.
   *
   * Tabs share it if the name, the server and the kind of storage are equal. Set a name for a
   * {@link TokenStorage} only if all tabs of the browser use the same storage.
   *
   * @default 'auth' for cookies; otherwise none, so that tabs share nothing
   */
  readonly name?: string
  /**
   * Sends the requests.
   *
   * @default the global `fetch`
   * @example
   * ```ts
   * fetch: createDpopFetch() // binds the session to a key of this browser
   * ```
   */
  readonly fetch?: typeof fetch
  /**
   * Replaces parts of the platform, for tests.
   *
   * @example
   * ```ts
   * platform: createFaults({ seed: 7 }).platform
   * ```
   */
  readonly platform?: Partial<Platform>
}

/** Keeps a user signed in. All functions work without `this`, so you can destructure them. */
export interface AuthClient<User extends object = object> {
  /**
   * Resolves to `signed-in` or `signed-out` when the client knows the result. Never rejects.
   *
   * Resolves to the current state if the client is disposed before that.
   */
  readonly ready: Promise<AuthState<User>>
  /** Current state. */
  readonly state: AuthState<User>

  /**
   * Signs a user in. Replaces and revokes an earlier session of this client.
   *
   * @throws AuthError `AUTH_CREDENTIALS_REJECTED` and other codes of the server; `network`,
   *   `refused`, `storage`; `transport` if `storage` does not fit the server; `signed-out` if
   *   `logout` was called meanwhile
   * @example
   * ```ts
   * const { user } = await auth.login({ username: 'ann', password: 'correct horse' })
   * ```
   */
  login(credentials: Credentials, options?: CallOptions): Promise<AuthState<User>>

  /**
   * Signs a user in with a route of the app, such as a sign-up, a magic link or a passkey.
   *
   * The route returns the result of `app.tokenAuth.openSession(userId, request, { reply })`. The
   * `reply` sets the cookie of a page.
   *
   * The callback receives a `fetch` that requests the refresh token in the way the client expects
   * it. It resolves relative URLs against `baseUrl`, and includes credentials if `storage` is
   * `cookie`. Only send the request in the callback, because other tabs wait for it. Ask the user
   * for input before the call.
   *
   * Replaces and revokes an earlier session of this client.
   *
   * @param send - Sends the request and returns its response. Must not use `auth.fetch`, which may
   *   have to wait for this call.
   * @throws AuthError like {@link AuthClient.login}; `refused` if the response contains no tokens
   * @example
   * ```ts
   * await auth.adopt(fetch => fetch('/signup', {
   *   method: 'POST',
   *   headers: { 'content-type': 'application/json' },
   *   body: JSON.stringify({ email, password })
   * }))
   * ```
   */
  adopt(
    send: (fetch: typeof globalThis.fetch) => Promise<Response>,
    options?: CallOptions
  ): Promise<AuthState<User>>

  /**
   * Confirms that the user is present, before a sensitive action (step-up).
   *
   * The next requests have an access token of the same session with a recent `auth_time`, until the
   * client refreshes it.
   *
   * @param step - The password, with the code of a second factor if there is one. Or a callback
   *   that sends a request to a route of the app. That route returns the result of
   *   `app.tokenAuth.elevate`.
   * @throws AuthError `AUTH_CREDENTIALS_REJECTED` and other codes of the server; `signed-out` if
   *   the session was replaced
   * @example
   * ```ts
   * await auth.elevate({ password })
   * await auth.fetch('/account', { method: 'DELETE' })
   * ```
   * @example
   * ```ts
   * await auth.elevate(() => auth.fetch('/passkey/elevate', { method: 'POST', body }))
   * ```
   */
  elevate(
    step: ElevateCredentials | (() => Promise<Response>),
    options?: CallOptions
  ): Promise<AuthState<User>>

  /**
   * Requests a new access token, for example after the roles of the user have changed.
   *
   * Does nothing if no user is signed in, or if the server issues no refresh tokens.
   *
   * @throws AuthError if no new token arrives within 10 s; the earlier one stays in use
   */
  refresh(options?: CallOptions): Promise<AuthState<User>>

  /**
   * Signs out: immediately in all tabs, and at the server as soon as it is reachable.
   *
   * Resolves after the first request to the server, even if that request fails. The client repeats
   * it until the server acknowledges it, also after a restart. Rejects only if the signal is
   * aborted or the client is disposed.
   */
  logout(options?: CallOptions): Promise<void>

  /**
   * Revokes all sessions of the user, including this one.
   *
   * @throws AuthError if the server cannot do it; the user then stays signed in
   */
  logoutEverywhere(options?: CallOptions): Promise<void>

  /**
   * Lists the sessions of the user.
   *
   * @throws AuthError
   */
  sessions(options?: CallOptions): Promise<readonly SessionResponse[]>

  /**
   * Revokes one session of the user.
   *
   * @throws AuthError
   */
  endSession(id: string, options?: CallOptions): Promise<void>

  /**
   * Revokes all sessions of the user except this one.
   *
   * @throws AuthError
   */
  endOtherSessions(options?: CallOptions): Promise<void>

  /**
   * Sends a request like the global `fetch`, with the access token if it goes to the server.
   *
   * Relative URLs are resolved against `baseUrl`. Requests to other origins, requests with an
   * `Authorization` header, and all requests of a signed-out client are sent unchanged.
   *
   * If the server rejects the token, the client refreshes it and sends the request once more. It
   * repeats strings, forms, blobs, buffers and `Request` objects. A stream or a generator is sent
   * once, and the caller gets the 401 response. A 401 response without a reason, as another API of
   * the origin may send it, causes one refresh for each access token.
   *
   * @throws AuthError `network`, `refused` or a code of the server if the access token has expired
   *   and cannot be refreshed within 10 s; `signed-out` if the session was revoked or replaced
   *   meanwhile
   * @throws errors of `fetch`
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

  /**
   * Returns a valid access token, for example for a WebSocket.
   *
   * @returns The token; `null` if no user is signed in or a cookie carries the token.
   * @throws AuthError like {@link AuthClient.fetch}
   */
  getAccessToken(options?: CallOptions): Promise<string | null>

  /**
   * Calls the listener on each change of {@link AuthClient.state}.
   *
   * A listener may miss a state that was replaced immediately. The last call has the current state.
   *
   * @returns A function that removes the listener.
   */
  subscribe(listener: (state: AuthState<User>) => void): () => void

  /**
   * Stops timers, requests and messages between tabs. The user stays signed in.
   *
   * Later calls reject with `disposed`.
   */
  dispose(): void
}
