// What `oauth` adds to the plugin. It is loaded where that is set: the start of an app without it reads none of it.

import type { FastifyInstance } from 'fastify'
import type { ResolvedOAuth } from './resolve-oauth.js'
import { namedIn } from './routes/oauth/client-authentication.js'
import type { ClientIdOf } from './routes/oauth/client-authentication.js'
import { addOAuthRoutes } from './routes/oauth/routes.js'
import type { OAuthRoutes } from './routes/oauth/routes.js'
import { Clients } from './service/clients.js'
import { Introspection } from './service/introspection.js'
import type { IntrospectionContext } from './service/introspection.js'

export interface OAuth {
  readonly clients: Clients
  readonly clientIdOf: ClientIdOf
  readonly addRoutes: (app: FastifyInstance, scope: FastifyInstance, context: OAuthContext) => Promise<void>
}

export type OAuthContext = IntrospectionContext & Omit<OAuthRoutes, 'oauth' | 'clients' | 'introspection'>

export function createOAuth (oauth: ResolvedOAuth): OAuth {
  const clients = new Clients(oauth.clients)
  return {
    clients,
    clientIdOf: namedIn(clients),
    addRoutes (app, scope, { options, ...parts }) {
      return addOAuthRoutes(app, scope, { ...parts, options, oauth, clients, introspection: new Introspection(parts) })
    }
  }
}
