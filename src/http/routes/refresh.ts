import type { FastifyInstance } from 'fastify'
import { getCaller } from '../authorization.js'
import { TokenAuthError } from '../../errors.js'
import type { GetProof } from '../dpop.js'
import type { Refresh } from '../../sessions/refresh.js'
import { acceptedContent, refreshTokenBody, tokenResponse } from '../schemas.js'
import { sendTokens } from '../reply.js'
import type { RefreshTokenBody, TokenTransport } from '../token-transport.js'

/** POST refresh: the refresh token, however it travels, for a new access token and, as a rule, its successor. */
export function addRefreshRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  refresh: Refresh,
  proofOf: GetProof
): void {
  scope.post<{ Body: RefreshTokenBody }>(url, {
    config: { tokenAuth: 'public' },
    schema: { ...acceptedContent, body: refreshTokenBody, response: { 200: tokenResponse } }
  }, async (request, reply) => {
    const tokens = transport.readTokens(request)

    if (tokens.refresh === null) {
      throw new TokenAuthError(
        tokens.access === null ? 'AUTH_REFRESH_MISSING' : 'AUTH_REFRESH_INVALID'
      )
    }

    const presenter = {
      by: getCaller(request),
      clientId: null,
      proof: proofOf(request),
      scope: null
    }
    const grant = await refresh.refresh(tokens.refresh, presenter)
    return sendTokens(reply, transport.toResponse(reply, grant, tokens.inCookie))
  })
}
