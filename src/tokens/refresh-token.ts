import { hash, randomBytes } from 'node:crypto'
import type { Millis } from '../lib/time.js'
import {
  isNonEmptyString,
  isNonNegativeInteger,
  isStringArray,
  readConstraint,
  toConstraintClaims
} from './claims.js'
import type { Claims, SenderConstraint } from './claims.js'
import type { JwtCodec } from './jwt-codec.js'

/** Type of refresh tokens, the `typ` header member. */
export const REFRESH_TYP = 'rt+jwt'

/**
 * Claims of an authentic refresh token.
 *
 * The session in the store decides whether the token has expired. So the reuse of an expired token
 * is still detected.
 */
export interface RefreshToken extends SenderConstraint {
  readonly userId: string
  readonly sessionId: string
  /** Number of rotations of the session before this token. */
  readonly generation: number
  /** SHA-256 of the secret of the session. */
  readonly secretHash: string
  /** Idle expiry of the session when the token was issued. */
  readonly expiresAt: Millis
  /** Whether a cookie with this token outlives the browser. */
  readonly persistent: boolean
  /** Authentication methods of the login (RFC 8176). */
  readonly amr: readonly string[]
  /** All claims as they were signed. */
  readonly claims: Claims
}

/** Subject of all refresh tokens of a session. */
export interface RefreshSubject extends Partial<SenderConstraint> {
  readonly id: string
  readonly userId: string
  readonly secret: string
  readonly persistent?: boolean
  readonly amr?: readonly string[]
}

/** Claims that differ between the refresh tokens of a session. */
export interface TokenVersion {
  readonly generation: number
  readonly issuedAt: Millis
  readonly expiresAt: Millis
}

const SECRET_FORM = /^[\w-]{43}$/

/**
 * Creates the secret of a new session, 256 bits. Only its hash is stored.
 *
 * @param secret - Secret that derives from a token. Random by default.
 */
export function createSessionSecret (
  secret: string = randomBytes(32).toString('base64url')
): { readonly secret: string, readonly secretHash: string } {
  return { secret, secretHash: hashSecret(secret) }
}

/** Issues the first refresh token of a session. */
export function issueRefreshToken (
  codec: JwtCodec,
  subject: RefreshSubject,
  version: TokenVersion
): string {
  const { id: sid, userId: sub, secret, persistent = false, amr = [] } = subject
  const { clientId = null, thumbprint = null } = subject

  return codec.sign({
    sub,
    sid,
    secret,
    type: 'refresh',
    persistent: persistent || undefined,
    amr: amr.length > 0 ? amr : undefined,
    ...toConstraintClaims({ clientId, thumbprint }),
    ...toVersionClaims(version)
  })
}

/**
 * Issues the refresh token of another generation of the same session.
 *
 * The same arguments give the same token, so a replay returns the token of the rotation.
 */
export function issueSuccessor (
  codec: JwtCodec,
  presented: RefreshToken,
  version: TokenVersion
): string {
  return codec.sign({ ...presented.claims, ...toVersionClaims(version) })
}

/**
 * Reads a refresh token of any age.
 *
 * @returns `null` if the token is not authentic or is not a refresh token.
 */
export function readRefreshToken (codec: JwtCodec, token: string): RefreshToken | null {
  const claims = codec.verify(token)

  if (claims === null) {
    return null
  }

  const { sub, sid, gen, secret, type, iat, exp, amr = [] } = claims

  if (
    type !== 'refresh' || !isNonEmptyString(sub) || !isNonEmptyString(sid) ||
    !isNonNegativeInteger(gen) || !isNonNegativeInteger(iat) || !isNonNegativeInteger(exp)
  ) {
    return null
  }

  const constraint = readConstraint(claims)

  if (
    !isNonEmptyString(secret) || !SECRET_FORM.test(secret) || !isStringArray(amr) ||
    constraint === null
  ) {
    return null
  }

  return {
    userId: sub,
    sessionId: sid,
    generation: gen,
    secretHash: hashSecret(secret),
    expiresAt: exp * 1000,
    persistent: claims.persistent === true,
    amr,
    clientId: constraint.clientId,
    thumbprint: constraint.thumbprint,
    claims
  }
}

function toVersionClaims (
  { generation, issuedAt, expiresAt }: TokenVersion
): Record<'gen' | 'iat' | 'exp', number> {
  return { gen: generation, iat: Math.floor(issuedAt / 1000), exp: Math.floor(expiresAt / 1000) }
}

function hashSecret (secret: string): string {
  return hash('sha256', secret, 'base64url')
}
