import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createBadRequestError, TokenAuthError } from '../errors.js'
import { getCaller, isConnected } from '../http/authorization.js'
import type { GetProof } from '../http/dpop.js'
import type { DescribeRoute } from '../http/openapi.js'
import { sendJson, sendTokens } from '../http/reply.js'
import type { Arrivals } from '../sessions/arrival.js'
import type { Refresh } from '../sessions/refresh.js'
import type { Sessions } from '../sessions/sessions.js'
import { authenticateClient, readForm } from './client-authentication.js'
import type { Form } from './client-authentication.js'
import type { Client, Clients } from './clients.js'
import { OAuthError } from './errors.js'
import type { Introspection } from './introspection.js'
import { oauthRouteDocs } from './route-docs.js'

/** Collaborators of the token endpoint. */
export interface TokenRoute {
  readonly arrivals: Arrivals
  readonly clients: Clients
  readonly refresh: Refresh
  readonly getProof: GetProof
  /** Audiences of accepted access tokens. */
  readonly audiences: ReadonlyArray<string | undefined>
  readonly describe: DescribeRoute
}

/**
 * Adds `POST token`: exchanges a refresh token for new tokens (RFC 6749, section 6).
 *
 * Supports `grant_type=refresh_token` only, because users log in on the app's own pages
 * (RFC 9700, section 2.4). `scope` must not exceed the granted scope, and does not reduce it. The
 * response contains the granted scope.
 */
export function addTokenRoute (
  scope: FastifyInstance,
  url: string,
  { arrivals, clients, refresh, getProof, audiences, describe }: TokenRoute
): void {
  scope.post(url, describe(oauthRouteDocs.token), async (request, reply) => {
    const form = readForm(request)

    if (form.grant_type === undefined) {
      throw createBadRequestError('grant_type is missing')
    }

    if (form.grant_type !== 'refresh_token') {
      throw new OAuthError('unsupported_grant_type', 'Grant type must be refresh_token')
    }

    const { id: clientId } = authenticateTokenClient(request, form, clients)

    if (form.refresh_token === undefined) {
      throw createBadRequestError('refresh_token is missing')
    }

    if (form.resource !== undefined && !audiences.includes(form.resource)) {
      throw new OAuthError('invalid_target', 'Resource must be the audience of the access tokens')
    }

    const arrival = await arrivals.read(request)
    const issued = await refresh.refresh(form.refresh_token, {
      by: getCaller(request),
      arrival,
      clientId,
      proof: getProof(request),
      scope: form.scope ?? null,
      move: null,
      isConnected: () => isConnected(request),
      assertSendable: null
    })

    return sendTokens(reply, {
      access_token: issued.accessToken,
      token_type: issued.isDpopBound ? 'DPoP' : 'Bearer',
      expires_in: issued.expiresIn,
      refresh_token: issued.refreshToken ?? undefined,
      scope: issued.scope ?? undefined
    })
  })
}

// The status is 401 only if the client used the `Authorization` header (RFC 6749, section 5.2).
function authenticateTokenClient (request: FastifyRequest, form: Form, clients: Clients): Client {
  try {
    return authenticateClient(request, form, clients)
  } catch (error) {
    throw request.headers.authorization === undefined ? OAuthError.invalidClient() : error
  }
}

/**
 * Adds `POST revoke`: revokes the session of a refresh token of any age, or of an access token
 * (RFC 7009).
 *
 * Ignores the hint about the token type. Unknown tokens and revoked sessions result in 200. A token
 * of another client results in an error, and its session stays.
 */
export function addRevokeRoute (
  scope: FastifyInstance,
  url: string,
  clients: Clients,
  sessions: Sessions,
  describe: DescribeRoute
): void {
  scope.post(url, describe(oauthRouteDocs.revoke), async (request, reply) => {
    const form = readForm(request)
    const client = authenticateClient(request, form, clients)
    const { token } = form

    if (token === undefined) {
      throw createBadRequestError('token is missing')
    }

    const owner = sessions.findOwner({ refresh: token, access: token })

    if (owner !== null) {
      if (owner.clientId !== client.id) {
        throw new OAuthError('invalid_grant', 'Token was not issued to this client')
      }

      await sessions.revoke(owner, 'revoked', 'client')
    }

    return reply.code(200).send()
  })
}

/**
 * Adds `POST introspect`: returns the claims of a valid token (RFC 7662).
 *
 * Only clients with a secret may use it, such as services that receive access tokens. The response
 * for any other token is `{ "active": false }`.
 */
export function addIntrospectRoute (
  scope: FastifyInstance,
  url: string,
  clients: Clients,
  introspection: Introspection,
  describe: DescribeRoute
): void {
  scope.post(url, describe(oauthRouteDocs.introspect), async (request, reply) => {
    const form = readForm(request)
    const client = authenticateClient(request, form, clients)

    if (client.secretHash === null) {
      throw new TokenAuthError('AUTH_CLIENT_REJECTED')
    }

    if (form.token === undefined) {
      throw createBadRequestError('token is missing')
    }

    return sendJson(reply, await introspection.inspect(form.token, client))
  })
}
