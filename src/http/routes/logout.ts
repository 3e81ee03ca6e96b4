import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Sessions } from '../../sessions/sessions.js'
import type { Auth } from '../../tokens/auth.js'
import type { Authenticate } from '../authenticate.js'
import type { DescribeRoute } from '../openapi.js'
import { routeDocs } from '../route-docs.js'
import { acceptedContent, emptyResponse, refreshTokenBody } from '../schemas.js'
import type { RefreshTokenBody, TokenTransport } from '../token-transport.js'

/**
 * Adds `POST logout`: revokes the session of a refresh token of any age, or of an access token.
 *
 * Unknown tokens and revoked sessions are no error (RFC 7009, section 2.2).
 */
export function addLogoutRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  sessions: Sessions,
  describe: DescribeRoute
): void {
  scope.post<{ Body: RefreshTokenBody }>(url, {
    ...describe(routeDocs.logout, {
      ...acceptedContent,
      body: refreshTokenBody,
      response: { 204: emptyResponse }
    })
  }, async (request, reply) => {
    const duplicates = transport.readDuplicates(request)
    const presented = duplicates.length > 0 ? duplicates : [transport.readLogoutTokens(request)]

    if (presented.every(({ refresh, access }) => refresh === null && access === null)) {
      throw new TokenAuthError('AUTH_REFRESH_MISSING')
    }

    const owners = presented.map(tokens => sessions.findOwner(tokens)).filter(each => each !== null)

    for (const owner of owners) {
      await sessions.revoke(owner, 'logout')
    }

    if (transport.shouldClearCookies(request, false)) {
      transport.clearCookies(reply)
    }

    return reply.code(204).send()
  })
}

/** Adds `POST logout/all`: revokes all sessions of the user. */
export function addLogoutAllRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  sessions: Sessions,
  authenticate: Authenticate,
  describe: DescribeRoute
): void {
  scope.post(url, {
    onRequest: [authenticate],
    ...describe(routeDocs.logoutAll, { response: { 204: emptyResponse } })
  }, async (request, reply) => {
    await sessions.revokeUser((request.auth as Auth).userId, 'logout-all')

    if (transport.shouldClearCookies(request, true)) {
      transport.clearCookies(reply)
    }

    return reply.code(204).send()
  })
}
