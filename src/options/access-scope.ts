import type { AccessScope } from '../tokens/access-token.js'
import { deriveKeys } from '../tokens/key-derivation.js'
import { SeenClaim } from '../tokens/seen-claim.js'
import type { ResolvedOptions } from './resolve.js'
import { DEFAULT_NAME } from './validate.js'

/** Creates the claim `seen` of access tokens. Returns `null` if no OAuth client has `sync`. */
export function createSeenClaim (
  { name, secrets, oauth }: Pick<ResolvedOptions, 'name' | 'secrets' | 'oauth'>
): SeenClaim | null {
  return oauth?.clients.some(({ sync }) => sync) === true
    ? new SeenClaim(deriveKeys(secrets.base, name, 'seen'), name)
    : null
}

/** Derives the claims that access tokens must have from the options. */
export function createAccessScope (
  { name, keys, issuer, audience, acceptedIssuers, acceptedAudiences, oauth }: ResolvedOptions,
  seen: SeenClaim | null
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
    realm: keys === null ? undefined : name === DEFAULT_NAME ? null : name,
    createSeen: seen?.create.bind(seen)
  }
}
