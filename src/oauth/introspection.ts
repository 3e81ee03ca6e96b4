// Whether a token is good at this moment, for other servers that ask (RFC 7662): all that a refresh would look at, and nothing is
// moved by it.

import { readRefreshToken } from '../tokens/refresh-token.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import type { Claims } from '../tokens/claims.js'
import { isLive } from '../domain/session.js'
import type { TokenStore } from '../stores/token-store.js'
import type { AccessVerifier } from '../sessions/access-verifier.js'
import type { Client } from './clients.js'
import type { Refresh } from '../sessions/refresh.js'
import type { UserDirectory } from '../sessions/users.js'
import type { Millis } from '../lib/time.js'

/** Of whatever is not good, there is no more to say (RFC 7662 section 2.2). */
export type IntrospectionAnswer = Claims & { readonly active: boolean }

export interface IntrospectionContext {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly refreshTokens: JwtCodec
  readonly refresh: Refresh
  readonly clock: () => Millis
}

const inactive: IntrospectionAnswer = { active: false }

/** */
export class Introspection {
  readonly #context: IntrospectionContext

  constructor (context: IntrospectionContext) {
    this.#context = context
  }

  /**
   * Any access token, and the refresh tokens of the client that asks.
   * @throws TokenAuthError AUTH_STORE_UNAVAILABLE
   */
  async inspect (token: string, { id }: Client): Promise<IntrospectionAnswer> {
    const refreshToken = readRefreshToken(this.#context.refreshTokens, token)

    if (refreshToken !== null) {
      return refreshToken.clientId === id ? this.#inspectRefreshToken(refreshToken) : inactive
    }

    return this.#inspectAccessToken(token)
  }

  async #inspectAccessToken (token: string): Promise<IntrospectionAnswer> {
    const { store, access, clock } = this.#context
    const now = clock()
    const { read, claims } = access.inspect(token, now) ?? {}

    if (read === undefined || now >= read.expiresAt) {
      return inactive
    }

    const session = await store.find(read.sessionId)

    if (session === null || !isLive(session, now) || !await this.#isActive(read.userId)) {
      return inactive
    }

    return { ...claims, active: true, token_type: read.thumbprint === null ? 'Bearer' : 'DPoP' }
  }

  async #inspectRefreshToken (presented: RefreshToken): Promise<IntrospectionAnswer> {
    const { store, refresh, clock } = this.#context
    const verdict = refresh.preview(presented, await store.find(presented.sessionId), clock())

    if (!('expiresAt' in verdict) || !await this.#isActive(presented.userId)) {
      return inactive
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
