import type { FastifyInstance } from 'fastify'
import type { Authenticate } from '../authenticate.js'
import { TokenAuthError } from '../../errors.js'
import type { Auth } from '../../sessions/access-verifier.js'
import type { Sessions } from '../../sessions/sessions.js'
import { acceptedContent, emptyResponse, refreshTokenBody } from '../schemas.js'
import type { RefreshTokenBody, TokenTransport } from '../token-transport.js'

/**
 * POST logout: by the refresh token, of any age, or by the access token. A token that is not ours, or whose session was over
 * already, is no error (RFC 7009 section 2.2).
 */
export function addLogoutRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  sessions: Sessions
): void {
  scope.post<{ Body: RefreshTokenBody }>(url, {
    config: { tokenAuth: 'public' },
    schema: { ...acceptedContent, body: refreshTokenBody, response: { 204: emptyResponse } }
  }, async (request, reply) => {
    const tokens = transport.presentToEnd(request)

    if (tokens.refresh === null && tokens.access === null) {
      throw new TokenAuthError('AUTH_REFRESH_MISSING')
    }

    const owner = sessions.ownerOf(tokens)

    if (owner !== null) {
      await sessions.end(owner.sessionId, 'logout')
    }

    if (transport.clearsAfter(tokens)) {
      transport.clear(reply)
    }

    return reply.code(204).send()
  })
}

/** POST logout/all: every session of the user ends, this one too. */
export function addLogoutAllRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  sessions: Sessions,
  authenticate: Authenticate
): void {
  scope.post(
    url,
    { onRequest: authenticate, schema: { response: { 204: emptyResponse } } },
    async (request, reply) => {
      await sessions.endAll((request.auth as Auth).userId, 'logout-all')
      transport.clear(reply)
      return reply.code(204).send()
    }
  )
}
