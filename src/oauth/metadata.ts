import type { FastifyInstance } from 'fastify'
import type { DescribeRoute } from '../http/openapi.js'
import type { RouteName } from '../protocol.js'
import { oauthRouteDocs } from './route-docs.js'

/** Facts about the server that its metadata describes. */
export interface ServerFacts {
  readonly issuer: string
  /** URLs of the enabled routes. */
  readonly urls: { readonly [Name in RouteName]?: string | undefined }
  readonly hasPublicClients: boolean
  readonly hasConfidentialClients: boolean
  /** `null` if DPoP is disabled. */
  readonly dpopAlgorithms: readonly string[] | null
}

/** Adds `GET metadata`: describes the server to OAuth clients (RFC 8414). */
export function addMetadataRoute (
  app: FastifyInstance,
  url: string,
  facts: ServerFacts,
  describe: DescribeRoute
): void {
  const body = JSON.stringify(createMetadata(facts))
  app.get(url, describe(oauthRouteDocs.metadata), async (_request, reply) =>
    reply
      .type('application/json; charset=utf-8')
      .header('cache-control', 'public, max-age=300')
      .send(body))
}

// JSON omits members that are undefined. A list must not be empty (RFC 8414, section 3.2).
function createMetadata (facts: ServerFacts): object {
  const { issuer, urls, hasPublicClients, hasConfidentialClients, dpopAlgorithms } = facts
  const secretMethods = hasConfidentialClients ? ['client_secret_basic', 'client_secret_post'] : []
  const methods = [...(hasPublicClients ? ['none'] : []), ...secretMethods]

  return {
    issuer,
    token_endpoint: urls.token,
    token_endpoint_auth_methods_supported: urls.token && methods,
    grant_types_supported: ['refresh_token'],
    // The member is required, but there is no authorization endpoint.
    response_types_supported: ['none'],
    revocation_endpoint: urls.revoke,
    revocation_endpoint_auth_methods_supported: urls.revoke && methods,
    ...(hasConfidentialClients && {
      introspection_endpoint: urls.introspect,
      introspection_endpoint_auth_methods_supported: urls.introspect && secretMethods
    }),
    jwks_uri: urls.jwks,
    dpop_signing_alg_values_supported: dpopAlgorithms ?? undefined
  }
}
