// The options of services that issue nothing, documented where they are typed.

import type { Duration } from '../lib/duration.js'
import type { DpopOptions, ResolvedDpop } from '../options/oauth.js'
import { isBaseUrl, isLoopback, resolveDpop } from '../options/oauth.js'
import { assert, duration, isFunction, rejectUnknownKeys } from '../options/validate.js'
import { findWeakness } from '../tokens/key-derivation.js'
import type { KeyAlgorithm } from '../tokens/signatures.js'
import { DAY, MINUTE, SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'

/** What others can verify: no secrets among them (RFC 8725 section 3.1). */
export type PublicAlgorithm = Extract<KeyAlgorithm, 'EdDSA' | 'ES256' | 'PS256' | 'RS256'>

export interface VerifierDpopOptions extends DpopOptions {
  /**
   * Whether tokens that are bound to no key are refused.
   * @default false
   */
  readonly required?: boolean
  /**
   * What nonces are made from, the same at all instances of this service: 32 random bytes or more. Where there is none, proofs
   * need no nonce.
   * @default `introspection.clientSecret`
   */
  readonly secret?: string | Uint8Array
}

export interface TokenVerifierOptions {
  /**
   * Where the issuer shows its public keys (RFC 7517), such as `'https://auth.example.org/.well-known/jwks.json'`. By https, or by
   * http on this machine; redirects are not followed. Either this or `introspection`.
   */
  readonly jwksUri?: string | URL

  /**
   * Asks the issuer about each token in place of reading its keys: slower, and a session that was ended is refused here after
   * `maxAge`. The issuer's app needs `oauth`, but no `keys`.
   */
  readonly introspection?: {
    /** Of the issuer's route `introspect`, such as `'https://auth.example.org/auth/introspect'`; as `jwksUri` otherwise. */
    readonly uri: string | URL
    /** One of the issuer's `oauth.clients`, with a secret. */
    readonly clientId: string
    readonly clientSecret: string
    /**
     * How long an answer is believed, a minute at most. `0` asks at every request.
     * @default '10s'
     */
    readonly maxAge?: Duration
  }

  /**
   * Accepts tokens that are bound to a key, with a proof of it (DPoP, RFC 9449). Behind a proxy it takes `trustProxy`, or
   * `publicUrl`, to know which address the client has asked.
   * @default off: tokens that are bound are refused
   */
  readonly dpop?: VerifierDpopOptions | boolean

  /**
   * What stands before the paths of this app for its clients, such as `'https://example.org/api'`, where a proxy changes paths.
   * @default what the request says
   */
  readonly publicUrl?: string

  /** The `iss` of its tokens, as the issuer's option `issuer` says it. */
  readonly issuer: string

  /** The `aud` of its tokens, or one of them, as the issuer's option `audience` says it. */
  readonly audience: string

  /**
   * The `realm` of challenges. Letters, digits, `-` and `_`.
   * @default 'auth'
   */
  readonly name?: string

  /**
   * Which algorithms are accepted; a key for another one is as if it were not there.
   * @default ['EdDSA', 'ES256', 'PS256', 'RS256']
   */
  readonly algorithms?: readonly [PublicAlgorithm, ...PublicAlgorithm[]]

  /**
   * How many verified tokens are remembered, about 1 kB each. A remembered token is checked at once, in a microsecond or two;
   * another one by jose, in a third of a millisecond, beside the event loop.
   * @default 10_000
   */
  readonly cacheSize?: number

  /**
   * How long the issuer may take to answer, a minute at most. Who waits for it is answered 503 then.
   * @default '5s'
   */
  readonly timeout?: Duration

  /**
   * How long after it was read the key set is not read again for a token that names a key which it does not hold: such a token is
   * 401 meanwhile. So a storm of them stays here. From a second to `maxAge`.
   * @default '30s'
   */
  readonly cooldown?: Duration

  /**
   * How long the key set is believed, a day at most. A key that the issuer has taken away is good here for that long, and for as
   * long as caches between here and there keep the set. It is read again from half of that on, with nobody waiting; once it is
   * older, and the issuer cannot be reached, all is 503.
   * @default '10m'
   */
  readonly maxAge?: Duration

  /**
   * Returns the current time in milliseconds, for tests.
   *
   * Tokens and DPoP proofs expire by this clock. The age of the key set follows the system clock
   * (`Date.now`) instead: mock it too, for example with `mock.timers` of `node:test`.
   *
   * @default Date.now
   * @example
   * ```ts
   * clock: () => now
   * ```
   */
  readonly clock?: () => Millis
}

// Checks the options of a service that issues nothing, and fills in what was left out.

/** Where it is found out whether a token is good. */
export type Source =
  | {
    readonly kind: 'keys'
    readonly uri: URL
    readonly algorithms: ReadonlySet<string>
    readonly cooldown: Millis
    readonly maxAge: Millis
  }
  | {
    readonly kind: 'introspection'
    readonly uri: URL
    readonly clientId: string
    readonly clientSecret: string
    readonly maxAge: Millis
  }

export interface ResolvedVerifier extends
  Readonly<
    Required<Pick<TokenVerifierOptions, 'issuer' | 'audience' | 'name' | 'cacheSize' | 'clock'>>
  > {
  readonly source: Source
  readonly timeout: Millis
  /** `null` where there are no proofs of possession. */
  readonly dpop: (ResolvedDpop & { readonly secret: string | Uint8Array | undefined }) | null
  readonly publicUrl: string | undefined
}

const algorithmsByDefault: readonly PublicAlgorithm[] = ['EdDSA', 'ES256', 'PS256', 'RS256']
const ofKeys = ['jwksUri', 'algorithms', 'cooldown', 'maxAge'] as const
const known = [
  ...ofKeys,
  'introspection',
  'dpop',
  'publicUrl',
  'issuer',
  'audience',
  'name',
  'cacheSize',
  'timeout',
  'clock'
]

/** @throws TypeError that names the option and the fix */
export function resolveVerifier (given: TokenVerifierOptions): ResolvedVerifier {
  rejectUnknownKeys(given, known, '')
  const { name = 'auth', cacheSize = 10_000, clock = Date.now, issuer, audience, publicUrl } = given

  for (const [option, value] of Object.entries({ issuer, audience })) {
    assert(
      typeof value === 'string' && value !== '',
      `${option} is missing: it must be what the issuer's own option ${option} is`
    )
  }

  assert(
    typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name),
    'name must be letters, digits, "-" and "_", beginning with a letter'
  )
  assert(
    Number.isSafeInteger(cacheSize) && cacheSize >= 2,
    'cacheSize must be a whole number, 2 or more'
  )
  assert(isFunction(clock), 'clock must be a function that gives milliseconds')
  const timeout = duration('timeout', given.timeout, '5s')
  assert(timeout > 0 && timeout <= MINUTE, 'timeout must be more than 0 and at most 1m')
  assert(
    publicUrl === undefined || (isBaseUrl(publicUrl) && !publicUrl.endsWith('/')),
    'publicUrl must be https://, a host and perhaps a path, without "/" at its end'
  )
  const source = given.introspection === undefined
    ? resolveKeySource(given, timeout)
    : resolveIntrospection(given)

  return {
    source,
    issuer,
    audience,
    name,
    cacheSize,
    timeout,
    clock,
    dpop: resolveVerifierDpop(given.dpop),
    publicUrl
  }
}

function resolveKeySource (given: TokenVerifierOptions, timeout: Millis): Source {
  const { algorithms = algorithmsByDefault } = given
  assert(
    Array.isArray(algorithms) && algorithms.length > 0 &&
      algorithms.every(alg => algorithmsByDefault.includes(alg)),
    `algorithms must be a list of ${
      algorithmsByDefault.join(', ')
    }: secrets (HS256) are nothing to verify by elsewhere`
  )
  const cooldown = duration('cooldown', given.cooldown, '30s')
  const maxAge = duration('maxAge', given.maxAge, '10m')
  assert(
    maxAge >= 2 * timeout && maxAge <= DAY,
    'maxAge must be from twice timeout (5s where it is not set) to 1d'
  )
  assert(
    cooldown >= SECOND && cooldown <= maxAge,
    'cooldown must be from 1s to maxAge (10m where it is not set)'
  )
  const uri = resolveUri(
    'jwksUri',
    given.jwksUri,
    'where the issuer shows its keys, such as "https://auth.example.org/.well-known/jwks.json"'
  )
  return { kind: 'keys', uri, algorithms: new Set(algorithms), cooldown, maxAge }
}

function resolveIntrospection (given: TokenVerifierOptions): Source {
  const stray = ofKeys.find(option => given[option] !== undefined)
  assert(
    stray === undefined,
    `introspection asks the issuer, and ${stray ?? ''} is about its keys: take one of them away`
  )
  const { introspection } = given
  rejectUnknownKeys(
    introspection as object,
    ['uri', 'clientId', 'clientSecret', 'maxAge'],
    'introspection.'
  )
  const { uri, clientId, clientSecret, maxAge } = introspection as NonNullable<typeof introspection>

  for (const [option, value] of Object.entries({ clientId, clientSecret })) {
    assert(
      typeof value === 'string' && value !== '',
      `introspection.${option} is missing: it must be as one of the issuer's oauth.clients has it`
    )
  }

  const believed = duration('introspection.maxAge', maxAge, '10s')
  assert(believed >= 0 && believed <= MINUTE, 'introspection.maxAge must be at most 1m')
  const at = resolveUri(
    'introspection.uri',
    uri,
    'the issuer\'s route, such as "https://auth.example.org/auth/introspect"'
  )
  return { kind: 'introspection', uri: at, clientId, clientSecret, maxAge: believed }
}

function resolveVerifierDpop (
  given: VerifierDpopOptions | boolean | undefined
): ResolvedVerifier['dpop'] {
  if (typeof given === 'object') {
    rejectUnknownKeys(given, ['required', 'nonces', 'replays', 'secret'], 'dpop.')
  }

  const { secret, ...others } = typeof given === 'object' ? given : { secret: undefined }
  const dpop = resolveDpop(typeof given === 'object' ? others : given)

  if (dpop === null) {
    return null
  }

  const weakness = secret === undefined ? null : findWeakness(secret)
  assert(
    weakness === null,
    `dpop.secret ${weakness ?? ''}: use a random one, such as \`openssl rand -base64 48\` prints`
  )
  return { ...dpop, secret }
}

function resolveUri (option: string, given: unknown, meaning: string): URL {
  assert(
    given instanceof URL || (typeof given === 'string' && URL.canParse(given)),
    `${option} must be ${meaning}`
  )
  const uri = new URL(given)
  assert(
    uri.protocol === 'https:' || (uri.protocol === 'http:' && isLoopback(uri)),
    `${option} must be https: whoever is on the way could write tokens (http is for localhost alone)`
  )
  assert(
    uri.username === '' && uri.password === '',
    `${option} must not hold a user name or a password`
  )
  return uri
}
