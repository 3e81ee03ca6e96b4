import type { FastifyInstance, FastifyRequest } from 'fastify'
import { callerOf } from '../../bearer.js'
import type { Client, Clients } from '../../service/clients.js'
import type { Refresh } from '../../service/refresh.js'
import type { ProofOf } from '../../request-proofs.js'
import { malformed } from '../bodies.js'
import { sendTokens } from '../send.js'
import { OAuthError } from './errors.js'
import { clientOf, formOf } from './scope.js'
import type { Form } from './scope.js'

export interface TokenRoute {
  readonly clients: Clients
  readonly refresh: Refresh
  readonly proofOf: ProofOf
  readonly audience: string | undefined
}

/**
 * POST token (RFC 6749 section 6): `grant_type=refresh_token`, and no other: a login is for the app's own pages alone (RFC 9700
 * section 2.4). `scope` must not ask for more than there is, and does not narrow: the answer says what the token is good for.
 */
export function addTokenRoute (scope: FastifyInstance, url: string, { clients, refresh, proofOf, audience }: TokenRoute): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)
    if (form.grant_type === undefined) throw malformed('grant_type is missing')
    if (form.grant_type !== 'refresh_token') throw new OAuthError('unsupported_grant_type', 'There is refresh_token alone')
    const { id: clientId } = tryClient(request, form, clients)
    if (form.refresh_token === undefined) throw malformed('refresh_token is missing')
    if (form.resource !== undefined && form.resource !== audience) throw new OAuthError('invalid_target', 'There is one audience alone')
    const grant = await refresh.refresh(form.refresh_token, {
      by: callerOf(request), clientId, proof: proofOf(request), scope: form.scope ?? null
    })
    return sendTokens(reply, {
      access_token: grant.accessToken,
      token_type: grant.isBound ? 'DPoP' : 'Bearer',
      expires_in: grant.expiresIn,
      refresh_token: grant.refreshToken ?? undefined,
      scope: grant.scope ?? undefined
    })
  })
}

// RFC 6749 section 5.2: 401 is for who has tried by the header.
function tryClient (request: FastifyRequest, form: Form, clients: Clients): Client {
  try {
    return clientOf(request, form, clients)
  } catch (error) {
    throw request.headers.authorization === undefined ? OAuthError.unknownClient() : error
  }
}
