import type { FastifyInstance } from 'fastify'
import type { GetClientId } from '../http/routes/login.js'
import type { ResolvedOAuth } from '../options/oauth.js'
import type { ResolvedOptions } from '../options/resolve.js'
import type { RouteName } from '../protocol.js'
import type { Sessions } from '../sessions/sessions.js'
import { getOwnKeys } from '../tokens/keys.js'
import type { SeenClaim } from '../tokens/seen-claim.js'
import { createClientIdReader } from './client-authentication.js'
import { Clients } from './clients.js'
import { addIntrospectRoute, addRevokeRoute, addTokenRoute } from './endpoints.js'
import type { TokenRoute } from './endpoints.js'
import { setOAuthErrorHandler } from './errors.js'
import { Introspection } from './introspection.js'
import type { IntrospectionContext } from './introspection.js'
import { addMetadataRoute } from './metadata.js'
import { addSyncRoute } from './sync.js'
import type { SyncRoute } from './sync.js'

/** OAuth clients and endpoints of a registration. Loaded only if `oauth` is set. */
export interface OAuth {
  readonly clients: Clients
  readonly getClientId: GetClientId
  /**
   * Adds the OAuth endpoints.
   *
   * @param app - Scope of the metadata route, outside of the prefix.
   * @param scope - Scope of the other routes.
   */
  readonly addRoutes: (
    app: FastifyInstance,
    scope: FastifyInstance,
    context: OAuthContext
  ) => Promise<void>
}

/** Collaborators of the OAuth endpoints that the registration provides. */
export type OAuthContext =
  & IntrospectionContext
  & Omit<EndpointContext, 'oauth' | 'clients' | 'introspection'>

interface EndpointContext extends TokenRoute, Omit<SyncRoute, 'seen'> {
  readonly seen: SeenClaim | null
  readonly options: Pick<ResolvedOptions, 'name' | 'paths' | 'keys'>
  readonly oauth: ResolvedOAuth
  readonly sessions: Sessions
  readonly introspection: Introspection
  /** `null` if DPoP is disabled. */
  readonly dpopAlgorithms: readonly string[] | null
}

/** Creates the OAuth clients and endpoints of a registration. */
export function createOAuth (oauth: ResolvedOAuth): OAuth {
  const clients = new Clients(oauth.clients)

  return {
    clients,
    getClientId: createClientIdReader(clients),
    async addRoutes (app, scope, context) {
      const introspection = new Introspection(context)
      const endpointContext = { ...context, oauth, clients, introspection }
      await addEndpoints(scope, endpointContext)
      addSync(scope, endpointContext)
      addMetadata(app, scope, endpointContext)
    }
  }
}

async function addEndpoints (scope: FastifyInstance, context: EndpointContext): Promise<void> {
  const { options: { name, paths }, clients, sessions, introspection, describe } = context

  await scope.register(async child => {
    prepareOAuthScope(child, name)

    if (paths.token !== false) {
      addTokenRoute(child, paths.token, context)
    }

    if (paths.revoke !== false) {
      addRevokeRoute(child, paths.revoke, clients, sessions, describe)
    }

    if (paths.introspect !== false && clients.hasConfidential) {
      addIntrospectRoute(child, paths.introspect, clients, introspection, describe)
    }
  })
}

// Outside of the scope of the other endpoints, because it accepts JSON.
function addSync (scope: FastifyInstance, context: EndpointContext): void {
  const { options: { paths }, seen } = context

  if (paths.sync !== false && seen !== null) {
    addSyncRoute(scope, paths.sync, { ...context, seen })
  }
}

// Accepts forms only, and sends errors in the format of OAuth (RFC 6749, section 5.2).
function prepareOAuthScope (scope: FastifyInstance, realm: string): void {
  scope.removeContentTypeParser('application/json')
  setOAuthErrorHandler(scope, realm)
}

function addMetadata (
  app: FastifyInstance,
  scope: FastifyInstance,
  { options: { paths, keys }, oauth, clients, dpopAlgorithms, describe }: EndpointContext
): void {
  if (paths.metadata === false) {
    return
  }

  const getUrl = (route: RouteName, { prefix }: FastifyInstance): string | undefined =>
    paths[route] === false ? undefined : oauth.baseUrl + prefix + paths[route]
  const hasPublicKeys = getOwnKeys(keys ?? []).some(({ publicJwk }) => publicJwk !== null)

  addMetadataRoute(app, paths.metadata, {
    issuer: oauth.issuer,
    urls: {
      token: getUrl('token', scope),
      revoke: getUrl('revoke', scope),
      introspect: getUrl('introspect', scope),
      jwks: hasPublicKeys ? getUrl('jwks', app) : undefined
    },
    hasPublicClients: clients.hasPublic,
    hasConfidentialClients: clients.hasConfidential,
    dpopAlgorithms
  }, describe)
}
