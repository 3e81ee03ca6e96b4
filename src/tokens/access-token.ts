// The access token: a short-lived proof of a session (RFC 9068), checked without asking the store.

import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import { readConstraint, toConstraintClaims } from './claims.js'
import type { SenderConstraint } from './claims.js'
import { isNonEmptyString, isNonNegativeInteger, isStringArray } from './jwt-codec.js'
import type { Claims, JwtCodec } from './jwt-codec.js'
import type { Millis } from '../lib/time.js'

export const ACCESS_TYP = 'at+jwt'

/** How somebody proved who they are, and when (RFC 9470 section 6, RFC 8176). */
export interface Authentication {
  readonly authenticatedAt: Millis
  /** Such as `['pwd']`. */
  readonly amr: readonly string[]
}

/** What an access token is about. */
export interface AccessSubject extends Authentication, SenderConstraint {
  readonly userId: string
  readonly sessionId: string
  readonly generation: number
  /** Whether a cookie that holds it outlives the browser. */
  readonly persistent?: boolean
  /** The app's own claims. */
  readonly claims: Claims
}

/** What an authentic access token says. */
export interface AccessToken extends AccessSubject {
  readonly persistent: boolean
  readonly expiresAt: Millis
}

/** Which session a token is of, and whose. */
export type TokenOwner = Pick<AccessSubject, 'sessionId' | 'clientId'>

/** Who issues access tokens, and for whom; both are written and demanded where they are given. */
export interface AccessScope {
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Whether each token has a `jti`, for others who verify it (RFC 9068 section 2.2). */
  readonly identified?: boolean
  /**
   * What the app's own sessions name as their client, where there are OAuth clients: then each token names one (RFC 9068 section
   * 2.2); one from before is the app's own. Where there are none, a token that names one is refused.
   */
  readonly firstParty?: string | undefined
}

const reserved: ReadonlySet<string> = new Set([
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
  'acr',
  'cnf',
  'client_id',
  '__proto__'
])

/** The first of the app's claims that is not the app's to set, or `undefined`. */
export function reservedClaim (claims: object): string | undefined {
  return Object.keys(claims).find(name => reserved.has(name))
}

/** @param life Both in milliseconds; the token holds whole seconds. */
export function issueAccessToken (
  kind: JwtCodec,
  {
    userId,
    sessionId,
    generation,
    persistent = false,
    authenticatedAt,
    amr,
    clientId,
    thumbprint,
    claims
  }: AccessSubject,
  life: { readonly from: Millis, readonly to: Millis },
  { issuer, audience, identified = false, firstParty }: AccessScope
): { readonly token: string, readonly expiresIn: number } {
  const iat = Math.floor(life.from / 1000)
  const exp = Math.floor(life.to / 1000)
  const binding = toConstraintClaims({ clientId: clientId ?? firstParty ?? null, thumbprint })
  // What is undefined is left out by JSON; to leave it out here, by a spread each, takes longer than to write the token.
  const token = kind.sign({
    ...claims,
    iss: issuer,
    aud: audience,
    sub: userId,
    sid: sessionId,
    gen: generation,
    // Of the session, the generation, the second and the key: a token that is the same is the same token.
    jti: identified
      ? [sessionId, generation, iat, ...(thumbprint === null ? [] : [thumbprint])].join('.')
      : undefined,
    type: 'access',
    persistent: persistent || undefined,
    auth_time: Math.floor(authenticatedAt / 1000),
    amr: amr.length > 0 ? amr : undefined,
    client_id: binding.client_id,
    cnf: binding.cnf,
    iat,
    exp
  })
  return { token, expiresIn: Math.max(0, exp - iat) }
}

/** The session of an authentic access token of ours, good or not, and its client: enough to end it. */
export function ownerOfAccessToken (
  kind: JwtCodec,
  token: string,
  { firstParty }: AccessScope
): TokenOwner | null {
  const claims = kind.verify(token) ?? {}
  const binding = readConstraint(claims)

  if (claims.type !== 'access' || !isNonEmptyString(claims.sid) || binding === null) {
    return null
  }

  return {
    sessionId: claims.sid,
    clientId: binding.clientId === firstParty ? null : binding.clientId
  }
}

/**
 * What an authentic access token of ours says, from its claims; `null` for everything else. Whether it has ended is the caller's
 * to ask.
 */
export function readAccessClaims (
  payload: Claims,
  now: Millis,
  scope: AccessScope
): AccessToken | null {
  const { iss, sub, aud, sid, gen, type, iat, exp, nbf, auth_time: authTime, amr = [] } = payload

  if (
    type !== 'access' || !isNonEmptyString(sub) || !isNonEmptyString(sid) ||
    !isNonNegativeInteger(gen) || !isNonNegativeInteger(iat) ||
    !isNonNegativeInteger(exp)
  ) {
    return null
  }

  const binding = readConstraint(payload)

  if (!isNonNegativeInteger(authTime) || !isStringArray(amr) || binding === null) {
    return null
  }

  if (iss !== scope.issuer || aud !== scope.audience) {
    return null
  }

  if (binding.clientId !== null && scope.firstParty === undefined) {
    return null
  }

  const latestStart = (now + CLOCK_TOLERANCE) / 1000

  if (
    iat > latestStart || (nbf !== undefined && !(isNonNegativeInteger(nbf) && nbf <= latestStart))
  ) {
    return null
  }

  const claims: Record<string, unknown> = {}

  for (const name of Object.keys(payload)) {
    if (!reserved.has(name)) {
      claims[name] = payload[name]
    }
  }

  return {
    userId: sub,
    sessionId: sid,
    generation: gen,
    persistent: payload.persistent === true,
    authenticatedAt: authTime * 1000,
    amr: deepFreeze(amr),
    clientId: binding.clientId === scope.firstParty ? null : binding.clientId,
    thumbprint: binding.thumbprint,
    claims: deepFreeze(claims),
    expiresAt: exp * 1000
  }
}

// What was verified once is shown to every request with that token: none of them may change it for the others.
function deepFreeze<T extends object> (value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) {
      deepFreeze(member as object)
    }
  }

  return Object.freeze(value)
}
