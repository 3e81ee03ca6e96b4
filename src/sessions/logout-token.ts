import { isLive } from '../domain/session.js'
import type { Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { Millis } from '../lib/time.js'
import type { TokenStore } from '../stores/token-store.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { readRefreshToken } from '../tokens/refresh-token.js'
import type { RefreshToken } from '../tokens/refresh-token.js'

/** Collaborators of {@link verifyLogoutToken}. */
export interface LogoutTokenContext {
  readonly store: TokenStore
  readonly realm: string
  readonly refreshTokens: JwtCodec
  readonly clock: () => Millis
}

/**
 * Verifies a refresh token with which a client revokes all sessions of its user.
 *
 * Accepts the current and the previous token of a live session. An attacker who finds an older one
 * in a log or a backup must not sign the user out everywhere. Does not check a DPoP proof.
 *
 * @throws TokenAuthError `AUTH_REFRESH_INVALID`, also for the token of an OAuth client,
 * `AUTH_REFRESH_REVOKED`, `AUTH_REFRESH_EXPIRED` or `AUTH_STORE_UNAVAILABLE`
 */
export async function verifyLogoutToken (
  { store, realm, refreshTokens, clock }: LogoutTokenContext,
  token: string
): Promise<RefreshToken> {
  const presented = readRefreshToken(refreshTokens, token)

  if (presented === null || presented.clientId !== null) {
    throw new TokenAuthError('AUTH_REFRESH_INVALID')
  }

  const session = await store.find(realm, presented.sessionId)

  if (session === null || !isRecent(session, presented)) {
    throw new TokenAuthError('AUTH_REFRESH_INVALID')
  }

  if (session.revokedAt !== null) {
    throw new TokenAuthError('AUTH_REFRESH_REVOKED')
  }

  if (!isLive(session, clock())) {
    throw new TokenAuthError('AUTH_REFRESH_EXPIRED')
  }

  return presented
}

// A token ahead of its row is authentic too: the store has lost writes.
function isRecent (session: Session, { secretHash, generation }: RefreshToken): boolean {
  return session.secretHash === secretHash && session.generation - generation <= 1
}
