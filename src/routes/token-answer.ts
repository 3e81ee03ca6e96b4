import type { TokenAnswer } from '../protocol.js'
import type { Grant } from '../service/sessions.js'

/** A grant as it crosses the wire (RFC 6749 section 5.1). */
export function toTokenAnswer ({ accessToken, refreshToken, expiresIn, user }: Grant): TokenAnswer {
  return {
    access_token: accessToken,
    ...(refreshToken !== null && { refresh_token: refreshToken }),
    token_type: 'bearer',
    expires_in: expiresIn,
    user
  }
}
