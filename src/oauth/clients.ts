import { hash, timingSafeEqual } from 'node:crypto'
import { TokenAuthError } from '../errors.js'
import type { ResolvedClient } from '../options/oauth.js'

/** Credentials that a client sends. */
export interface ClientCredentials {
  readonly clientId: string
  /** `null` if the client sends no secret. */
  readonly clientSecret: string | null
}

/** Authenticated client. */
export interface Client {
  readonly id: string
  /** SHA-256 of the secret. `null` for a public client. */
  readonly secretHash: Buffer | null
  /** Whether the client may use the route `sync`. */
  readonly sync: boolean
}

/** Looks up and authenticates the configured OAuth clients (RFC 6749, section 2.3). */
export class Clients {
  readonly #clients: ReadonlyMap<string, Client>

  constructor (clients: readonly ResolvedClient[]) {
    const entries = clients.map(({ clientId: id, clientSecret, sync }) => {
      const secretHash = clientSecret === null ? null : hashSecret(clientSecret)
      return [id, { id, secretHash, sync }] as const
    })
    this.#clients = new Map(entries)
  }

  /** Whether a client without a secret is configured. */
  get hasPublic (): boolean {
    return [...this.#clients.values()].some(({ secretHash }) => secretHash === null)
  }

  /** Whether a client with a secret is configured. */
  get hasConfidential (): boolean {
    return [...this.#clients.values()].some(({ secretHash }) => secretHash !== null)
  }

  /** Whether a client may use the route `sync`. */
  get hasSync (): boolean {
    return [...this.#clients.values()].some(({ sync }) => sync)
  }

  /**
   * Whether a client has a secret.
   *
   * The refresh tokens of such a client need not be bound to a key (RFC 9449, section 5).
   */
  isConfidential (clientId: string): boolean {
    return (this.#clients.get(clientId)?.secretHash ?? null) !== null
  }

  /** Whether a client is configured. */
  has (clientId: string): boolean {
    return this.#clients.has(clientId)
  }

  /**
   * Authenticates a client by its secret, or a public client by its ID.
   *
   * @throws TokenAuthError `AUTH_CLIENT_REJECTED` if the client is unknown, its secret is missing
   * or invalid, or a public client sends a secret.
   */
  authenticate ({ clientId, clientSecret }: ClientCredentials): Client {
    const client = this.#clients.get(clientId)

    if (client === undefined || !isSecretValid(client, clientSecret)) {
      throw new TokenAuthError('AUTH_CLIENT_REJECTED')
    }

    return client
  }
}

function isSecretValid ({ secretHash }: Client, secret: string | null): boolean {
  if (secretHash === null || secret === null) {
    return secretHash === null && secret === null
  }

  return timingSafeEqual(secretHash, hashSecret(secret))
}

// Secrets are random bytes, so a fast hash suffices. All hashes have one length, so the comparison
// takes the same time for every secret.
function hashSecret (secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}
