// The OAuth clients that the app knows, and how they prove who they are (RFC 6749 section 2.3).

import { hash, timingSafeEqual } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import type { OAuthClient } from '../options/oauth.js'

/** What a client says of itself. */
export interface ClientCredentials {
  readonly clientId: string
  /** `null` where it sends none. */
  readonly clientSecret: string | null
}

/** A client that is known. */
export interface Client {
  readonly id: string
  /** `null` where it has none. */
  readonly secretHash: Buffer | null
}

/** */
export class Clients {
  readonly #clients: ReadonlyMap<string, Client>

  constructor (clients: readonly OAuthClient[]) {
    this.#clients = new Map(
      clients.map((
        { clientId: id, clientSecret }
      ) => [id, { id, secretHash: clientSecret === undefined ? null : hashOf(clientSecret) }])
    )
  }

  /** Whether there is one without a secret. */
  get hasPublic (): boolean {
    return [...this.#clients.values()].some(({ secretHash }) => secretHash === null)
  }

  /** Whether there is one with a secret. */
  get hasConfidential (): boolean {
    return [...this.#clients.values()].some(({ secretHash }) => secretHash !== null)
  }

  /** Whether it proves itself by a secret, so that its refresh tokens need no key (RFC 9449 section 5). */
  isConfidential (clientId: string): boolean {
    return (this.#clients.get(clientId)?.secretHash ?? null) !== null
  }

  has (clientId: string): boolean {
    return this.#clients.has(clientId)
  }

  /** @throws TokenAuthError AUTH_CLIENT_REJECTED, also where a client sends a secret that has none */
  authenticate ({ clientId, clientSecret }: ClientCredentials): Client {
    const client = this.#clients.get(clientId)

    if (client === undefined || !isRight(client, clientSecret)) {
      throw new TokenAuthError('AUTH_CLIENT_REJECTED')
    }

    return client
  }
}

function isRight ({ secretHash }: Client, given: string | null): boolean {
  if (secretHash === null || given === null) {
    return secretHash === null && given === null
  }

  return timingSafeEqual(secretHash, hashOf(given))
}

// Of random bytes, so that a plain hash does; and of one length, so that a comparison tells nothing.
function hashOf (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}
