import { TokenAuthError } from '../errors.js'
import { getCaller } from '../http/authorization.js'
import { badRequest } from '../http/body-parsers.js'
import type { GetProof } from '../http/dpop.js'
import { sendJson, sendTokens } from '../http/reply.js'
import type { Refresh } from '../sessions/refresh.js'
import type { Sessions } from '../sessions/sessions.js'
import { clientOf, formOf } from './client-authentication.js'
import type { Form } from './client-authentication.js'
import type { Client, Clients } from './clients.js'
import { OAuthError } from './errors.js'
import type { Introspection } from './introspection.js'
import type { FastifyInstance, FastifyRequest } from 'fastify'

export interface TokenRoute {
  readonly clients: Clients
  readonly refresh: Refresh
  readonly getProof: GetProof
  readonly audience: string | undefined
}

/**
 * POST token (RFC 6749 section 6): `grant_type=refresh_token`, and no other: a login is for the app's own pages alone (RFC 9700
 * section 2.4). `scope` must not ask for more than there is, and does not narrow: the answer says what the token is good for.
 */
export function addTokenRoute (
  scope: FastifyInstance,
  url: string,
  { clients, refresh, getProof, audience }: TokenRoute
): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)

    if (form.grant_type === undefined) {
      throw badRequest('grant_type is missing')
    }

    if (form.grant_type !== 'refresh_token') {
      throw new OAuthError('unsupported_grant_type', 'There is refresh_token alone')
    }

    const { id: clientId } = tryClient(request, form, clients)

    if (form.refresh_token === undefined) {
      throw badRequest('refresh_token is missing')
    }

    if (form.resource !== undefined && form.resource !== audience) {
      throw new OAuthError('invalid_target', 'There is one audience alone')
    }

    const grant = await refresh.refresh(form.refresh_token, {
      by: getCaller(request),
      clientId,
      proof: getProof(request),
      scope: form.scope ?? null
    })

    return sendTokens(reply, {
      access_token: grant.accessToken,
      token_type: grant.isDpopBound ? 'DPoP' : 'Bearer',
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

/**
 * POST revoke (RFC 7009): a refresh token of any age, or an access token; either ends its session, whatever the hint says. A
 * token that is none of ours, or was revoked already, is 200 all the same; one of another client is refused, and stays.
 */
export function addRevokeRoute (
  scope: FastifyInstance,
  url: string,
  clients: Clients,
  sessions: Sessions
): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)
    const client = clientOf(request, form, clients)
    const { token } = form

    if (token === undefined) {
      throw badRequest('token is missing')
    }

    const owner = sessions.findOwner({ refresh: token, access: token })

    if (owner !== null) {
      if (owner.clientId !== client.id) {
        throw new OAuthError('invalid_grant', 'The token is of another client')
      }

      await sessions.revoke(owner.sessionId, 'revoked')
    }

    return reply.code(200).send()
  })
}

/**
 * POST introspect (RFC 7662): for clients with a secret, such as services to which access tokens are sent. A token that is not
 * good, for whatever reason, is `{ "active": false }`.
 */
export function addIntrospectRoute (
  scope: FastifyInstance,
  url: string,
  clients: Clients,
  introspection: Introspection
): void {
  scope.post(url, { config: { tokenAuth: 'public' } }, async (request, reply) => {
    const form = formOf(request)
    const client = clientOf(request, form, clients)

    if (client.secretHash === null) {
      throw new TokenAuthError('AUTH_CLIENT_REJECTED')
    }

    if (form.token === undefined) {
      throw badRequest('token is missing')
    }

    const answer = await introspection.inspect(form.token, client)
    return sendJson(reply, answer)
  })
}
