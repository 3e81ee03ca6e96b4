import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Clients } from '../../service/clients.js'
import type { Introspection } from '../../service/introspection.js'
import { malformed } from '../bodies.js'
import { sendJson } from '../send.js'
import { clientOf, formOf } from './scope.js'

/**
 * POST introspect (RFC 7662): for clients with a secret, such as services to which access tokens are sent. A token that is not
 * good, for whatever reason, is `{ "active": false }`.
 */
export function addIntrospectRoute (scope: FastifyInstance, url: string, clients: Clients, introspection: Introspection): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)
    const client = clientOf(request, form, clients)
    if (client.secretHash === null) throw new TokenAuthError('AUTH_CLIENT_REJECTED')
    if (form.token === undefined) throw malformed('token is missing')
    const answer = await introspection.inspect(form.token, client)
    return sendJson(reply, answer)
  })
}
