// Checks the options of a service that issues nothing, and fills in what was left out.

import { weaknessOf } from './credentials/keys.js'
import type { Millis } from './domain/session.js'
import { allowOnly, demand, duration, isFunction } from './option-checks.js'
import { isBase, isLoopback, resolveDpop } from './resolve-oauth.js'
import type { ResolvedDpop } from './resolve-oauth.js'
import type { PublicAlgorithm, TokenVerifierOptions, VerifierDpopOptions } from './verifier-options.js'

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

export interface ResolvedVerifier
  extends Readonly<Required<Pick<TokenVerifierOptions, 'issuer' | 'audience' | 'name' | 'cacheSize' | 'clock'>>> {
  readonly source: Source
  readonly timeout: Millis
  /** `null` where there are no proofs of possession. */
  readonly dpop: (ResolvedDpop & { readonly secret: string | Uint8Array | undefined }) | null
  readonly publicUrl: string | undefined
}

const SECOND: Millis = 1000
const MINUTE: Millis = 60 * SECOND
const DAY: Millis = 24 * 60 * MINUTE
const algorithmsByDefault: readonly PublicAlgorithm[] = ['EdDSA', 'ES256', 'PS256', 'RS256']
const ofKeys = ['jwksUri', 'algorithms', 'cooldown', 'maxAge'] as const
const known = [...ofKeys, 'introspection', 'dpop', 'publicUrl', 'issuer', 'audience', 'name', 'cacheSize', 'timeout', 'clock']

/** @throws TypeError that names the option and the fix */
export function resolveVerifier (given: TokenVerifierOptions): ResolvedVerifier {
  allowOnly(given, known, '')
  const { name = 'auth', cacheSize = 10_000, clock = Date.now, issuer, audience, publicUrl } = given
  for (const [option, value] of Object.entries({ issuer, audience })) {
    demand(typeof value === 'string' && value !== '', `${option} is missing: it must be what the issuer's own option ${option} is`)
  }
  demand(typeof name === 'string' && /^[A-Za-z][\w-]*$/.test(name), 'name must be letters, digits, "-" and "_", beginning with a letter')
  demand(Number.isSafeInteger(cacheSize) && cacheSize >= 2, 'cacheSize must be a whole number, 2 or more')
  demand(isFunction(clock), 'clock must be a function that gives milliseconds')
  const timeout = duration('timeout', given.timeout, '5s')
  demand(timeout > 0 && timeout <= MINUTE, 'timeout must be more than 0 and at most 1m')
  demand(publicUrl === undefined || (isBase(publicUrl) && !publicUrl.endsWith('/')),
    'publicUrl must be https://, a host and perhaps a path, without "/" at its end')
  const source = given.introspection === undefined ? resolveKeySource(given, timeout) : resolveIntrospection(given)
  return { source, issuer, audience, name, cacheSize, timeout, clock, dpop: resolveVerifierDpop(given.dpop), publicUrl }
}

function resolveKeySource (given: TokenVerifierOptions, timeout: Millis): Source {
  const { algorithms = algorithmsByDefault } = given
  demand(Array.isArray(algorithms) && algorithms.length > 0 && algorithms.every(alg => algorithmsByDefault.includes(alg)),
    `algorithms must be a list of ${algorithmsByDefault.join(', ')}: secrets (HS256) are nothing to verify by elsewhere`)
  const cooldown = duration('cooldown', given.cooldown, '30s')
  const maxAge = duration('maxAge', given.maxAge, '10m')
  demand(maxAge >= 2 * timeout && maxAge <= DAY, 'maxAge must be from twice timeout (5s where it is not set) to 1d')
  demand(cooldown >= SECOND && cooldown <= maxAge, 'cooldown must be from 1s to maxAge (10m where it is not set)')
  const uri = resolveUri('jwksUri', given.jwksUri, 'where the issuer shows its keys, such as "https://auth.example.org/.well-known/jwks.json"')
  return { kind: 'keys', uri, algorithms: new Set(algorithms), cooldown, maxAge }
}

function resolveIntrospection (given: TokenVerifierOptions): Source {
  const stray = ofKeys.find(option => given[option] !== undefined)
  demand(stray === undefined, `introspection asks the issuer, and ${stray ?? ''} is about its keys: take one of them away`)
  const { introspection } = given
  allowOnly(introspection as object, ['uri', 'clientId', 'clientSecret', 'maxAge'], 'introspection.')
  const { uri, clientId, clientSecret, maxAge } = introspection as NonNullable<typeof introspection>
  for (const [option, value] of Object.entries({ clientId, clientSecret })) {
    demand(typeof value === 'string' && value !== '', `introspection.${option} is missing: it must be as one of the issuer's oauth.clients has it`)
  }
  const believed = duration('introspection.maxAge', maxAge, '10s')
  demand(believed >= 0 && believed <= MINUTE, 'introspection.maxAge must be at most 1m')
  const at = resolveUri('introspection.uri', uri, 'the issuer\'s route, such as "https://auth.example.org/auth/introspect"')
  return { kind: 'introspection', uri: at, clientId, clientSecret, maxAge: believed }
}

function resolveVerifierDpop (given: VerifierDpopOptions | boolean | undefined): ResolvedVerifier['dpop'] {
  if (typeof given === 'object') allowOnly(given, ['required', 'nonces', 'replays', 'secret'], 'dpop.')
  const { secret, ...others } = typeof given === 'object' ? given : { secret: undefined }
  const dpop = resolveDpop(typeof given === 'object' ? others : given)
  if (dpop === null) return null
  const weakness = secret === undefined ? null : weaknessOf(secret)
  demand(weakness === null, `dpop.secret ${weakness ?? ''}: use a random one, such as \`openssl rand -base64 48\` prints`)
  return { ...dpop, secret }
}

function resolveUri (option: string, given: unknown, meaning: string): URL {
  demand(given instanceof URL || (typeof given === 'string' && URL.canParse(given)), `${option} must be ${meaning}`)
  const uri = new URL(given)
  demand(uri.protocol === 'https:' || (uri.protocol === 'http:' && isLoopback(uri)),
    `${option} must be https: whoever is on the way could write tokens (http is for localhost alone)`)
  demand(uri.username === '' && uri.password === '', `${option} must not hold a user name or a password`)
  return uri
}
