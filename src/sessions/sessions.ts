import { isLive } from '../domain/session.js'
import type { RevocationReason, Session } from '../domain/session.js'
import type { DpopVerifier } from '../dpop/verifier.js'
import type { Actor, Events, Logger } from '../events.js'
import { describeError } from '../lib/safe-error.js'
import type { Millis } from '../lib/time.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevocationReporter } from '../revocations/reporter.js'
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
import type { RefreshSubject, TokenVersion } from '../tokens/refresh-token.js'
import type { AccessVerifier } from './access-verifier.js'
import { createSession } from './new-session.js'
import type { NewSessionInput } from './new-session.js'
import type { IssuedTokens, TokenIssuer } from './token-issuer.js'
import type { Profile } from './users.js'

const MAX_LISTED = 100

/** Session to revoke, and the user it belongs to. */
export interface SessionOwner {
  readonly sessionId: string
  readonly userId: string
  /** Hash of the secret that the session must have. If unset, the secret is not checked. */
  readonly secretHash?: string
}

/** Settings and collaborators of {@link Sessions}. */
export interface SessionsContext {
  readonly store: TokenStore
  readonly realm: string
  readonly logger: Logger
  readonly access: AccessVerifier
  readonly issuer: TokenIssuer
  readonly refreshTokens: JwtCodec
  readonly reporter: RevocationReporter
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

  constructor (context: SessionsContext) {
    this.#context = context
  }

  /**
   * Opens a session and issues its tokens.
   *
   * The tokens are complete before the session is saved, so a failure leaves no session behind.
   * A derived session that exists and was not used yet gets the same tokens again.
   *
   * @throws SessionRefusedError if all sessions of the user were revoked after `authenticatedAt`,
   * or if a derived session was used or revoked, or belongs to another key.
   * @throws TokenAuthError `AUTH_DPOP_INVALID` if the proof was used before, or
   * `AUTH_STORE_UNAVAILABLE`.
   */
  async open (profile: Profile, input: NewSessionInput): Promise<IssuedTokens> {
    const { realm, events, feed, clock, lifetime, maxLifetime, dpop } = this.#context
    const { by, proof, authenticatedAt, actor, derived } = input
    await feed.catchUp()
    const startedAt = clock()
    const now = derived === undefined ? Math.max(startedAt, authenticatedAt) : authenticatedAt
    const { secret, secretHash } = createSessionSecret(derived?.secret)
    const owner = { realm, userId: profile.userId, secretHash }
    const session = createSession(owner, input, { now, lifetime, maxLifetime })
    const issued = this.#issueTokens(
      profile,
      session,
      secret,
      input,
      derived === undefined ? startedAt : now
    )
    input.assertSendable(issued)

    if (proof !== null) {
      await dpop?.consume(proof)
    }

    if (!await this.#save(session, derived !== undefined)) {
      return issued
    }

    const { id: sessionId, userId } = session
    events.emit('login', { at: now, sessionId, userId, ...by, actor })
    // First, so that it does not count as one session too many.
    await this.#revokeReplaced(input.replaces, actor)
    await this.#revokeOldest(userId, now)
    return issued
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

  /** Returns the kind of token that a string claims to be. Verifies no signature. */
  getTokenKind (token: string): 'access' | 'refresh' | null {
    const { refreshTokens, access } = this.#context

    if (access.looksLike(token)) {
      return 'access'
    }

    return refreshTokens.looksLike(token) ? 'refresh' : null
  }

  /** Lists the live sessions of a user, newest first, at most 100. */
  async list (userId: string): Promise<Session[]> {
    const { store, realm, feed, clock } = this.#context
    await feed.catchUp()
    return store.list(realm, userId, { now: clock(), limit: MAX_LISTED })
  }

  /**
   * Revokes a session.
   *
   * @param actor - Cause of the event. By default, the usual one of the reason.
   * @returns Whether the session existed and was not revoked before.
   */
  async revoke (
    { sessionId, userId, secretHash }: SessionOwner,
    reason: RevocationReason,
    actor?: Actor
  ): Promise<boolean> {
    const { store, realm, reporter, feed, clock } = this.#context
    await feed.catchUp()
    const at = clock()
    const revocation = { realm, at, reason, sessionId, userId }
    const target = secretHash === undefined
      ? { realm, sessionId }
      : { realm, sessionId, secretHash }
    reporter.begin(revocation, actor)

    if (await store.revoke(target, { at, reason }) > 0) {
      reporter.complete(revocation, at)
      return true
    }

    reporter.cancel(revocation)

    // With a wrong secret, the session stays valid. Otherwise it is revoked already, or unknown.
    if (secretHash === undefined) {
      reporter.addRevokedRow({ sessionId, userId }, at, at)
    }

    return false
  }

  /** Revokes the session with an ID, like {@link revoke}. */
  async revokeById (sessionId: string, reason: RevocationReason): Promise<boolean> {
    const { store, realm, reporter, clock } = this.#context
    const session = await store.find(realm, sessionId)

    if (session !== null) {
      return this.revoke({ sessionId, userId: session.userId }, reason)
    }

    // The store may have lost the session. Its access tokens must not outlive the call.
    const now = clock()
    reporter.addRevokedRow({ sessionId }, now, now)
    return false
  }

  /** Revokes a session for its user. Does nothing if it belongs to another user. */
  async revokeOwn (userId: string, sessionId: string): Promise<void> {
    const { store, realm } = this.#context
    const session = await store.find(realm, sessionId)

    if (session?.userId === userId) {
      await this.revoke({ sessionId, userId }, 'revoked', 'client')
    }
  }

  /**
   * Revokes all sessions of a user, except `keep`.
   *
   * @param actor - Cause of the event. By default, the usual one of the reason.
   * @returns The number of sessions that this call revoked.
   */
  async revokeUser (
    userId: string,
    reason: RevocationReason,
    keep?: string,
    actor?: Actor
  ): Promise<number> {
    const { store, realm, reporter, feed, clock } = this.#context
    await feed.catchUp()
    const at = clock()
    const target = keep === undefined ? { realm, userId } : { realm, userId, keep }
    const revocation = { ...target, at, reason, before: at }
    reporter.begin(revocation, actor)
    const count = await store.revoke(target, { at, reason })
    reporter.complete(revocation, at)
    // The store may have revoked sessions that began later than `at`.
    await feed.poll()
    return count
  }

  /**
   * Revokes all sessions of the realm.
   *
   * Writes the not-before twice. A login that began before the first one may be saved while it is
   * written, with a later creation time. The second one also revokes its access tokens.
   */
  async revokeRealm (reason: RevocationReason): Promise<void> {
    const { store, realm, reporter, feed, clock } = this.#context

    for (let write = 0; write < 2; write++) {
      await feed.catchUp()
      const at = clock()
      const revocation = { realm, at, reason, before: at }
      reporter.begin(revocation)
      await store.revoke({ realm }, { at, reason })
      reporter.complete(revocation, at)
    }
  }

  // Returns whether the session is new. Another request with the same token may have saved it.
  async #save (session: Session, isDerived: boolean): Promise<boolean> {
    const { store, realm, clock } = this.#context

    try {
      await store.create(session)
      return true
    } catch (error) {
      const saved = isDerived && error instanceof SessionRefusedError && error.before === null
        ? await store.find(realm, session.id)
        : null

      if (saved !== null && isUnused(saved, session) && isLive(saved, clock())) {
        return false
      }

      throw error
    }
  }

  // Ignores unknown tokens.
  async #revokeReplaced (refreshToken: string | null, actor: Actor): Promise<void> {
    const owner = this.findOwner({ refresh: refreshToken, access: null })

    if (owner !== null) {
      await this.revoke(owner, 'replaced', actor)
    }
  }

  #issueTokens (
    profile: Profile,
    { id: sessionId, userId, createdAt, authenticatedAt, expiresAt }: Session,
    secret: string,
    { persistent, amr, clientId, proof }: NewSessionInput,
    now: Millis
  ): IssuedTokens {
    const thumbprint = proof?.thumbprint ?? null
    const refreshToken = this.#issueFirstToken(
      { id: sessionId, userId, secret, persistent, amr, clientId, thumbprint },
      { generation: 0, issuedAt: createdAt, expiresAt }
    )

    return this.#context.issuer.issue(profile, {
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

  #issueFirstToken (
    session: RefreshSubject & SenderConstraint,
    version: TokenVersion
  ): string | null {
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

  // All instances order the sessions of a user equally. So the last of several concurrent logins
  // sees all of them, and revokes the oldest. The login has succeeded already, so a failure is only
  // logged.
  async #revokeOldest (userId: string, now: Millis): Promise<void> {
    const { store, realm, logger, maxSessions } = this.#context

    if (maxSessions === Infinity) {
      return
    }

    try {
      const live = await store.list(realm, userId, { now, limit: maxSessions + MAX_LISTED })

      for (const session of live.slice(maxSessions)) {
        await this.revoke({ sessionId: session.id, userId }, 'too-many')
      }
    } catch (error) {
      logger.warn({ userId, cause: describeError(error, false) }, 'failed to enforce "maxSessions"')
    }
  }
}

// The refresh token of a session that was rotated since would count as reused.
function isUnused (saved: Session, { userId, secretHash }: Session): boolean {
  return saved.userId === userId && saved.secretHash === secretHash && saved.generation === 0
}

/**
 * Returns the moment of the revocation that made a login fail, or `null` for other errors.
 *
 * Before a second attempt, the caller must read the user again. Its `authenticatedAt` must be later
 * than this moment.
 */
export function getRevokedSince (error: unknown): Millis | null {
  return error instanceof SessionRefusedError ? error.before : null
}
