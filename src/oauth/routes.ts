// What stock OAuth clients find beside the app's own routes, where `oauth` is set.

import type { ResolvedOAuth } from '../options/oauth.js'
import type { ResolvedOptions } from '../options/resolve.js'
import type { RouteName } from '../protocol.js'
import type { Sessions } from '../sessions/sessions.js'
import { createClientIdReader, prepareOAuthScope } from './client-authentication.js'
import type { GetClientId } from '../http/routes/login.js'
import { Clients } from './clients.js'
import { addIntrospectRoute, addRevokeRoute, addTokenRoute } from './endpoints.js'
import type { TokenRoute } from './endpoints.js'
import type { IntrospectionContext } from './introspection.js'
import { Introspection } from './introspection.js'
import { addMetadataRoute } from './metadata.js'
import type { FastifyInstance } from 'fastify'

export type OAuthRouteName = 'token' | 'revoke' | 'introspect' | 'metadata'

export interface OAuthRoutes extends TokenRoute {
  readonly options: Pick<ResolvedOptions, 'name' | 'paths' | 'keys'>
  readonly oauth: ResolvedOAuth
  readonly sessions: Sessions
  readonly introspection: Introspection
  /** `null` where there are no proofs of possession. */
  readonly dpopAlgorithms: readonly string[] | null
}

/**
 * @param app Where the well-known paths are.
 * @param scope Where the other routes are.
 */
export async function addOAuthRoutes (
  app: FastifyInstance,
  scope: FastifyInstance,
  parts: OAuthRoutes
): Promise<void> {
  const {
    options: { name, paths, keys },
    oauth,
    clients,
    sessions,
    introspection,
    dpopAlgorithms
  } = parts
  const { token, revoke, introspect, metadata } = paths
  const { hasPublic: hasPublicClients, hasConfidential: hasConfidentialClients } = clients
  await scope.register(async child => {
    prepareOAuthScope(child, name)

    if (token !== false) {
      addTokenRoute(child, token, parts)
    }

    if (revoke !== false) {
      addRevokeRoute(child, revoke, clients, sessions)
    }

    if (introspect !== false && hasConfidentialClients) {
      addIntrospectRoute(child, introspect, clients, introspection)
    }
  })

  const urlOf = (route: RouteName, { prefix }: FastifyInstance): string | undefined =>
    paths[route] === false ? undefined : oauth.baseUrl + prefix + paths[route]
  const urls = {
    token: urlOf('token', scope),
    revoke: urlOf('revoke', scope),
    introspect: urlOf('introspect', scope),
    jwks: keys?.some(({ publicJwk }) => publicJwk !== null) === true
      ? urlOf('jwks', app)
      : undefined
  }
  const { issuer } = oauth

  if (metadata !== false) {
    addMetadataRoute(app, metadata, {
      issuer,
      urls,
      hasPublicClients,
      hasConfidentialClients,
      dpopAlgorithms
    })
  }
}

// What `oauth` adds to the plugin. It is loaded where that is set: the start of an app without it reads none of it.

export interface OAuth {
  readonly clients: Clients
  readonly getClientId: GetClientId
  readonly addRoutes: (
    app: FastifyInstance,
    scope: FastifyInstance,
    context: OAuthContext
  ) => Promise<void>
}

export type OAuthContext =
  & IntrospectionContext
  & Omit<OAuthRoutes, 'oauth' | 'clients' | 'introspection'>

/** */
export function createOAuth (oauth: ResolvedOAuth): OAuth {
  const clients = new Clients(oauth.clients)

  return {
    clients,
    getClientId: createClientIdReader(clients),
    addRoutes (app, scope, { options, ...parts }) {
      return addOAuthRoutes(app, scope, {
        ...parts,
        options,
        oauth,
        clients,
        introspection: new Introspection(parts)
      })
    }
  }
}
