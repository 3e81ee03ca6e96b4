import { randomBytes } from 'node:crypto'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Caller, RevocationReason, Session } from '../domain/session.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import type { Events } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import { SessionRefusedError } from '../stores/token-store.js'
import type { TokenStore } from '../stores/token-store.js'
import type { TokenOwner } from '../tokens/access-token.js'
import type { SenderConstraint } from '../tokens/claims.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import {
  createSessionSecret,
  issueRefreshToken,
  readRefreshToken
} from '../tokens/refresh-token.js'
import type { NewSession, TokenVersion } from '../tokens/refresh-token.js'
import type { AccessVerifier } from './access-verifier.js'
import type { IssuedTokens, TokenIssuer } from './token-issuer.js'
import type { Profile } from './users.js'

const MAX_LISTED = 100

/** Result of an authentication, and settings of the session to open. */
export interface NewSessionInput {
  readonly by: Caller
  /** Label of the device, as the client named it. */
  readonly device: string | null
  /** Whether cookies outlive the browser. */
  readonly persistent: boolean
  readonly authenticatedAt: Millis
  /** Authentication methods (RFC 8176). */
  readonly amr: readonly string[]
  /** OAuth client that may refresh the session. `null` for a first-party session. */
  readonly clientId: string | null
  /** Proof of the key to bind the session to, or `null`. */
  readonly proof: DpopProof | null
}

/** Settings and collaborators of {@link Sessions}. */
export interface SessionsContext {
  readonly store: TokenStore
  readonly access: AccessVerifier
  readonly issuer: TokenIssuer
  readonly refreshTokens: JwtCodec
  readonly revoked: RevokedSessions
  readonly feed: RevocationFeed
  readonly events: Events
  readonly clock: () => Millis
  /** Idle lifetime of a refresh token. */
  readonly lifetime: Millis
  /** Maximum lifetime of a session. */
  readonly maxLifetime: Millis
  /** Whether sessions have refresh tokens. */
  readonly refreshable: boolean
  /** Maximum number of live sessions of a user. `Infinity` for no limit. */
  readonly maxSessions: number
  /** `null` if DPoP is disabled. */
  readonly dpop: DpopVerifier | null
  /** Whether an OAuth client has a secret. */
  readonly isConfidential: (clientId: string) => boolean
}

/** Opens, lists and revokes sessions. `Refresh` refreshes them. */
export class Sessions {
  readonly #context: SessionsContext
  #lastRevokeAll: Millis = 0

  constructor (context: SessionsContext) {
    this.#context = context
  }

  /**
   * Returns the time at which an authentication starts.
   *
   * The time is later than the last revocation of all sessions by this process, even within one
   * millisecond. Ignores a revocation by a clock that was far ahead. Otherwise later revocations
   * could not revoke the new session.
   */
  loginStartedAt (): Millis {
    const now = this.#context.clock()

    return this.#lastRevokeAll > now + CLOCK_TOLERANCE
      ? now
      : Math.max(now, this.#lastRevokeAll + 1)
  }

  /**
   * Opens a session and issues its tokens.
   *
   * @throws SessionRefusedError if all sessions of the user were revoked after `authenticatedAt`.
   * @throws TokenAuthError `AUTH_DPOP_INVALID` if the proof was used before, or
   * `AUTH_STORE_UNAVAILABLE`.
   */
  async open (profile: Profile, input: NewSessionInput): Promise<IssuedTokens> {
    const { store, events, clock, issuer, dpop } = this.#context
    const { by, persistent, authenticatedAt, amr, clientId, proof } = input

    if (proof !== null) {
      await dpop?.consume(proof)
    }

    const thumbprint = proof?.thumbprint ?? null
    const now = clock()
    const { secret, secretHash } = createSessionSecret()
    const session = this.#createSession(profile.userId, secretHash, input, now)
    const { id: sessionId, userId, expiresAt } = session
    await store.create(session)
    events.emit('login', { at: now, sessionId, userId, ...by })
    await this.#revokeOldest(session, now)

    const version = { generation: 0, issuedAt: now, expiresAt }
    const refreshToken = this.#issueFirstToken(
      { id: sessionId, userId, secret, persistent, amr, clientId, thumbprint },
      version
    )

    return issuer.issue(profile, {
      sessionId,
      generation: 0,
      expiresAt,
      refreshToken,
      persistent,
      authenticatedAt,
      amr,
      clientId,
      thumbprint
    }, now)
  }

  /** Finds the session of a refresh token or, without an authentic one, of an access token. */
  findOwner (
    tokens: { readonly refresh: string | null, readonly access: string | null }
  ): TokenOwner | null {
    const { refreshTokens, access } = this.#context
    const presented = tokens.refresh === null
      ? null
      : readRefreshToken(refreshTokens, tokens.refresh)
    return presented ?? (tokens.access === null ? null : access.findOwner(tokens.access))
  }

  /** Returns the kind of token that a string claims to be. Proves nothing. */
  getTokenKind (token: string): 'access' | 'refresh' | null {
    const { refreshTokens, access } = this.#context

    if (access.looksLike(token)) {
      return 'access'
    }

    return refreshTokens.looksLike(token) ? 'refresh' : null
  }

  /** Lists the live sessions of a user, newest first, at most 100. */
  async list (userId: string): Promise<Session[]> {
    return this.#context.store.list(userId, { now: this.#context.clock(), limit: MAX_LISTED })
  }

  /**
   * Revokes a session.
   *
   * @returns Whether the session existed and was not revoked before.
   */
  async revoke (sessionId: string, reason: RevocationReason): Promise<boolean> {
    const { store, revoked, events, clock } = this.#context
    const at = clock()
    const count = await store.revoke({ sessionId }, { at, reason })
    revoked.add({ sessionId, at }, at)

    if (count > 0) {
      events.emit('revoke', { at, sessionId, userId: null, count, reason })
    }

    return count > 0
  }

  /** Revokes the session of a refresh token that a new login replaces. Ignores unknown tokens. */
  async revokeReplaced (refreshToken: string | null): Promise<void> {
    const owner = this.findOwner({ refresh: refreshToken, access: null })

    if (owner !== null) {
      await this.revoke(owner.sessionId, 'replaced')
    }
  }

  /** Revokes a session if it belongs to the user. Otherwise does nothing. */
  async revokeOwn (userId: string, sessionId: string): Promise<void> {
    const session = await this.#context.store.find(sessionId)

    if (session?.userId === userId) {
      await this.revoke(sessionId, 'revoked')
    }
  }

  /**
   * Revokes all sessions of a user, except `keep`.
   *
   * @returns The number of sessions that this call revoked.
   */
  async revokeAll (userId: string, reason: RevocationReason, keep?: string): Promise<number> {
    const { store, feed, events, clock } = this.#context
    const at = clock()
    this.#lastRevokeAll = Math.max(at, this.loginStartedAt() - 1)
    const target = keep === undefined ? { userId } : { userId, keep }
    const count = await store.revoke(target, { at, reason })
    events.emit('revoke', { at, sessionId: null, userId, count, reason })
    await feed.poll()
    return count
  }

  #createSession (
    userId: string,
    secretHash: string,
    { by, device: label, authenticatedAt }: NewSessionInput,
    now: Millis
  ): Session {
    const { lifetime, maxLifetime } = this.#context
    const endsAt = now + maxLifetime

    return {
      id: `s${randomBytes(16).toString('base64url')}`,
      userId,
      secretHash,
      generation: 0,
      confirmedGeneration: 0,
      createdAt: now,
      authenticatedAt,
      rotatedAt: now,
      rotatedBy: by,
      lastUsedAt: now,
      expiresAt: Math.min(now + lifetime, endsAt),
      endsAt,
      revokedAt: null,
      revokedFor: null,
      device: { label, ...by }
    }
  }

  #issueFirstToken (session: NewSession & SenderConstraint, version: TokenVersion): string | null {
    const { refreshTokens, refreshable, isConfidential } = this.#context
    const { clientId } = session

    if (!refreshable) {
      return null
    }

    // A client with a secret authenticates at each refresh. It may change its key and keep its
    // sessions (RFC 9449, section 5).
    const isBoundByClient = clientId !== null && isConfidential(clientId)
    const bound = isBoundByClient ? { ...session, thumbprint: null } : session
    return issueRefreshToken(refreshTokens, bound, version)
  }

  // Revokes only sessions that are older than the new one. Otherwise concurrent logins would revoke
  // each other's sessions.
  async #revokeOldest ({ id, userId }: Session, now: Millis): Promise<void> {
    const { store, maxSessions } = this.#context

    if (maxSessions === Infinity) {
      return
    }

    const live = await store.list(userId, { now, limit: maxSessions + MAX_LISTED })
    const own = live.findIndex(session => session.id === id)

    for (const session of live.slice(Math.max(maxSessions, own + 1))) {
      await this.revoke(session.id, 'too-many')
    }
  }
}

/** Whether {@link Sessions.open} failed because a revocation followed the start of the login. */
export function isRevokedSinceError (error: unknown): boolean {
  return error instanceof SessionRefusedError && error.reason === 'revoked-since'
}
