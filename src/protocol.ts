/**
 * Contract between the server and the client: paths, headers, response bodies and error codes.
 *
 * @module
 */

/** Paths of the routes that the client calls, relative to `prefix`. */
export const clientPaths = {
  /** Opens a session by user name or e-mail address, and password. */
  login: '/login',
  /** Rotates the refresh token. */
  refresh: '/refresh',
  /** Verifies the password of the signed-in user again (step-up). */
  elevate: '/elevate',
  /** Revokes the session of the request. */
  logout: '/logout',
  /** Revokes all sessions of the user. */
  logoutAll: '/logout/all',
  /** Lists the sessions of the user. */
  sessions: '/sessions',
  /** Revokes all sessions of the user except the one of the request. */
  otherSessions: '/sessions',
  /** Revokes one session of the user. */
  session: '/sessions/:id'
} as const

/** Default paths of all routes. */
export const defaultPaths = /* @__PURE__ */ Object.assign(
  {},
  clientPaths,
  {
    /** Returns the signed-in user. */
    me: '/me',
    // The three OAuth endpoints exist only with the `oauth` option.
    /** OAuth token endpoint (RFC 6749, section 3.2). */
    token: '/token',
    /** OAuth revocation endpoint (RFC 7009). */
    revoke: '/revoke',
    /** OAuth introspection endpoint (RFC 7662). */
    introspect: '/introspect',
    /** Data for services that verify tokens. Exists only with an OAuth client that has `sync`. */
    sync: '/sync',
    /** Public keys. Not below the prefix: other services look for them at this path (RFC 8615). */
    jwks: '/.well-known/jwks.json',
    /** OAuth metadata. Not below the prefix, but before the issuer's path (RFC 8414, section 3). */
    metadata: '/.well-known/oauth-authorization-server'
  } as const
)

/** Paths of the routes that `accountFlows` adds, relative to `prefix`. */
export const accountPaths = {
  /** Sends a link that verifies the e-mail address. */
  emailVerification: '/email/verification',
  /** Verifies the e-mail address by the token of the link. */
  verifyEmail: '/email/verify',
  /** Sends a link that sets a new password. */
  forgotPassword: '/password/forgot',
  /** Sets a new password by the token of the link. */
  resetPassword: '/password/reset',
  /** Changes the password of the signed-in user. */
  changePassword: '/password/change',
  /** Sends a link that signs in. */
  signInLink: '/sign-in/link',
  /** Sends a code that signs in. */
  signInCode: '/sign-in/code',
  /** Signs in by the token of the link, or by the code. */
  redeemSignIn: '/sign-in/redeem',
  /** Completes a login that requires a second factor. */
  secondFactor: '/login/second'
} as const

/**
 * Name of a route that `accountFlows` adds: `emailVerification`, `verifyEmail`, `forgotPassword`,
 * `resetPassword`, `changePassword`, `signInLink`, `signInCode`, `redeemSignIn` or `secondFactor`.
 */
export type AccountRouteName = keyof typeof accountPaths

/** Response body of the route that requests a code. Send `challenge` with the code. */
export interface CodeChallengeResponse {
  /** Binds the code to the client that requested it. */
  readonly challenge: string
  /** Lifetime of the code in seconds. */
  readonly expires_in: number
}

/** Additional members of the body of the error `AUTH_SECOND_FACTOR_REQUIRED`. */
export interface SecondFactorResponse {
  /** Send it with a code to `login/second`. Missing in a response to `elevate`. */
  readonly ticket?: string
  /** Methods that the user can choose from, such as `totp` and `recovery`. */
  readonly methods: readonly string[]
}

/**
 * Name of a route, as used in the `routes` option: `login`, `refresh`, `elevate`, `logout`,
 * `logoutAll`, `sessions`, `otherSessions`, `session`, `me`, `token`, `revoke`, `introspect`,
 * `sync`, `jwks` or `metadata`.
 */
export type RouteName = keyof typeof defaultPaths

/**
 * Header that names how the refresh token travels.
 *
 * In a request, the value `cookie` asks a server with `transport: 'both'` for a cookie. The header
 * also protects against CSRF: browsers preflight each cross-origin request that has it (Fetch
 * standard). In a response, the value `cookie` says that a cookie carries the refresh token, which
 * scripts cannot see. The value `none` says that the server issues no refresh tokens.
 */
export const transportHeader = 'x-token-transport'

/**
 * Response header with the next access token.
 *
 * Sent if the access token of the request expires soon (`accessToken.renewWithin`).
 */
export const newTokenHeader = 'x-new-token'

/**
 * Response header with the code of an error.
 *
 * A client reads it if the app has an error handler with a body of its own. The OAuth endpoints do
 * not send it.
 */
export const errorHeader = 'x-auth-error'

/**
 * Subprotocol that a client offers before its access token, in the handshake of a WebSocket.
 *
 * A page cannot add headers to the handshake, and a URL must not contain a token.
 */
export const tokenSubprotocol = 'bearer.fastify-token-auth'

/** Code with which a server closes a WebSocket whose token is no longer accepted. */
export const tokenCloseCode = 4401

/**
 * Response headers that a client reads.
 *
 * CORS must expose them, so that pages of other origins can read them. The plugin exposes those
 * that it sends, but not those of a proxy or of another plugin, such as `Retry-After` of a rate
 * limiter.
 *
 * @example
 * ```ts
 * import cors from '@fastify/cors'
 * import { exposedHeaders } from 'fastify-token-auth'
 *
 * await app.register(cors, { origin: ['https://app.example.org'], exposedHeaders })
 * ```
 */
// Frozen, because all apps of a process share it. Typed as mutable, because @fastify/cors is.
export const exposedHeaders: string[] = /* @__PURE__ */ Object.freeze([
  'X-Auth-Error',
  'X-New-Token',
  'X-Token-Transport',
  'Retry-After',
  'DPoP-Nonce',
  'WWW-Authenticate'
]) as string[]

/** Response body of login and refresh (RFC 6749, section 5.1), with the user. */
export interface TokenResponse<User extends object = object> {
  /** Access token, a JWT. Send it in the `Authorization` header. */
  readonly access_token: string
  /**
   * Refresh token. Missing if a cookie carries it, if it is unchanged (`rotation: false`), or if
   * there are no refresh tokens.
   */
  readonly refresh_token?: string
  /**
   * Token for the next login, which proves that the user has logged in on this device before.
   *
   * Failed logins of an attacker then do not lock this device out. It does not sign anyone in.
   * Present only after a login, and only if no cookie carries it.
   */
  readonly device_token?: string
  /** `DPoP` if the tokens are bound to a key (RFC 9449, section 5). */
  readonly token_type: 'bearer' | 'DPoP'
  /** Lifetime of the access token in seconds. */
  readonly expires_in: number
  /** The user, as `users.present` returns it. */
  readonly user: User
}

/** Response body of login and refresh if cookies carry all tokens. */
export type CookieResponse<User extends object = object> = Omit<
  TokenResponse<User>,
  'access_token' | 'refresh_token' | 'device_token'
>

/** Response body of the route that lists the sessions of a user. */
export interface SessionListResponse {
  /** Live sessions, the newest first. */
  readonly sessions: readonly SessionResponse[]
}

/** One session of a user. Times are ISO 8601 strings in UTC. */
export interface SessionResponse {
  /** ID of the session, for the route that revokes one session. */
  readonly id: string
  /** Whether the request was sent with this session. */
  readonly current: boolean
  /** Label of the device; `null` if the client gave none. */
  readonly device: string | null
  /** IP address of the login; `null` if unknown. */
  readonly ip: string | null
  /** `User-Agent` header of the login; `null` if it was missing. */
  readonly user_agent: string | null
  /** Moment of the login. */
  readonly created_at: string
  /** Moment of the last refresh, or of the login. */
  readonly last_used_at: string
  /** End of the idle lifetime. Every refresh moves it forward. */
  readonly expires_at: string
}

/** Member `code` of an error response. Clients may rely on it; messages may change. */
export type ErrorCode =
  | 'AUTH_REQUEST_INVALID'
  | 'AUTH_CREDENTIALS_REJECTED'
  | 'AUTH_PASSWORD_REJECTED'
  | 'AUTH_SECOND_FACTOR_REQUIRED'
  | 'AUTH_SECOND_FACTOR_REJECTED'
  | 'AUTH_REFRESH_MISSING'
  | 'AUTH_REFRESH_INVALID'
  | 'AUTH_REFRESH_EXPIRED'
  | 'AUTH_REFRESH_REVOKED'
  | 'AUTH_REFRESH_REUSED'
  | 'AUTH_ACCESS_MISSING'
  | 'AUTH_ACCESS_EXPIRED'
  | 'AUTH_ACCESS_INVALID'
  | 'AUTH_SESSION_REVOKED'
  | 'AUTH_CLIENT_REJECTED'
  | 'AUTH_DPOP_INVALID'
  | 'AUTH_DPOP_NONCE'
  | 'AUTH_ORIGIN_REJECTED'
  | 'AUTH_CLAIMS_INSUFFICIENT'
  | 'AUTH_REAUTHENTICATION_REQUIRED'
  | 'AUTH_ONE_TIME_INVALID'
  | 'AUTH_ONE_TIME_EXPIRED'
  | 'AUTH_ONE_TIME_USED'
  | 'AUTH_TOO_MANY_ATTEMPTS'
  | 'AUTH_NOT_REGISTERED'
  | 'AUTH_STORE_UNAVAILABLE'
  | 'AUTH_BUSY'
  | 'AUTH_KEYS_UNAVAILABLE'
