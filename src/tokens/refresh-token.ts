// The refresh token: names its session, its generation and the session's secret. Its successor is a pure function of
// it, so that a replay is answered with the same text as the rotation was.

import { hash, randomBytes } from 'node:crypto'
import { readConstraint, toConstraintClaims } from './claims.js'
import { isNonEmptyString, isNonNegativeInteger, isStringArray } from './jwt-codec.js'
import type { Claims, JwtCodec } from './jwt-codec.js'
import type { Millis } from '../lib/time.js'

export const REFRESH_TYP = 'rt+jwt'

/** What an authentic refresh token says. When it ends is the row's to say, so that reuse of an old one is still noticed. */
export interface RefreshToken {
  readonly userId: string
  readonly sessionId: string
  readonly generation: number
  readonly secretHash: string
  /** Whether a cookie that holds it outlives the browser. */
  readonly persistent: boolean
  /** How its user proved who they are (RFC 8176). */
  readonly amr: readonly string[]
  /** The OAuth client that alone may use it; `null` for a session of the app's own. */
  readonly clientId: string | null
  /** Of the key that it is bound to; `null` where it is to none. */
  readonly thumbprint: string | null
  readonly claims: Claims
}

/** What all tokens of a session have in common. */
export interface NewSession {
  readonly id: string
  readonly userId: string
  readonly secret: string
  readonly persistent?: boolean
  readonly amr?: readonly string[]
  readonly clientId?: string | null
  readonly thumbprint?: string | null
}

/** Which token of a session to write. */
export interface TokenVersion {
  readonly generation: number
  readonly issuedAt: Millis
  readonly expiresAt: Millis
}

const secretForm = /^[\w-]{43}$/

/** A secret of 256 bits for a new session. Only its hash is kept. */
export function makeSecret (): { readonly secret: string, readonly secretHash: string } {
  const secret = randomBytes(32).toString('base64url')
  return { secret, secretHash: hashSecret(secret) }
}

/** */
export function firstRefreshToken (
  kind: JwtCodec,
  session: NewSession,
  edition: TokenVersion
): string {
  const {
    id: sid,
    userId: sub,
    secret,
    persistent = false,
    amr = [],
    clientId = null,
    thumbprint = null
  } = session

  return kind.sign({
    sub,
    sid,
    secret,
    type: 'refresh',
    persistent: persistent || undefined,
    amr: amr.length > 0 ? amr : undefined,
    ...toConstraintClaims({ clientId, thumbprint }),
    ...datesOf(edition)
  })
}

/** The token of another generation of the same session: each claim is copied but `gen`, `iat` and `exp`. */
export function nextRefreshToken (
  kind: JwtCodec,
  presented: RefreshToken,
  edition: TokenVersion
): string {
  const { gen, iat, exp } = datesOf(edition)
  return kind.sign({ ...presented.claims, gen, iat, exp })
}

/** An authentic refresh token of ours, however old it is; `null` for everything else. */
export function readRefreshToken (kind: JwtCodec, token: string): RefreshToken | null {
  const claims = kind.verify(token)

  if (claims === null) {
    return null
  }

  const { sub, sid, gen, secret, type, iat, exp, amr = [] } = claims

  if (
    type !== 'refresh' || !isNonEmptyString(sub) || !isNonEmptyString(sid) ||
    !isNonNegativeInteger(gen) || !isNonNegativeInteger(iat) ||
    !isNonNegativeInteger(exp)
  ) {
    return null
  }

  const binding = readConstraint(claims)

  if (
    !isNonEmptyString(secret) || !secretForm.test(secret) || !isStringArray(amr) || binding === null
  ) {
    return null
  }

  const { clientId, thumbprint } = binding
  const persistent = claims.persistent === true
  const secretHash = hashSecret(secret)

  return {
    userId: sub,
    sessionId: sid,
    generation: gen,
    secretHash,
    persistent,
    amr,
    clientId,
    thumbprint,
    claims
  }
}

function datesOf (
  { generation, issuedAt, expiresAt }: TokenVersion
): Record<'gen' | 'iat' | 'exp', number> {
  return { gen: generation, iat: Math.floor(issuedAt / 1000), exp: Math.floor(expiresAt / 1000) }
}

function hashSecret (secret: string): string {
  return hash('sha256', secret, 'base64url')
}
