import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Arrivals } from '../../sessions/arrival.js'
import type { Refresh } from '../../sessions/refresh.js'
import { getCaller, isConnected } from '../authorization.js'
import type { GetProof } from '../dpop.js'
import type { DescribeRoute } from '../openapi.js'
import { sendTokens } from '../reply.js'
import { routeDocs } from '../route-docs.js'
import { acceptedContent, refreshTokenBody, tokenResponse } from '../schemas.js'
import { wantsPersistence } from '../token-body.js'
import type { RefreshTokenBody } from '../token-body.js'
import type { TokenTransport } from '../token-transport.js'

/** Collaborators of the refresh route. */
export interface RefreshRoute {
  readonly arrivals: Arrivals
  readonly transport: TokenTransport
  readonly refresh: Refresh
  readonly getProof: GetProof
  readonly describe: DescribeRoute
}

/**
 * Adds `POST refresh`: exchanges a refresh token for new tokens.
 *
 * A client that sends its refresh token in the body may ask for a cookie. Its session then moves
 * from the body to the cookie.
 */
export function addRefreshRoute (
  scope: FastifyInstance,
  url: string,
  { arrivals, transport, refresh, getProof, describe }: RefreshRoute
): void {
  scope.post<{ Body: RefreshTokenBody }>(url, {
    ...describe(routeDocs.refresh, {
      ...acceptedContent,
      body: refreshTokenBody,
      response: { 200: tokenResponse }
    })
  }, async (request, reply) => {
    const tokens = transport.readTokens(request)

    if (tokens.refresh === null) {
      transport.explainMissingCookie(request)
      throw new TokenAuthError(
        tokens.access === null ? 'AUTH_REFRESH_MISSING' : 'AUTH_REFRESH_INVALID'
      )
    }

    const movesToCookie = transport.movesToCookie(request, tokens)
    const inCookie = tokens.inCookie || movesToCookie
    const arrival = await arrivals.read(request)
    const issued = await refresh.refresh(tokens.refresh, {
      by: getCaller(request),
      arrival,
      clientId: null,
      proof: getProof(request),
      scope: null,
      move: movesToCookie ? { persistent: wantsPersistence(request.body ?? null) } : null,
      isConnected: () => isConnected(request),
      assertSendable: transport.limitsTokens(inCookie)
        ? issued => {
          transport.assertSendable(issued, inCookie)
        }
        : null
    })

    return sendTokens(reply, transport.toResponse(reply, issued, inCookie))
  })
}
