// GET metadata: what there is, for clients that find out by themselves (RFC 8414).

import type { FastifyInstance } from 'fastify'
import type { RouteName } from '../protocol.js'

export interface MetadataSubject {
  readonly issuer: string
  /** Addresses of the routes that there are. */
  readonly urls: { readonly [Name in RouteName]?: string | undefined }
  /** Which kinds of clients there are. */
  readonly hasPublicClients: boolean
  readonly hasConfidentialClients: boolean
  /** `null` where there are no proofs of possession. */
  readonly dpopAlgorithms: readonly string[] | null
}

/** */
export function addMetadataRoute (
  app: FastifyInstance,
  url: string,
  subject: MetadataSubject
): void {
  const text = JSON.stringify(metadataOf(subject))
  app.get(
    url,
    { config: { tokenAuth: 'public' } },
    async (_request, reply) =>
      reply.type('application/json; charset=utf-8').header('cache-control', 'public, max-age=300')
        .send(text)
  )
}

// What is undefined is not there; nor is a list without members (RFC 8414 section 3.2).
function metadataOf (
  { issuer, urls, hasPublicClients, hasConfidentialClients, dpopAlgorithms }: MetadataSubject
): object {
  const bySecret = hasConfidentialClients ? ['client_secret_basic', 'client_secret_post'] : []
  const methods = [...(hasPublicClients ? ['none'] : []), ...bySecret]

  return {
    issuer,
    token_endpoint: urls.token,
    token_endpoint_auth_methods_supported: urls.token && methods,
    grant_types_supported: ['refresh_token'],
    // Required, though nothing here authorizes: the login is the app's own page.
    response_types_supported: ['none'],
    revocation_endpoint: urls.revoke,
    revocation_endpoint_auth_methods_supported: urls.revoke && methods,
    ...(hasConfidentialClients && {
      introspection_endpoint: urls.introspect,
      introspection_endpoint_auth_methods_supported: urls.introspect && bySecret
    }),
    jwks_uri: urls.jwks,
    dpop_signing_alg_values_supported: dpopAlgorithms ?? undefined
  }
}
