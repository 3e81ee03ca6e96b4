import type { FastifyInstance } from 'fastify'
import type { Clients } from '../../service/clients.js'
import type { Sessions } from '../../service/sessions.js'
import { malformed } from '../bodies.js'
import { OAuthError } from './errors.js'
import { clientOf, formOf } from './scope.js'

/**
 * POST revoke (RFC 7009): a refresh token of any age, or an access token; either ends its session, whatever the hint says. A
 * token that is none of ours, or was revoked already, is 200 all the same; one of another client is refused, and stays.
 */
export function addRevokeRoute (scope: FastifyInstance, url: string, clients: Clients, sessions: Sessions): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)
    const client = clientOf(request, form, clients)
    const { token } = form
    if (token === undefined) throw malformed('token is missing')
    const owner = sessions.ownerOf({ refresh: token, access: token })
    if (owner !== null) {
      if (owner.clientId !== client.id) throw new OAuthError('invalid_grant', 'The token is of another client')
      await sessions.end(owner.sessionId, 'revoked')
    }
    return reply.code(200).send()
  })
}
