// What stock OAuth clients find beside the app's own routes, where `oauth` is set.

import type { FastifyInstance } from 'fastify'
import type { RouteName } from '../../protocol.js'
import type { ResolvedOptions } from '../../resolve-options.js'
import type { ResolvedOAuth } from '../../resolve-oauth.js'
import type { Introspection } from '../../service/introspection.js'
import type { Sessions } from '../../service/sessions.js'
import { addIntrospectRoute } from './introspect.js'
import { addMetadataRoute } from './metadata.js'
import { addRevokeRoute } from './revoke.js'
import { prepareOAuthScope } from './scope.js'
import { addTokenRoute } from './token.js'
import type { TokenRoute } from './token.js'

export type OAuthRouteName = 'token' | 'revoke' | 'introspect' | 'metadata'

export interface OAuthRoutes extends TokenRoute {
  readonly options: Pick<ResolvedOptions, 'name' | 'paths' | 'keys'>
  readonly oauth: ResolvedOAuth
  readonly sessions: Sessions
  readonly introspection: Introspection
  /** `null` where there are no proofs of possession. */
  readonly proofAlgorithms: readonly string[] | null
}

/**
 * @param app Where the well-known paths are.
 * @param scope Where the other routes are.
 */
export async function addOAuthRoutes (app: FastifyInstance, scope: FastifyInstance, parts: OAuthRoutes): Promise<void> {
  const { options: { name, paths, keys }, oauth, clients, sessions, introspection, proofAlgorithms } = parts
  const { token, revoke, introspect, metadata } = paths
  const { hasPublic: hasPublicClients, hasConfidential: hasConfidentialClients } = clients
  await scope.register(async child => {
    prepareOAuthScope(child, name)
    if (token !== false) addTokenRoute(child, token, parts)
    if (revoke !== false) addRevokeRoute(child, revoke, clients, sessions)
    if (introspect !== false && hasConfidentialClients) addIntrospectRoute(child, introspect, clients, introspection)
  })

  const urlOf = (route: RouteName, { prefix }: FastifyInstance): string | undefined =>
    paths[route] === false ? undefined : oauth.baseUrl + prefix + paths[route]
  const urls = {
    token: urlOf('token', scope),
    revoke: urlOf('revoke', scope),
    introspect: urlOf('introspect', scope),
    jwks: keys?.some(({ publicJwk }) => publicJwk !== null) === true ? urlOf('jwks', app) : undefined
  }
  const { issuer } = oauth
  if (metadata !== false) {
    addMetadataRoute(app, metadata, { issuer, urls, hasPublicClients, hasConfidentialClients, proofAlgorithms })
  }
}
