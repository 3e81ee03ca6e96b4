import { isLive } from '../domain/session.js'
import type { Millis } from '../lib/time.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { AccessVerifier } from '../sessions/access-verifier.js'
import type { TokenRotator } from '../sessions/token-rotator.js'
import type { UserDirectory } from '../sessions/users.js'
import type { TokenStore } from '../stores/token-store.js'
import type { Claims } from '../tokens/claims.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { readRefreshToken } from '../tokens/refresh-token.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import type { Client } from './clients.js'

/** Response to an introspection request. Only `active` if it is `false` (RFC 7662, section 2.2). */
export type IntrospectionResponse = Claims & { readonly active: boolean }

/** Collaborators of {@link Introspection}. */
export interface IntrospectionContext {
  readonly store: TokenStore
  readonly realm: string
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly refreshTokens: JwtCodec
  readonly rotator: TokenRotator
  /** Records accepted generations. `null` if access tokens do not confirm a generation. */
  readonly usage: UsageTracker | null
  readonly clock: () => Millis
}

const INACTIVE: IntrospectionResponse = { active: false }

/**
 * Checks whether a token is valid now, for other servers (RFC 7662).
 *
 * Applies the rules of a refresh, but neither rotates nor renews a token. A valid access token
 * confirms its generation.
 */
export class Introspection {
  readonly #context: IntrospectionContext

  constructor (context: IntrospectionContext) {
    this.#context = context
  }

  /**
   * Returns the claims of any valid access token, or of a valid refresh token of the client.
   *
   * @throws TokenAuthError `AUTH_STORE_UNAVAILABLE` if the store fails.
   */
  async inspect (token: string, { id }: Client): Promise<IntrospectionResponse> {
    const refreshToken = readRefreshToken(this.#context.refreshTokens, token)

    if (refreshToken !== null) {
      return refreshToken.clientId === id ? this.#inspectRefreshToken(refreshToken) : INACTIVE
    }

    return this.#inspectAccessToken(token)
  }

  async #inspectAccessToken (token: string): Promise<IntrospectionResponse> {
    const { store, realm, access, usage, clock } = this.#context
    const now = clock()
    const { read, claims } = access.inspect(token, now) ?? {}

    if (read === undefined || now >= read.expiresAt) {
      return INACTIVE
    }

    const session = await store.find(realm, read.sessionId)

    if (session === null || !isLive(session, now) || !await this.#isActive(read.userId)) {
      return INACTIVE
    }

    await usage?.markConfirmed(read.sessionId, read.generation, now)
    return { ...claims, active: true, token_type: read.thumbprint === null ? 'Bearer' : 'DPoP' }
  }

  async #inspectRefreshToken (presented: RefreshToken): Promise<IntrospectionResponse> {
    const { store, realm, rotator } = this.#context
    const session = await store.find(realm, presented.sessionId)
    const verdict = rotator.preview(presented, session)

    if (!('expiresAt' in verdict) || !await this.#isActive(presented.userId)) {
      return INACTIVE
    }

    const { sub, sid, client_id: clientId, cnf, iat } = presented.claims

    return {
      active: true,
      sub,
      sid,
      client_id: clientId,
      cnf,
      iat,
      exp: Math.floor(verdict.expiresAt / 1000)
    }
  }

  async #isActive (userId: string): Promise<boolean> {
    return await this.#context.users.findActive(userId) !== null
  }
}
