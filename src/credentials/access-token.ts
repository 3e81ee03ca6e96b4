// The access token: a short-lived proof of a session (RFC 9068), checked without asking the store.

import type { Millis } from '../domain/session.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import { isCount, isText, isTexts } from './jwt.js'
import type { Claims, JwtKind } from './jwt.js'

export const ACCESS_TYP = 'at+jwt'

/** How somebody proved who they are, and when (RFC 9470 section 6, RFC 8176). */
export interface Authentication {
  readonly authenticatedAt: Millis
  /** Such as `['pwd']`. */
  readonly amr: readonly string[]
}

/** What an access token is about. */
export interface AccessSubject extends Authentication {
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

/** Who issues access tokens, and for whom; both are written and demanded where they are given. */
export interface AccessScope {
  readonly issuer: string | undefined
  readonly audience: string | undefined
  /** Whether each token has a `jti`, for others who verify it (RFC 9068 section 2.2). */
  readonly identified?: boolean
}

const reserved: ReadonlySet<string> = new Set([
  'iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'sid', 'gen', 'type',
  'persistent', 'auth_time', 'amr', 'acr', 'cnf', 'client_id', '__proto__'
])

/** The first of the app's claims that is not the app's to set, or `undefined`. */
export function reservedClaim (claims: object): string | undefined {
  return Object.keys(claims).find(name => reserved.has(name))
}

/** @param life Both in milliseconds; the token holds whole seconds. */
export function issueAccessToken (
  kind: JwtKind,
  { userId, sessionId, generation, persistent = false, authenticatedAt, amr, claims }: AccessSubject,
  life: { readonly from: Millis, readonly to: Millis },
  { issuer, audience, identified = false }: AccessScope
): { readonly token: string, readonly expiresIn: number } {
  const iat = Math.floor(life.from / 1000)
  const exp = Math.floor(life.to / 1000)
  const token = kind.sign({
    ...claims,
    iss: issuer,
    aud: audience,
    sub: userId,
    sid: sessionId,
    gen: generation,
    // Of the session, the generation and the second: a token that is the same is the same token.
    ...(identified && { jti: `${sessionId}.${generation}.${iat}` }),
    type: 'access',
    ...(persistent && { persistent }),
    auth_time: Math.floor(authenticatedAt / 1000),
    ...(amr.length > 0 && { amr }),
    iat,
    exp
  })
  return { token, expiresIn: Math.max(0, exp - iat) }
}

/** The session of an authentic access token of ours, good or not: enough to end it. */
export function sessionOfAccessToken (kind: JwtKind, token: string): string | null {
  const { type, sid } = kind.open(token) ?? {}
  return type === 'access' && isText(sid) ? sid : null
}

/** An authentic access token of ours; `null` for everything else. Whether it has ended is the caller's to ask. */
export function readAccessToken (kind: JwtKind, token: string, now: Millis, scope: AccessScope): AccessToken | null {
  const payload = kind.open(token)
  return payload === null ? null : readAccessClaims(payload, now, scope)
}

/** The same of the claims of an authentic token. */
export function readAccessClaims (payload: Claims, now: Millis, scope: AccessScope): AccessToken | null {
  const { iss, sub, aud, sid, gen, type, iat, exp, nbf, auth_time: authTime, amr = [] } = payload
  if (type !== 'access' || !isText(sub) || !isText(sid) || !isCount(gen) || !isCount(iat) || !isCount(exp)) return null
  if (!isCount(authTime) || !isTexts(amr)) return null
  if (iss !== scope.issuer || aud !== scope.audience) return null
  const latestStart = (now + CLOCK_TOLERANCE) / 1000
  if (iat > latestStart || (nbf !== undefined && !(isCount(nbf) && nbf <= latestStart))) return null
  const claims = Object.fromEntries(Object.entries(payload).filter(([name]) => !reserved.has(name)))
  return {
    userId: sub,
    sessionId: sid,
    generation: gen,
    persistent: payload.persistent === true,
    authenticatedAt: authTime * 1000,
    amr: deepFreeze(amr),
    claims: deepFreeze(claims),
    expiresAt: exp * 1000
  }
}

// What was verified once is shown to every request with that token: none of them may change it for the others.
function deepFreeze<T extends object> (value: T): T {
  for (const member of Object.values(value)) if (typeof member === 'object' && member !== null) deepFreeze(member as object)
  return Object.freeze(value)
}
