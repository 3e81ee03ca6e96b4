import type { TokenAuthListeners } from '../events.js'
import type { Duration } from '../lib/duration.js'
import { DAY, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { dpopShape } from '../options/dpop.js'
import type { DpopOptions } from '../options/dpop.js'
import { resolveListeners } from '../options/listeners.js'
import { createDecoratorsCheck, decoratorShape, protectShape } from '../options/protection.js'
import type { DecoratorNames, ProtectOptions } from '../options/protection.js'
import { assertSecret } from '../options/signing.js'
import {
  assert,
  callable,
  duration,
  group,
  groupOrBoolean,
  hasCredentials,
  integer,
  isSecureUrl,
  optional,
  resolveName,
  resolvePublicUrl,
  resolveShape
} from '../options/validate.js'
import type { Resolved, Shape } from '../options/validate.js'
import type { KeyAlgorithm } from '../tokens/signatures.js'

/** A signature algorithm with public keys. Secrets are excluded (RFC 8725, section 3.1). */
export type PublicAlgorithm = Extract<KeyAlgorithm, 'EdDSA' | 'ES256' | 'PS256' | 'RS256'>

/** Options for tokens that are bound to a key of the client (DPoP, RFC 9449). */
export interface VerifierDpopOptions extends DpopOptions {
  /**
   * Whether a token that is not bound to a key is rejected.
   *
   * @default false
   */
  readonly required?: boolean

  /**
   * Secret of at least 32 random bytes, from which nonces are derived.
   *
   * All instances of the service must share it: a per-instance secret would reject the nonces
   * that other instances issued. Without it, proofs need no nonce.
   *
   * @default `introspection.clientSecret`
   */
  readonly secret?: string | Uint8Array
}

/** Options for introspection at the issuer (RFC 7662). */
export interface IntrospectionOptions {
  /**
   * URL of the issuer's route `introspect`.
   *
   * Must be https, or http for localhost. Redirects are not followed.
   *
   * @example
   * ```ts
   * uri: 'https://auth.example.org/auth/introspect'
   * ```
   */
  readonly uri: string | URL

  /** The `clientId` of one of the issuer's `oauth.clients`, which must have a secret. */
  readonly clientId: string

  /** The `clientSecret` of this client. */
  readonly clientSecret: string

  /**
   * Time that a result is cached. At most 1 minute; `0` sends a request for every token.
   *
   * A revoked session stays accepted for this long. A shorter time sends more requests.
   *
   * @default '10s'
   */
  readonly maxAge?: Duration
}

/** Options for the exchange with the issuer's route `sync`. */
export interface SyncOptions {
  /**
   * URL of the issuer's route `sync`.
   *
   * Must be https, or http for localhost. Redirects are not followed.
   *
   * @example
   * ```ts
   * uri: 'https://auth.example.org/auth/sync'
   * ```
   */
  readonly uri: string | URL

  /** The `clientId` of one of the issuer's `oauth.clients`, which must have `sync: true`. */
  readonly clientId: string

  /** The `clientSecret` of this client. */
  readonly clientSecret: string

  /**
   * Time without a response of the issuer after which protected routes respond with 503.
   *
   * Without it, a service that does not reach its issuer accepts revoked tokens until they expire.
   * At least 2 s, and at least `timeout`.
   *
   * @default no limit
   */
  readonly failAfter?: Duration
}

/**
 * Options of `tokenVerifier`. `issuer`, `audience` and either `jwksUri` or `introspection` are
 * required.
 *
 * An invalid or unknown option throws a `TypeError` at startup.
 *
 * @example
 * ```ts
 * import { tokenVerifier } from 'fastify-token-auth/verifier'
 *
 * await app.register(tokenVerifier, {
 *   jwksUri: 'https://auth.example.org/.well-known/jwks.json',
 *   issuer: 'https://auth.example.org',
 *   audience: 'https://api.example.org'
 * })
 * ```
 */
export interface TokenVerifierOptions extends ProtectOptions {
  /**
   * URL of the issuer's public keys (RFC 7517). Cannot be combined with `introspection`.
   *
   * Must be https, or http for localhost. Redirects are not followed.
   *
   * @example
   * ```ts
   * jwksUri: 'https://auth.example.org/.well-known/jwks.json'
   * ```
   */
  readonly jwksUri?: string | URL

  /**
   * Verifies tokens with a request to the issuer instead of its public keys.
   *
   * It is slower, but rejects revoked sessions after `introspection.maxAge`. The issuer needs the
   * option `oauth`, but not the option `keys`.
   *
   * @example
   * ```ts
   * introspection: { uri: 'https://auth.example.org/auth/introspect', clientId, clientSecret }
   * ```
   */
  readonly introspection?: IntrospectionOptions

  /**
   * Exchanges accepted tokens for revocations with the issuer, once a second and in one request.
   *
   * The service rejects a revoked session within about 1.5 s, without a request per token. The
   * issuer learns which tokens were used here, so that it detects a stolen refresh token. Requires
   * `jwksUri`, and at the issuer an OAuth client with `sync: true`.
   *
   * Protected routes respond with 503 (`AUTH_STORE_UNAVAILABLE`) until the first exchange has
   * succeeded. The app starts without its issuer, and then keeps trying.
   *
   * @default no exchange: a token stays valid until it expires
   * @example
   * ```ts
   * sync: { uri: 'https://auth.example.org/auth/sync', clientId, clientSecret }
   * ```
   */
  readonly sync?: SyncOptions

  /**
   * Accepts tokens that are bound to a key if the request has a DPoP proof (RFC 9449).
   *
   * Behind a proxy, set `trustProxy` or `publicUrl`, because a proof contains the URL of its
   * request.
   *
   * @default false, which rejects tokens that are bound to a key
   * @example
   * ```ts
   * dpop: { required: true, secret: nonceSecret }
   * ```
   */
  readonly dpop?: VerifierDpopOptions | boolean

  /**
   * URL in front of the paths of this app as its clients see it, for example
   * `'https://example.org/api'`.
   *
   * Set it if a proxy changes paths. DPoP proofs are checked against it. With `dpop` and without
   * it, a warning is logged at startup: proofs are then checked against the `Host` header.
   *
   * @default the URL of the request
   */
  readonly publicUrl?: string

  /**
   * The `iss` claim of accepted tokens, or a list of accepted ones. Set it to the issuer's option
   * `issuer`.
   *
   * Before the issuer changes its option, accept both values here: otherwise tokens with the new
   * one are rejected.
   *
   * @example
   * ```ts
   * issuer: ['https://auth.example.org', 'https://example.org']
   * ```
   */
  readonly issuer: string | readonly [string, ...string[]]

  /**
   * An `aud` claim of accepted tokens, or a list of accepted ones. Set it to the issuer's option
   * `audience`.
   *
   * @example
   * ```ts
   * audience: 'https://api.example.org'
   * ```
   */
  readonly audience: string | readonly [string, ...string[]]

  /**
   * The `realm` of challenges. Letters, digits, `-` and `_`.
   *
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Accepted signature algorithms. Keys for other algorithms are ignored.
   *
   * @default ['EdDSA', 'ES256', 'PS256', 'RS256']
   * @example
   * ```ts
   * algorithms: ['EdDSA']
   * ```
   */
  readonly algorithms?: readonly [PublicAlgorithm, ...PublicAlgorithm[]]

  /**
   * Maximum number of verified tokens to cache (about 1 kB each).
   *
   * A hit takes about 1 µs. A miss takes about 300 µs with public keys. At least 2.
   *
   * @default 10_000
   */
  readonly cacheSize?: number

  /**
   * Timeout of a request to the issuer, also of an exchange of `sync`. At most 1 minute.
   *
   * Requests that wait for the issuer then fail with 503.
   *
   * @default '5s'
   */
  readonly timeout?: Duration

  /**
   * Minimum time between two reads of the key set. From 1 s to `maxAge`.
   *
   * Limits the requests that tokens with unknown keys cause. Such a token gets 401 in this time,
   * so a longer time delays the acceptance of a new key.
   *
   * @default '30s'
   */
  readonly cooldown?: Duration

  /**
   * Time that a key set is valid, from the arrival of the response. From twice `timeout` to 1 day.
   *
   * A key that the issuer removed stays accepted for this long, and for as long as HTTP caches
   * keep the set. The set is read again in the background after half of this time. If it is older
   * and the issuer is unavailable, responses are 503. If the system clock is set back to before the
   * last read, the set counts as older.
   *
   * @default '10m'
   */
  readonly maxAge?: Duration

  /**
   * Other names for the decorators of the instance, or `false` to omit one.
   *
   * For an app that has a decorator of the same name. The exported hooks work without decorators.
   * In TypeScript, declare a new name in `interface FastifyInstance`.
   *
   * @default { authenticate: 'authenticate', requireClaims: 'requireClaims',
   *   requireFresh: 'requireFresh' }
   * @example
   * ```ts
   * decorators: { authenticate: 'requireToken' } // app.authenticate remains the app's own
   * ```
   */
  readonly decorators?: DecoratorNames

  /**
   * Event listeners, such as `session-ended`, `revocations-stalled` and `clock-skew` with `sync`,
   * and `sweep` with `dpop`. See {@link TokenAuthListeners}.
   *
   * @default no listeners
   * @example
   * ```ts
   * on: { 'session-ended': ({ sessionId }) => closeSockets(sessionId) }
   * ```
   */
  readonly on?: TokenAuthListeners

  /**
   * Returns the current time in milliseconds, for tests.
   *
   * Tokens and DPoP proofs expire by this clock. The age of the key set follows the system clock
   * (`Date.now`) instead: mock it too, for example with `mock.timers` of `node:test`.
   *
   * @default Date.now; with `sync`, the clock of the issuer's store
   * @example
   * ```ts
   * clock: () => now
   * ```
   */
  readonly clock?: () => Millis
}

const ALGORITHMS: readonly PublicAlgorithm[] = ['EdDSA', 'ES256', 'PS256', 'RS256']
const KEY_OPTIONS = ['jwksUri', 'sync', 'algorithms', 'cooldown', 'maxAge'] as const
const CLIENT_FIX = 'set it to that of one of the issuer\'s "oauth.clients"'

const introspectionShape = {
  uri: createUrlCheck(
    'the URL of the issuer\'s route, such as "https://auth.example.org/auth/introspect"'
  ),
  clientId: createIssuerValueCheck(CLIENT_FIX),
  clientSecret: createIssuerValueCheck(CLIENT_FIX),
  maxAge: duration({ max: MINUTE, fallback: '10s' })
} satisfies Shape<IntrospectionOptions>

const syncShape = {
  uri: createUrlCheck(
    'the URL of the issuer\'s route, such as "https://auth.example.org/auth/sync"'
  ),
  clientId: createIssuerValueCheck(CLIENT_FIX),
  clientSecret: createIssuerValueCheck(CLIENT_FIX),
  failAfter: optional(duration({ min: 2 * SECOND }))
} satisfies Shape<SyncOptions>

const verifierDpopShape = {
  ...dpopShape,
  secret: resolveNonceSecret
} satisfies Shape<VerifierDpopOptions>

const verifierShape = {
  jwksUri: optional(
    createUrlCheck(
      'the URL of the issuer\'s keys, such as "https://auth.example.org/.well-known/jwks.json"'
    )
  ),
  introspection: optional(group(introspectionShape)),
  sync: optional(group(syncShape)),
  dpop: groupOrBoolean(verifierDpopShape),
  publicUrl: optional(resolvePublicUrl),
  issuer: createListCheck('set it to the option "issuer" of the issuer'),
  audience: createListCheck('set it to the option "audience" of the issuer'),
  name: resolveName,
  algorithms: resolveAlgorithms,
  cacheSize: integer({ min: 2, fallback: 10_000 }),
  timeout: duration({ min: 1, max: MINUTE, fallback: '5s' }),
  cooldown: duration({ min: SECOND, fallback: '30s' }),
  maxAge: duration({ max: DAY, fallback: '10m' }),
  on: resolveListeners,
  clock: optional(callable<() => Millis>('returns milliseconds')),
  ...protectShape,
  decorators: createDecoratorsCheck(group(decoratorShape))
} satisfies Shape<TokenVerifierOptions>

/** Source that tokens are verified against. */
export type Source =
  | {
    readonly kind: 'keys'
    readonly uri: URL
    readonly algorithms: ReadonlySet<string>
    readonly cooldown: Millis
    readonly maxAge: Millis
  }
  | { readonly kind: 'introspection' } & Resolved<typeof introspectionShape>

/** Checked options for the exchange with the issuer. */
export type ResolvedSync = Resolved<typeof syncShape>

/** Checked options of `tokenVerifier` with defaults. */
export type ResolvedVerifier = ReturnType<typeof resolveVerifier>

/**
 * Checks the options of `tokenVerifier` and adds the defaults.
 *
 * @throws TypeError if an option is invalid or unknown, or contradicts another one.
 */
export function resolveVerifier (given: TokenVerifierOptions) {
  const options = resolveShape(verifierShape, given)
  const { issuer: issuers, audience: audiences, name, cacheSize, timeout, dpop, sync } = options
  assert(
    sync?.failAfter == null || sync.failAfter >= timeout,
    '"sync.failAfter" must be at least "timeout" (5s by default)'
  )

  return {
    source: resolveSource(options, given),
    issuers,
    audiences,
    name,
    cacheSize,
    timeout,
    /** `null` for the clock of this instance or, with `sync`, of the issuer's store. */
    clock: options.clock,
    /** `null` if revoked tokens are accepted until they expire. */
    sync,
    on: options.on,
    /** `null` if tokens that are bound to a key are rejected. */
    dpop,
    /** `null` if the scope is not protected as a whole. */
    protection: options.protect,
    decorators: options.decorators,
    publicUrl: options.publicUrl ?? undefined
  }
}

function resolveSource (
  options: Resolved<typeof verifierShape>,
  given: TokenVerifierOptions
): Source {
  const { introspection, jwksUri: uri, algorithms, cooldown, maxAge, timeout } = options

  if (introspection !== null) {
    const conflict = KEY_OPTIONS.find(name => given[name] !== undefined)
    assert(
      conflict === undefined,
      `"introspection" cannot be combined with "${conflict ?? ''}"; remove one of them`
    )
    return { kind: 'introspection', ...introspection }
  }

  assert(maxAge >= 2 * timeout, '"maxAge" must be at least twice "timeout" (5s by default)')
  assert(cooldown <= maxAge, '"cooldown" must be at most "maxAge" (10m by default)')
  assert(uri !== null, '"jwksUri" or "introspection" is required; set one of them')
  return { kind: 'keys', uri, algorithms, cooldown, maxAge }
}

function resolveAlgorithms (value: unknown = ALGORITHMS, path: string): ReadonlySet<string> {
  assert(
    Array.isArray(value) && value.length > 0 && value.every(alg => ALGORITHMS.includes(alg)),
    `"${path}" must be a non-empty array of ${ALGORITHMS.map(alg => `"${alg}"`).join(', ')}`
  )
  return new Set(value)
}

function resolveNonceSecret (value: unknown, path: string): string | Uint8Array | undefined {
  if (value === undefined) {
    return undefined
  }

  assertSecret(value, path)
  return value
}

/** Creates a check for a string that must equal an option of the issuer. */
function createIssuerValueCheck (fix: string): (value: unknown, path: string) => string {
  return (value, path) => {
    assert(
      typeof value === 'string' && value !== '',
      `"${path}" must be a non-empty string; ${fix}`
    )
    return value
  }
}

/** Creates a check for a string like that of {@link createIssuerValueCheck}, or a list of them. */
function createListCheck (fix: string): (value: unknown, path: string) => [string, ...string[]] {
  const check = createIssuerValueCheck(fix)

  return (value, path) => {
    if (!Array.isArray(value)) {
      return [check(value, path)]
    }

    assert(value.length > 0, `"${path}" must be a non-empty string or a list of them; ${fix}`)
    return value.map((entry, i) => check(entry, `${path}[${i}]`)) as [string, ...string[]]
  }
}

/** @param meaning - Completes "must be ...". */
function createUrlCheck (meaning: string): (value: unknown, path: string) => URL {
  return (value, path) => {
    assert(
      value instanceof URL || (typeof value === 'string' && URL.canParse(value)),
      `"${path}" must be ${meaning}`
    )
    const url = new URL(value)
    assert(
      isSecureUrl(url),
      `"${path}" must be https, because an attacker on the network could forge the response; ` +
        'http works for localhost only'
    )
    assert(!hasCredentials(url), `"${path}" must not contain a user name or a password`)
    return url
  }
}
