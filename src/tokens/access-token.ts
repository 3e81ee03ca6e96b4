import { randomBytes } from 'node:crypto'
import { CLOCK_TOLERANCE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import {
  isNonEmptyString,
  isNonNegativeInteger,
  isStringArray,
  omitUndefined,
  readConstraint,
  toConstraintClaims
} from './claims.js'
import type { Claims, SenderConstraint } from './claims.js'
import type { JwtCodec } from './jwt-codec.js'

/** Type of access tokens, the `typ` header member (RFC 9068, section 2.1). */
export const ACCESS_TYP = 'at+jwt'

/** Time and methods of a user's authentication (RFC 9470, section 6; RFC 8176). */
export interface Authentication {
  readonly authenticatedAt: Millis
  /** Authentication methods, for example `['pwd']`. */
  readonly amr: readonly string[]
  /** Methods of the login, if a step-up has replaced them and the time. */
  readonly loginAmr?: readonly string[] | undefined
}

/** Subject of an access token. */
export interface AccessSubject extends Authentication, SenderConstraint {
  readonly userId: string
  readonly sessionId: string
  readonly generation: number
  /** Whether a cookie with this token outlives the browser. */
  readonly persistent?: boolean
  /** Claims of the app. */
  readonly claims: Claims
}

/** Claims of an authentic access token. */
export interface AccessToken extends AccessSubject {
  /** Methods of the login. Differs from `amr` after a step-up. */
  readonly loginAmr: readonly string[]
  readonly persistent: boolean
  readonly expiresAt: Millis
}

/** Session and OAuth client that a token belongs to. */
export type TokenOwner = Pick<AccessSubject, 'sessionId' | 'userId' | 'clientId'> & {
  /** Hash of the secret that the session must have. Set only for a refresh token. */
  readonly secretHash?: string
}

/** Issuer and audience of access tokens. If one is `undefined`, tokens do not have the claim. */
export interface AccessScope {
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Issuers of accepted tokens. If unset, only `issuer`. */
  readonly acceptedIssuers?: ReadonlyArray<string | undefined> | undefined
  /** Audiences of accepted tokens. If unset, only `audience`. */
  readonly acceptedAudiences?: ReadonlyArray<string | undefined> | undefined
  /** Whether tokens have a `jti`, for other services that verify them (RFC 9068, section 2.2). */
  readonly identified?: boolean
  /**
   * `client_id` of first-party sessions, if OAuth clients are configured (RFC 9068, section 2.2).
   * Tokens without one are first-party. If unset, tokens with a `client_id` are rejected.
   */
  readonly firstParty?: string | undefined
  /** IDs of the OAuth clients whose tokens are accepted. If unset, any client is. */
  readonly clientIds?: ReadonlySet<string> | undefined
  /**
   * Claim `realm` of tokens whose key another registration may use too. `null` if tokens have no
   * such claim. If unset, the claim is not checked.
   */
  readonly realm?: string | null | undefined
  /** Creates the claim `seen`. If unset, tokens do not have it. */
  readonly createSeen?: ((sessionId: string, generation: number) => string) | undefined
}

const RESERVED_CLAIMS: ReadonlySet<string> = new Set([
  'iss',
  'sub',
  'aud',
  'exp',
  'nbf',
  'iat',
  'jti',
  'sid',
  'gen',
  'type',
  'persistent',
  'auth_time',
  'amr',
  'login_amr',
  'acr',
  'cnf',
  'client_id',
  'realm',
  'seen',
  '__proto__'
])

/** Finds the first claim of the app that only the plugin may set, or `undefined`. */
export function findReservedClaim (claims: object): string | undefined {
  return Object.keys(claims).find(name => RESERVED_CLAIMS.has(name))
}

/**
 * Issues an access token (RFC 9068).
 *
 * @param validity - Start and end of the token. The token contains whole seconds.
 * @returns The token and its lifetime in seconds.
 */
export function issueAccessToken (
  codec: JwtCodec,
  subject: AccessSubject,
  validity: { readonly from: Millis, readonly to: Millis },
  { issuer, audience, identified = false, firstParty, realm, createSeen }: AccessScope
): { readonly token: string, readonly expiresIn: number } {
  const { userId, sessionId, generation, persistent = false, authenticatedAt, amr } = subject
  const { clientId, thumbprint, loginAmr } = subject
  const iat = Math.floor(validity.from / 1000)
  const exp = Math.floor(validity.to / 1000)
  const constraint = toConstraintClaims({ clientId: clientId ?? firstParty ?? null, thumbprint })

  const own = omitUndefined({
    iss: issuer,
    aud: audience,
    sub: userId,
    sid: sessionId,
    gen: generation,
    jti: identified ? createTokenId(subject, iat) : undefined,
    type: 'access',
    persistent: persistent || undefined,
    // The second attempt of a login after a revocation is dated 1 ms after the revocation.
    auth_time: Math.floor(Math.min(authenticatedAt, validity.from) / 1000),
    amr: amr.length > 0 ? amr : undefined,
    login_amr: loginAmr,
    client_id: constraint.client_id,
    realm: realm ?? undefined,
    seen: createSeen?.(sessionId, generation),
    cnf: constraint.cnf,
    iat,
    exp
  })
  // Not a spread: V8 needs 50 times as long for it if users have different claims.
  const token = codec.sign(Object.assign({}, subject.claims, own))

  return { token, expiresIn: Math.max(0, exp - iat) }
}

function createTokenId (
  { sessionId, generation, thumbprint, loginAmr }: AccessSubject,
  iat: number
): string {
  // A step-up and a refresh in the same second must not have the same `jti`.
  const salt = loginAmr === undefined ? [] : [randomBytes(9).toString('base64url')]
  const bound = thumbprint === null ? [] : [thumbprint]
  return [sessionId, generation, iat, ...bound, ...salt].join('.')
}

/**
 * Finds the session of an authentic access token, expired or not.
 *
 * @returns `null` if the token is not authentic or is not an access token.
 */
export function findTokenOwner (
  codec: JwtCodec,
  token: string,
  { firstParty }: AccessScope
): TokenOwner | null {
  const claims = codec.verify(token) ?? {}
  const constraint = readConstraint(claims)

  const { type, sid: sessionId, sub: userId } = claims

  if (
    type !== 'access' || !isNonEmptyString(sessionId) || !isNonEmptyString(userId) ||
    constraint === null
  ) {
    return null
  }

  return {
    sessionId,
    userId,
    clientId: constraint.clientId === firstParty ? null : constraint.clientId
  }
}

/**
 * Checks the claims of an authentic access token. The caller checks `exp`.
 *
 * @returns `null` if a claim is missing, has the wrong type or does not match the scope, or if the
 * token is not valid yet.
 */
export function readAccessClaims (
  payload: Claims,
  now: Millis,
  scope: AccessScope
): AccessToken | null {
  const { iss, sub, aud, sid, gen, type, iat, exp, nbf, auth_time: authTime, amr = [] } = payload
  const { login_amr: loginAmr = amr } = payload

  if (
    type !== 'access' || !isNonEmptyString(sub) || !isNonEmptyString(sid) ||
    !isNonNegativeInteger(gen) || !isNonNegativeInteger(iat) || !isNonNegativeInteger(exp)
  ) {
    return null
  }

  const constraint = readConstraint(payload)

  if (
    !isNonNegativeInteger(authTime) || !isStringArray(amr) || !isStringArray(loginAmr) ||
    constraint === null
  ) {
    return null
  }

  if (!isOfScope(iss, aud, scope)) {
    return null
  }

  if (!isKnownClient(constraint.clientId, scope) || !isOfRealm(payload.realm, scope)) {
    return null
  }

  const latestStart = (now + CLOCK_TOLERANCE) / 1000

  if (
    iat > latestStart || (nbf !== undefined && !(isNonNegativeInteger(nbf) && nbf <= latestStart))
  ) {
    return null
  }

  const appClaims = Object.entries(payload).filter(([name]) => !RESERVED_CLAIMS.has(name))

  return {
    userId: sub,
    sessionId: sid,
    generation: gen,
    persistent: payload.persistent === true,
    authenticatedAt: authTime * 1000,
    amr: deepFreeze(amr),
    loginAmr: deepFreeze(loginAmr),
    clientId: constraint.clientId === scope.firstParty ? null : constraint.clientId,
    thumbprint: constraint.thumbprint,
    claims: deepFreeze(Object.fromEntries(appClaims)),
    expiresAt: exp * 1000
  }
}

function isOfScope (
  iss: unknown,
  aud: unknown,
  {
    issuer,
    audience,
    acceptedIssuers = [issuer],
    acceptedAudiences = [audience]
  }: AccessScope
): boolean {
  return acceptedIssuers.some(accepted => accepted === iss) &&
    acceptedAudiences.some(accepted => accepted === aud)
}

function isKnownClient (
  clientId: string | null,
  { firstParty, clientIds }: AccessScope
): boolean {
  return clientId === null || clientId === firstParty ||
    (firstParty !== undefined && clientIds?.has(clientId) !== false)
}

function isOfRealm (claim: unknown, { realm }: AccessScope): boolean {
  return realm === undefined || (claim ?? null) === realm
}

// Requests with the same token share the result. None of them may change it for the others.
function deepFreeze<T extends object> (value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) {
      deepFreeze(member as object)
    }
  }

  return Object.freeze(value)
}
