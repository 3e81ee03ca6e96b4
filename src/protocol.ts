// What crosses the wire, for the server and for the client: paths, answers, error codes. Imports nothing.

/** The routes that the client asks, below the prefix. */
export const clientPaths = {
  login: '/login',
  refresh: '/refresh',
  logout: '/logout',
  logoutAll: '/logout/all',
  sessions: '/sessions',
  otherSessions: '/sessions',
  session: '/sessions/:id'
} as const

/** All routes. */
export const defaultPaths = /* @__PURE__ */ Object.assign(
  {},
  clientPaths,
  {
    me: '/me',
    /** With `oauth`: these three as stock OAuth clients ask them. */
    token: '/token',
    revoke: '/revoke',
    introspect: '/introspect',
    /** Not below the prefix, since others look for it here (RFC 8615). */
    jwks: '/.well-known/jwks.json',
    /** Likewise, and with the path of the issuer behind it (RFC 8414 section 3). */
    metadata: '/.well-known/oauth-authorization-server'
  } as const
)

export type RouteName = keyof typeof defaultPaths

/**
 * A client that sends this header with `cookie` is given its refresh token in a cookie, where the server has `transport: 'both'`.
 * To send it at all proves that no page of another origin has made a browser send the request (Fetch standard: such a
 * request is preflighted).
 */
export const transportHeader = 'x-token-transport'

/** Holds the next access token, where the one of the request is about to end (`accessToken.renewWithin`). */
export const newTokenHeader = 'x-new-token'

/** The answer of login and refresh (RFC 6749 section 5.1, and who it is about). */
export interface TokenResponse {
  readonly access_token: string
  /** Absent where a cookie holds it, or where it stays as it was (`rotation: false`). */
  readonly refresh_token?: string
  /**
   * With a login alone, where no cookie holds it: sent along with the next one, it proves that its user has logged in on this
   * device before, so that strangers who guess the password do not keep it out. Signs nobody in.
   */
  readonly device_token?: string
  /** `DPoP` where the tokens are bound to the key of a proof (RFC 9449 section 5). */
  readonly token_type: 'bearer' | 'DPoP'
  /** Seconds that the access token is good for. */
  readonly expires_in: number
  readonly user: object
}

/** The same where a cookie holds the access token too. */
export type CookieResponse = Omit<TokenResponse, 'access_token' | 'refresh_token' | 'device_token'>

export interface SessionListResponse {
  readonly sessions: readonly SessionResponse[]
}

/** Times are ISO 8601 texts in UTC. */
export interface SessionResponse {
  readonly id: string
  /** Whether it is the session that asks. */
  readonly current: boolean
  readonly device: string | null
  readonly ip: string | null
  readonly user_agent: string | null
  readonly created_at: string
  readonly last_used_at: string
  readonly expires_at: string
}

/** The `code` in the body of an error. */
export type ErrorCode =
  | 'AUTH_REQUEST_INVALID'
  | 'AUTH_CREDENTIALS_REJECTED'
  | 'AUTH_PASSWORD_REJECTED'
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
  | 'AUTH_TOO_MANY_ATTEMPTS'
  | 'AUTH_STORE_UNAVAILABLE'
  | 'AUTH_BUSY'
  | 'AUTH_KEYS_UNAVAILABLE'
