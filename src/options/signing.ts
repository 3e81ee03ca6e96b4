import { findWeakness } from '../tokens/key-derivation.js'
import type { Secrets } from '../tokens/key-derivation.js'
import { DERIVED_KEY, getOwnKeys, readKeys } from '../tokens/keys.js'
import type { AppKeys, KeyInput } from '../tokens/keys.js'
import { assert, optional, resolveString } from './validate.js'
import type { Resolved, Shape } from './validate.js'

/**
 * A secret of at least 32 random bytes, or the current secret followed by previous ones.
 *
 * The first secret signs. All of them verify.
 */
export type Secret =
  | string
  | Uint8Array
  | readonly [string | Uint8Array, ...Array<string | Uint8Array>]

/**
 * Value of a claim, or a list of the current value and others that are accepted.
 *
 * `null` in a list means tokens without the claim.
 */
export type Party = string | readonly [string | null, ...Array<string | null>]

/** Options for signing keys and for the parties that tokens name. */
export interface SigningOptions {
  /**
   * Secret of at least 32 random bytes, from which all signing keys are derived (HKDF, RFC 5869).
   *
   * Anyone who knows it can forge tokens. Create one with `openssl rand -base64 48`. To replace
   * it without signing users out, deploy `[old, new]` to every instance, then `[new, old]`.
   * Remove `old` after `refreshToken.lifetime`. `undefined` throws at startup, because it usually
   * means a missing environment variable.
   *
   * @example
   * ```ts
   * secret: [newSecret, oldSecret]
   * ```
   */
  readonly secret: Secret | undefined

  /**
   * Keys that sign access tokens instead of `secret`: PEM, JWK or `KeyObject`.
   *
   * The first key signs, all of them verify. Ed25519 signs with EdDSA, P-256 with ES256, and RSA
   * with RS256 unless `alg` is `'PS256'`. Other services can verify tokens that a key pair
   * signed: `routes.jwks` publishes the public keys (RFC 7517). Requires `issuer` and `audience`
   * (RFC 9068). Two registrations with keys require two `routes.jwks`, and two audiences if they
   * share a key. Refresh tokens are still signed with `secret`. `app.tokenAuth.rotateKeys`
   * replaces the keys at runtime.
   *
   * The entry `'secret'` means the key derived from `accessToken.secret` or `secret`. To move from
   * the secret to keys, deploy `['secret', key]` to every instance, then `[key, 'secret']`. Remove
   * `'secret'` after `accessToken.lifetime`. To move back, take these steps in reverse.
   *
   * @default HS256 with a key derived from `secret`
   * @example
   * ```ts
   * keys: [privateKeyPem] // openssl genpkey -algorithm ed25519
   * ```
   */
  readonly keys?: readonly [KeyInput | 'secret', ...Array<KeyInput | 'secret'>]

  /**
   * The `iss` claim of access tokens (RFC 7519, section 4.1.1).
   *
   * Access tokens with another issuer are rejected. In a list, the first value is written and all
   * are accepted; `null` means tokens without the claim. To change it without rejecting a token,
   * deploy `[old, new]` to every instance, then `[new, old]`. Remove `old` after
   * `accessToken.lifetime`. With `oauth` the first value must be an https URL, because clients find
   * the metadata below it (RFC 8414, section 3).
   *
   * @default no `iss` claim
   * @example
   * ```ts
   * issuer: ['https://auth.example.org', 'https://example.org']
   * ```
   */
  readonly issuer?: Party

  /**
   * The `aud` claim of access tokens (RFC 7519, section 4.1.3).
   *
   * Access tokens for another audience are rejected. A list has the same meaning as for `issuer`.
   *
   * @default no `aud` claim; with `oauth`, the value of `issuer`
   * @example
   * ```ts
   * audience: [null, 'https://api.example.org'] // first step from no audience to this one
   * ```
   */
  readonly audience?: Party
}

/** Checks of {@link SigningOptions}. */
export const signingShape = {
  secret: resolveSecret,
  keys: optional(resolveKeys),
  issuer: optional(resolveParty),
  audience: optional(resolveParty)
} satisfies Shape<SigningOptions>

/**
 * Chooses the secrets of each kind of token.
 *
 * @param access - Own secrets of access tokens, or `null` to use `base`.
 * @param refresh - Own secrets of refresh tokens, or `null` to use `base`.
 * @throws TypeError if two options have the same current secret.
 */
export function resolveSecrets (
  base: Secrets,
  access: Secrets | null,
  refresh: Secrets | null
): Readonly<Record<'base' | 'access' | 'refresh', Secrets>> {
  assertDifferent('accessToken.secret', access, 'secret', base)
  assertDifferent('refreshToken.secret', refresh, 'secret', base)
  assertDifferent('refreshToken.secret', refresh, 'accessToken.secret', access)
  return { base, access: access ?? base, refresh: refresh ?? base }
}

/** Checks a secret, or a list of the current secret and previous ones. */
export function resolveSecret (value: unknown, path: string): Secrets {
  const secrets: readonly unknown[] = Array.isArray(value) && value.length > 0 ? value : [value]
  const encoded = secrets.map(secret => {
    assertSecret(secret, path)
    return encode(secret)
  })
  assert(
    new Set(encoded).size === encoded.length,
    `"${path}" must not contain the same secret twice; remove one of them`
  )
  return secrets as Secrets
}

/** @throws TypeError if a value is not a strong secret. The message does not contain it. */
export function assertSecret (value: unknown, path: string): asserts value is string | Uint8Array {
  const problem = findSecretProblem(value, path)
  assert(problem === null, problem ?? '')
}

/** Returns why a value is not a strong secret, or `null` if it is one. */
export function findSecretProblem (value: unknown, path: string): string | null {
  const weakness = typeof value === 'string' || value instanceof Uint8Array
    ? findWeakness(value)
    : describeType(value)

  return weakness === null
    ? null
    : `"${path}" must be at least 32 random bytes, but ${weakness}; ` +
      'create one with `openssl rand -base64 48`'
}

function describeType (value: unknown): string {
  return value == null || (Array.isArray(value) && value.length === 0)
    ? 'is missing'
    : `has the type ${typeof value} instead of string or Uint8Array`
}

/** @throws TypeError if other options do not fit `keys`. */
export function assertKeyOptions (
  { keys, issuer, audience }: Resolved<typeof signingShape>,
  accessSecret: Secrets | null
): void {
  if (keys === null) {
    return
  }

  // Without both, a second registration with the same key would accept these tokens as its own.
  const accepts = (parties: Parties | null): boolean =>
    parties !== null && (keys[0] === DERIVED_KEY || parties[0] !== undefined)
  assert(
    getOwnKeys(keys).length === 0 || (accepts(issuer) && accepts(audience)),
    '"keys" requires "issuer" and "audience"; set both, so that services can check who ' +
      'issued a token and for whom (RFC 9068, section 2.2)'
  )
  assert(
    accessSecret === null || keys.includes(DERIVED_KEY),
    '"accessToken.secret" cannot be combined with "keys"; remove one of them, or add "secret" ' +
      'to "keys"'
  )
}

/** Written value of a claim, then other accepted ones. `undefined` means a missing claim. */
export type Parties = readonly [string | undefined, ...Array<string | undefined>]

/**
 * Chooses the issuers and audiences of access tokens.
 *
 * @param usesIssuer - Whether the issuer is the default audience (RFC 9068, section 3).
 */
export function resolveParties (
  issuers: Parties | null,
  audiences: Parties | null,
  usesIssuer: boolean
) {
  const acceptedIssuers = issuers ?? [undefined] as const
  const acceptedAudiences = audiences ?? (usesIssuer ? acceptedIssuers : [undefined] as const)

  return {
    issuer: acceptedIssuers[0],
    audience: acceptedAudiences[0],
    acceptedIssuers,
    acceptedAudiences
  }
}

function resolveParty (value: unknown, path: string): Parties {
  if (!Array.isArray(value)) {
    return [resolveString(value, path)]
  }

  const parties = value.map((party, i) =>
    party === null ? undefined : resolveString(party, `${path}[${i}]`)
  )
  assert(
    parties.some(party => party !== undefined),
    `"${path}" must contain a string; remove it if tokens have no such claim`
  )
  assert(
    new Set(parties).size === parties.length,
    `"${path}" must not contain the same value twice; remove one of them`
  )
  return parties as unknown as Parties
}

// Previous secrets may be equal: both kinds of token may have shared one until now. While a secret
// is replaced, the current one may be equal too. Each kind of token derives its own key from it.
function assertDifferent (
  path: string,
  secrets: Secrets | null,
  otherPath: string,
  others: Secrets | null
): void {
  assert(
    secrets === null || others === null || secrets.length > 1 ||
      encode(secrets[0]) !== encode(others[0]),
    `"${path}" must differ from "${otherPath}"; use a separate secret for each`
  )
}

function resolveKeys (value: unknown): AppKeys {
  try {
    return readKeys(value as readonly KeyInput[])
  } catch (error) {
    assert(false, (error as Error).message, { cause: error })
  }
}

function encode (secret: string | Uint8Array): string {
  return Buffer.from(secret as string).toString('base64')
}
