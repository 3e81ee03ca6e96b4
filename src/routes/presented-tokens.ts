// The tokens in a request to refresh or log out: one refresh token, in whichever of the ways it may travel, and perhaps
// an access token beside it.

import { readBearer } from '../bearer.js'
import type { HttpRequest } from '../bearer.js'
import { TokenAuthError } from '../errors.js'
import type { Sessions } from '../service/sessions.js'

/** Absent bodies are good enough: the token may travel elsewhere. */
export type RefreshTokenBody = { readonly refresh_token?: string } | null | undefined

export interface PresentedTokens {
  readonly refresh: string | null
  readonly access: string | null
}

/**
 * The refresh token in the body, or as bearer. Interceptors send whatever they have as bearer with every request (their access
 * token, `null`), so that it may stand beside a refresh token in the body; a second refresh token may not.
 * @throws TokenAuthError AUTH_REQUEST_INVALID
 */
export function presentedTokens (
  request: HttpRequest & { readonly body: RefreshTokenBody },
  sessions: Sessions
): PresentedTokens {
  const inBody = request.body?.refresh_token || null
  const bearer = readBearer(request) || null
  const kind = bearer === null ? null : sessions.kindOf(bearer)
  if (kind === 'access') return { refresh: inBody, access: bearer }
  if (inBody === null) return { refresh: bearer, access: null }
  if (kind === 'refresh') throw new TokenAuthError('AUTH_REQUEST_INVALID', 'two refresh tokens')
  return { refresh: inBody, access: null }
}
