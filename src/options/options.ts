// The options, documented where they are typed.

import type { CookieOptions } from './transport.js'
import type { KeyInput } from '../tokens/keys.js'
import type { Duration } from '../lib/duration.js'
import type { DpopOptions, OAuthOptions } from './oauth.js'
import type { PasswordOptions } from './passwords.js'
import type { RouteName } from '../protocol.js'
import type { TokenAuthListeners } from '../events.js'
import type { RevocationSubscriber } from '../revocations/feed.js'
import type { IsSameClient } from '../sessions/replay-monitor.js'
import type { Users } from '../sessions/users.js'
import type { TokenStore } from '../stores/token-store.js'
import type { ThrottleOptions } from './throttle.js'
import type { Millis } from '../lib/time.js'

/** A secret of at least 32 bytes, or the current one followed by previous ones that are still accepted. */
export type Secret =
  | string
  | Uint8Array
  | readonly [string | Uint8Array, ...Array<string | Uint8Array>]

export interface TokenAuthOptions {
  /**
   * What all signing keys are derived from (HKDF, RFC 5869): 32 random bytes or more, such as `openssl rand -base64 48` prints.
   * Whoever knows it can write access tokens. To change it, first let every instance know the new one (`[old, new]`), then
   * put it first (`[new, old]`), and take the old one away when `refreshToken.lifetime` has passed. `undefined` is refused at
   * start: it may stand for a variable of the environment.
   */
  readonly secret: Secret | undefined

  /** Where sessions are kept. There is no default: a store that forgets at a restart must be chosen. */
  readonly store: TokenStore

  /** Where users come from. */
  readonly users: Users

  /**
   * Tells two registrations in one app apart: it enters the keys, so that neither accepts the other's tokens, and it is the
   * `realm` of challenges. Letters, digits, `-` and `_`. Changing it signs everybody out.
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Path before the routes; `''` for none.
   * @default '/auth'
   */
  readonly prefix?: string

  /**
   * Another path for a route, below the prefix (but for `jwks` and `metadata`), or `false` for none.
   * @default { login: '/login', refresh: '/refresh', logout: '/logout', logoutAll: '/logout/all', sessions: '/sessions',
   *   otherSessions: '/sessions', session: '/sessions/:id', me: '/me', token: '/token', revoke: '/revoke',
   *   introspect: '/introspect', jwks: '/.well-known/jwks.json', metadata: '/.well-known/oauth-authorization-server' }
   */
  readonly routes?: { readonly [Name in RouteName]?: string | false }

  /**
   * Keys for access tokens in place of `secret`: the first one signs, all of them verify. PEM, JWK or KeyObject; Ed25519 is
   * EdDSA, P-256 is ES256, RSA is RS256 unless `alg` says PS256. `openssl genpkey -algorithm ed25519` makes one. With key pairs
   * others can verify: the public parts are at `routes.jwks` (RFC 7517), each token has a `jti`, and `issuer` and `audience` are
   * required (RFC 9068). Two registrations with keys need two `routes.jwks`, and two audiences where they share a key. To change
   * keys while the app runs, see `app.tokenAuth.rotateKeys`.
   * @default HS256, derived from `secret`
   */
  readonly keys?: readonly [KeyInput, ...KeyInput[]]

  /**
   * The `iss` claim of access tokens (RFC 7519 section 4.1.1). Once set, tokens without it are refused. With `oauth` it is an
   * address by https, beneath which the metadata is found (RFC 8414 section 3).
   * @default none
   */
  readonly issuer?: string

  /**
   * The `aud` claim of access tokens (RFC 7519 section 4.1.3). Once set, tokens without it are refused.
   * @default none; with `oauth`, the issuer
   */
  readonly audience?: string

  /**
   * Whether a refresh replaces the refresh token. Without rotation a stolen refresh token is good until its session ends, and
   * nobody notices; and a session ends `refreshToken.lifetime` after its login, however often it is refreshed.
   * @default true
   */
  readonly rotation?: boolean

  readonly accessToken?: {
    /**
     * How long an access token is good, in whole seconds. Other processes accept the token of a session that was ended
     * here until then.
     * @default '15m'
     */
    readonly lifetime?: Duration
    /**
     * An authenticated request whose access token ends within that time is answered with the next one, in the header
     * `X-New-Token` (or in the cookie that it came from), as long as its session lives. For clients that do not refresh by
     * themselves. The session and its user are looked up inside that window alone. At most half of `lifetime`.
     * @default none
     */
    readonly renewWithin?: Duration
    /**
     * Another secret for access tokens than `secret`.
     * @default derived from `secret`
     */
    readonly secret?: Secret
    /**
     * How many verified access tokens are remembered, about 1 kB each. A remembered token is checked in a microsecond,
     * another one in ten or more.
     * @default 10_000
     */
    readonly cacheSize?: number
  }

  /** `false`: there are no refresh tokens, and a session ends with its first access token. */
  readonly refreshToken?: {
    /**
     * How a refresh token travels: in JSON, in a cookie that no script can read, or as each client asks at login, by the header
     * `X-Token-Transport: cookie`. With cookies, {@link TokenAuthOptions.cookie} says the rest.
     * @default 'body'
     */
    readonly transport?: 'body' | 'cookie' | 'both'
    /**
     * How long a refresh token is good that nobody uses. Each rotation begins it anew.
     * @default '7d'
     */
    readonly lifetime?: Duration
    /**
     * How long a session lasts at most, however often it is refreshed.
     * @default '30d'
     */
    readonly maxLifetime?: Duration
    /**
     * How long a token that was just rotated is answered with the same successor, whatever was seen since: two tabs, a
     * retry. Whoever steals a token can replay it that long unnoticed. `0` is allowed, and two minutes at most. Clocks
     * of instances must agree within half of it.
     * @default '10s'
     */
    readonly grace?: Duration
    /**
     * What proves that a client has received a refresh token, so that the one before is dead. `'refresh'` is for servers that
     * refresh on behalf of a browser: they may use an access token whose refresh token never reached the browser.
     * @default 'access'
     */
    readonly confirmBy?: 'access' | 'refresh'
    /**
     * What to do about a thief who presents each refresh token a moment after the client has, inside the grace: `'report'` emits
     * the event `suspicious-replay` where three generations running were replayed from another context than the one that rotated them;
     * `'end'` ends the session too. Each instance looks at what comes to it. Not where your server refreshes on behalf of
     * browsers that refresh by themselves too.
     * @default false
     */
    readonly replayDetection?: 'report' | 'revoke' | false
    /**
     * Whether two requests may well come from one client, for `shadows`.
     * @default the same user agent, or the same network: an IPv4 address, or an IPv6 /64
     */
    readonly isSameClient?: IsSameClient
    /**
     * Another secret for refresh tokens than `secret`.
     * @default derived from `secret`
     */
    readonly secret?: Secret
  } | false

  /** The cookies of `transport: 'cookie'` and `'both'`. */
  readonly cookie?: CookieOptions

  /**
   * Routes for stock OAuth clients, beside the others: `token` (refresh alone, RFC 6749 section 6), `revoke` (RFC 7009),
   * `introspect` (RFC 7662) and `metadata` (RFC 8414). Then every access token has a `client_id` (RFC 9068): that of its client,
   * or `name`. Needs `issuer`; others can verify access tokens only with `keys`.
   * @default none of it
   */
  readonly oauth?: OAuthOptions

  /**
   * Proofs of possession (DPoP, RFC 9449): a login that comes with one binds its session to the client's key. Its tokens are then
   * worth nothing without that key: who has copied them neither gets in nor ends the session. Behind a proxy it takes
   * `trustProxy`, or `publicUrl`, to know which address the client has asked.
   * @default off: tokens that are bound are refused
   */
  readonly dpop?: DpopOptions | boolean

  /**
   * What stands before the paths of this app for its clients, such as `'https://example.org/api'`: where a proxy changes paths,
   * or where clients prove themselves to other servers too, one of which could pass that on with a `Host` of its choice.
   * @default for metadata the origin of `issuer`, for proofs what the request says
   */
  readonly publicUrl?: string

  /** How passwords are hashed, and what new ones must be. */
  readonly passwords?: PasswordOptions

  /**
   * How often a login may be wrong before it has to wait; `false` where something else keeps guessing slow.
   * @default 10 failures running of an account, then growing waits, and a stop after 100; 100 failures in 15m of an address
   */
  readonly throttle?: ThrottleOptions | false

  /**
   * How many live sessions a user may have, from 1 to 100: one login more ends the oldest. It costs a login a look at the others.
   * @default no limit
   */
  readonly maxSessions?: number

  /**
   * How long the store, or a callback of `users`, may take before the answer is 503.
   * @default '5s'
   */
  readonly storeTimeout?: Duration

  /**
   * How often ended sessions are deleted, give or take a tenth; `false` where something else calls
   * `app.tokenAuth.sweep()`. They stay for the life of an access token and an hour more, since a clock may be wrong.
   * @default { every: '1h' }
   */
  readonly sweep?: { readonly interval?: Duration } | false

  /**
   * How sessions that other instances end become known to this one, so that their access tokens are refused here; `false` where
   * there is only one instance. The first read happens before the app is ready.
   */
  readonly revocations?: {
    /**
     * How often the store is asked. A logout is known everywhere after that long.
     * @default '1s'
     */
    readonly pollInterval?: Duration
    /**
     * Once the store could not be asked for that long, `authenticate` answers 503 instead of accepting tokens that may have been
     * revoked elsewhere.
     * @default never
     */
    readonly failAfter?: Duration
    /**
     * A push of the store that asks sooner, such as `listenForRevocations(client)` of the PostgreSQL store. Only a hint: what it
     * misses is found by the next poll.
     * @default none
     */
    readonly subscribe?: RevocationSubscriber
  } | false

  /** Called when something happens; see {@link TokenAuthListeners}. */
  readonly on?: TokenAuthListeners

  /**
   * Stands in for the time everywhere (tokens, sessions, sweep), so that tests and simulations need not wait. Milliseconds.
   * @default Date.now
   */
  readonly clock?: () => Millis
}
