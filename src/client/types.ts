// The public surface, in types.

import type { ErrorCode, RouteName, SessionResponse } from '../protocol.js'
import type { Platform } from './platform.js'
import type { TokenStorage } from './storage.js'

/** Why nobody is signed in any more: a logout, or the server's reason for refusing to go on with the session. */
export type SignOutReason = 'logout' | Extract<ErrorCode, `AUTH_REFRESH_${string}`>

/** Who is signed in. The same object until something changes. */
export interface AuthState {
  /** `starting` until it is known; see {@link AuthClient.ready}. */
  readonly status: 'starting' | 'signed-in' | 'signed-out'
  /** As the server presents it; `null` also while signed in, where the server could not be asked yet. */
  readonly user: object | null
  /** Absent where nobody was signed in before. */
  readonly reason?: SignOutReason
}

export interface CallOptions {
  /** Ends this call, which rejects with the signal's reason. What other calls wait for goes on. */
  readonly signal?: AbortSignal | undefined
}

export interface AuthClientOptions {
  /**
   * Where the server is: an absolute http(s) URL. Tokens go to its origin and to no other.
   * @default the origin of the page
   */
  readonly baseUrl?: string
  /** The server's option of this name. @default '/auth' */
  readonly prefix?: string
  /** Paths of routes that are not at their usual place, below the prefix: the server's `routes`. */
  readonly paths?: Partial<Readonly<Record<RouteName, string>>>
  /**
   * Where the refresh token is:
   * - `cookie`: in an HttpOnly cookie, which no script can read. For browsers; the server needs
   *   `refreshToken: { transport: 'cookie' }` or `'both'`.
   * - `memory`: nowhere else, so that a reload signs out.
   * - a storage of your own, such as a phone's keychain. A new token is stored before it is used.
   * @default 'cookie'
   */
  readonly storage?: 'cookie' | 'memory' | TokenStorage
  /**
   * Where it is kept that this device is known to the server, so that strangers who guess the password do not keep its owner
   * out. It outlives logouts, and signs nobody in. With cookies there is no need for it.
   * @default none: then the device is not known
   */
  readonly device?: TokenStorage
  /**
   * Tabs with the same name, server and way of storing share what they get. A storage of your own is taken to be of this
   * client alone, unless you give a name: give one only where the tabs of one browser share that storage.
   * @default 'auth' for cookies
   */
  readonly name?: string
  /** Sends the requests. @default the global one */
  readonly fetch?: typeof fetch
  /** Stands in for parts of the platform, in tests. */
  readonly platform?: Partial<Platform>
}

/** Keeps somebody signed in. Its functions may be taken off it. */
export interface AuthClient {
  /** Resolves to `signed-in` or `signed-out`, once that is known; never rejects. */
  readonly ready: Promise<AuthState>
  readonly state: AuthState

  /**
   * Signs in. Whoever was signed in before is signed out.
   *
   * @param credentials The body of the request: `username` or `email`, `password`, and perhaps `device`, `remember_me`.
   * @throws AuthError AUTH_CREDENTIALS_REJECTED and the other codes of the server; `network`, `refused`, `storage`; `signed-out`
   *   where `logout` was called meanwhile
   */
  login(credentials: object, options?: CallOptions): Promise<AuthState>

  /**
   * Signs out: here and in the other tabs at once, and at the server as soon as it can be reached. Resolves when the server
   * knows, or could not be told at first; it is then told again, also after a restart. Rejects where the signal is aborted or
   * the client disposed of, and for nothing else.
   */
  logout(options?: CallOptions): Promise<void>

  /**
   * Ends all sessions of the user, this one too.
   * @throws AuthError where the server could not do it; the user is still signed in then
   */
  logoutEverywhere(options?: CallOptions): Promise<void>

  /** Where the user is signed in. @throws AuthError */
  sessions(options?: CallOptions): Promise<readonly SessionResponse[]>

  /** Ends one of them. @throws AuthError */
  endSession(id: string, options?: CallOptions): Promise<void>

  /** Ends all of them but this one. @throws AuthError */
  endOtherSessions(options?: CallOptions): Promise<void>

  /**
   * Like the global `fetch`, with the access token for requests to the server's origin. Relative URLs count from `baseUrl`. What
   * has an Authorization header, or goes elsewhere, is sent as it is; so is everything while nobody is signed in.
   *
   * Where the answer is 401, the token is refreshed and the request sent once more, if its body can be: a text, a form, a
   * Blob or bytes, and not a stream.
   *
   * @throws AuthError `network`, `refused` or a code of the server, where the access token has ended and could not be
   *   refreshed for 10 s; `signed-out` where the session ended meanwhile; whatever `fetch` throws
   */
  fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

  /**
   * A good access token, for a WebSocket, say; `null` where nobody is signed in or a cookie holds it.
   * @throws AuthError as `fetch` does
   */
  getAccessToken(options?: CallOptions): Promise<string | null>

  /** Calls back at each change of {@link state}. @returns What ends that. */
  subscribe(listener: (state: AuthState) => void): () => void

  /** Lets go of timers, requests and other tabs. Nobody is signed out; calls reject from now on. */
  dispose(): void
}
