import type { Millis } from '../lib/time.js'
import { isNonEmptyString, isNonNegativeInteger, isRecord } from './claims.js'
import type { Claims } from './claims.js'
import type { JwtCodec } from './jwt-codec.js'

/** Type of one-time tokens, the `typ` header member. */
export const ONE_TIME_TYP = 'ot+jwt'

/** Claims of an authentic one-time token. */
export interface OneTimeToken {
  /** ID by which the store counts the token. */
  readonly id: string
  /** The only purpose for which the token is valid. */
  readonly purpose: string
  /** User or address that the token is about. */
  readonly subject: string
  readonly expiresAt: Millis
  /** Fingerprint of the state that the token changes. `null` if it changes none. */
  readonly fingerprint: string | null
  /** Data of the app. Everyone who has the token can read it. */
  readonly data: Claims
}

/** Issues a one-time token. It contains whole seconds. */
export function issueOneTimeToken (
  codec: JwtCodec,
  { id, purpose, subject, expiresAt, fingerprint, data }: OneTimeToken,
  issuedAt: Millis
): string {
  return codec.sign({
    sub: subject,
    jti: id,
    type: 'one-time',
    purpose,
    state: fingerprint ?? undefined,
    data: Object.keys(data).length > 0 ? data : undefined,
    iat: Math.floor(issuedAt / 1000),
    exp: Math.floor(expiresAt / 1000)
  })
}

/**
 * Reads a one-time token of any age.
 *
 * @returns `null` if the token is not authentic or is not a one-time token.
 */
export function readOneTimeToken (codec: JwtCodec, token: string): OneTimeToken | null {
  const { sub, jti, type, purpose, state = null, data = {}, exp } = codec.verify(token) ?? {}

  if (
    type !== 'one-time' || !isNonEmptyString(sub) || !isNonEmptyString(jti) ||
    !isNonEmptyString(purpose) || !isNonNegativeInteger(exp)
  ) {
    return null
  }

  if ((state !== null && !isNonEmptyString(state)) || !isRecord(data)) {
    return null
  }

  return { id: jti, purpose, subject: sub, expiresAt: exp * 1000, fingerprint: state, data }
}
