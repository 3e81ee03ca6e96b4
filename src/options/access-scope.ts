import type { AccessScope } from '../tokens/access-token.js'
import type { ResolvedOptions } from './resolve.js'
import { DEFAULT_NAME } from './validate.js'

/** Derives the claims that access tokens must have from the options. */
export function createAccessScope (
  { name, keys, issuer, audience, acceptedIssuers, acceptedAudiences, oauth }: ResolvedOptions
): AccessScope {
  return {
    issuer,
    audience,
    acceptedIssuers,
    acceptedAudiences,
    identified: keys !== null || oauth !== null,
    firstParty: oauth === null ? undefined : name,
    clientIds: oauth === null ? undefined : new Set(oauth.clients.map(client => client.clientId)),
    // Two registrations may share a key pair. Keys that derive from a secret differ by name.
    realm: keys === null ? undefined : name === DEFAULT_NAME ? null : name
  }
}
