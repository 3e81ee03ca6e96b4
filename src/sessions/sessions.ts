// A session from its beginning to its end: opened, shown, ended. How it goes on in between is refresh.ts.

import { randomBytes } from 'node:crypto'
import type { Authentication, TokenOwner } from '../tokens/access-token.js'
import type { SenderConstraint } from '../tokens/claims.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { firstRefreshToken, makeSecret, readRefreshToken } from '../tokens/refresh-token.js'
import type { NewSession, TokenVersion } from '../tokens/refresh-token.js'
import { CLOCK_TOLERANCE } from '../domain/rotation.js'
import type { Caller, RevocationReason, Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import { SessionRefusedError } from '../stores/token-store.js'
import type { TokenStore } from '../stores/token-store.js'
import type { AccessVerifier } from './access-verifier.js'
import type { Clients } from '../oauth/clients.js'
import type { Events } from '../events.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { Profile, UserDirectory } from './users.js'
import type { Millis } from '../lib/time.js'

const LISTED = 100

/** What a login or a refresh hands out. */
export interface IssuedTokens {
  readonly accessToken: string
  /** Seconds. */
  readonly expiresIn: number
  /** `null` where the client keeps the one that it has, or there are none. */
  readonly refreshToken: string | null
  /** Seconds that the refresh token is good for, unless it is used. */
  readonly refreshExpiresIn: number
  /** Whether a cookie that holds it outlives the browser. */
  readonly persistent: boolean
  /** Whether the access token is bound to a key. */
  readonly isDpopBound: boolean
  /** The claim `scope` of the access token (RFC 9068 section 2.2.3); `null` where the app gives none. */
  readonly scope: string | null
  readonly user: object
}

/** A proof of identity, and what its session is to be. */
export interface NewSessionInput {
  readonly by: Caller
  /** What the client calls itself. */
  readonly device: string | null
  readonly persistent: boolean
  readonly authenticatedAt: Millis
  /** How it was proved (RFC 8176). */
  readonly amr: readonly string[]
  /** The OAuth client that alone may go on with it; `null` for the app's own. */
  readonly clientId: string | null
  /** The key that it is bound to; `null` where it is to none. */
  readonly proof: DpopProof | null
}

interface TokenSubject
  extends Pick<IssuedTokens, 'refreshToken' | 'persistent'>, Authentication, SenderConstraint {
  readonly sessionId: string
  readonly generation: number
  readonly expiresAt: Millis
}

export interface SessionsContext {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly access: AccessVerifier
  readonly refreshTokens: JwtCodec
  readonly revoked: RevokedSessions
  readonly feed: RevocationFeed
  readonly events: Events
  readonly clock: () => Millis
  /** Of a refresh token that is not used. */
  readonly lifetime: Millis
  /** Of a session, however often it is refreshed. */
  readonly maxLifetime: Millis
  /** Whether there are refresh tokens. */
  readonly refreshable: boolean
  /** How many live sessions a user may have. */
  readonly maxSessions: number
  /** `null` where there are no proofs of possession. */
  readonly dpop: DpopVerifier | null
  /** `null` where there are no OAuth clients. */
  readonly clients: Clients | null
}

/** */
export class Sessions {
  readonly #context: SessionsContext
  #lastEndAll: Millis = 0

  constructor (context: SessionsContext) {
    this.#context = context
  }

  /**
   * The moment at which a proof of identity begins: after every revocation of this process, also within a millisecond. Not
   * after one of a clock that was ahead and is put right: what is revoked from now on is to end this session too.
   */
  loginStartedAt (): Millis {
    const now = this.#context.clock()
    return this.#lastEndAll > now + CLOCK_TOLERANCE ? now : Math.max(now, this.#lastEndAll + 1)
  }

  /**
   * Signs a user in.
   * @throws SessionRefusedError where all sessions of the user were revoked after `authenticatedAt`
   * @throws TokenAuthError AUTH_DPOP_INVALID where the proof was used before
   */
  async open (profile: Profile, opening: NewSessionInput): Promise<IssuedTokens> {
    const { store, events, clock, lifetime, maxLifetime, dpop: proofs } = this.#context
    const { by, device: label, persistent, authenticatedAt, amr, clientId, proof } = opening

    if (proof !== null) {
      await proofs?.consume(proof)
    }

    const thumbprint = proof?.thumbprint ?? null
    const now = clock()
    const { userId } = profile
    const { secret, secretHash } = makeSecret()
    const endsAt = now + maxLifetime
    const session: Session = {
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
    await store.create(session)
    events.emit('login', { at: now, sessionId: session.id, userId, ...by })
    await this.#endOldest(session, now)
    const edition = { generation: 0, issuedAt: now, expiresAt: session.expiresAt }
    const { id } = session
    const refreshToken = this.#firstToken({
      id,
      userId,
      secret,
      persistent,
      amr,
      clientId,
      thumbprint
    }, edition)

    return this.grant(profile, {
      sessionId: id,
      ...edition,
      refreshToken,
      persistent,
      authenticatedAt,
      amr,
      clientId,
      thumbprint
    }, now)
  }

  // A client with a secret may change its key, and keeps its sessions: it proves itself at each refresh anyway.
  #firstToken (session: NewSession & SenderConstraint, edition: TokenVersion): string | null {
    const { refreshTokens, refreshable, clients } = this.#context
    const { clientId } = session
    const isProven = clientId !== null && clients?.isConfidential(clientId) === true

    return refreshable
      ? firstRefreshToken(
        refreshTokens,
        isProven ? { ...session, thumbprint: null } : session,
        edition
      )
      : null
  }

  // Only what is older than this one, or two logins at once would end each other.
  async #endOldest ({ id, userId }: Session, now: Millis): Promise<void> {
    const { store, maxSessions } = this.#context

    if (maxSessions === Infinity) {
      return
    }

    const live = await store.list(userId, { now, limit: maxSessions + LISTED })
    const own = live.findIndex(session => session.id === id)

    for (const session of live.slice(Math.max(maxSessions, own + 1))) {
      await this.end(session.id, 'too-many')
    }
  }

  /** Whose a refresh token of any age, or an access token, is; `null` where neither is ours. */
  ownerOf (
    tokens: { readonly refresh: string | null, readonly access: string | null }
  ): TokenOwner | null {
    const { refreshTokens, access } = this.#context
    const presented = tokens.refresh === null
      ? null
      : readRefreshToken(refreshTokens, tokens.refresh)
    return presented ?? (tokens.access === null ? null : access.ownerOf(tokens.access))
  }

  /** What a text says of itself to be. Proves nothing. */
  kindOf (token: string): 'access' | 'refresh' | null {
    const { refreshTokens, access } = this.#context

    if (access.looksLike(token)) {
      return 'access'
    }

    return refreshTokens.looksLike(token) ? 'refresh' : null
  }

  /** The live sessions of a user, newest first, a hundred at most. */
  async list (userId: string): Promise<Session[]> {
    return this.#context.store.list(userId, { now: this.#context.clock(), limit: LISTED })
  }

  /** @returns Whether the session was there and had not been ended before. */
  async end (sessionId: string, reason: RevocationReason): Promise<boolean> {
    const { store, revoked, events, clock } = this.#context
    const at = clock()
    const count = await store.revoke({ sessionId }, { at, reason })
    revoked.add({ sessionId, at }, at)

    if (count > 0) {
      events.emit('revoke', { at, sessionId, userId: null, count, reason })
    }

    return count > 0
  }

  /** Ends the session of a refresh token over which another one was opened; one that is not ours is no error. */
  async replace (refreshToken: string | null): Promise<void> {
    const owner = this.ownerOf({ refresh: refreshToken, access: null })

    if (owner !== null) {
      await this.end(owner.sessionId, 'replaced')
    }
  }

  /** Ends a session if it is the user's; says nothing about one that is not. */
  async endOwn (userId: string, sessionId: string): Promise<void> {
    const session = await this.#context.store.find(sessionId)

    if (session?.userId === userId) {
      await this.end(sessionId, 'revoked')
    }
  }

  /** @returns How many sessions were ended. */
  async endAll (userId: string, reason: RevocationReason, keep?: string): Promise<number> {
    const { store, feed, events, clock } = this.#context
    const at = clock()
    this.#lastEndAll = Math.max(at, this.loginStartedAt() - 1)
    const count = await store.revoke(keep === undefined ? { userId } : { userId, keep }, {
      at,
      reason
    })
    events.emit('revoke', { at, sessionId: null, userId, count, reason })
    await feed.poll()
    return count
  }

  /** @throws TokenAuthError AUTH_SESSION_REVOKED where the user is gone; the next refresh ends the session. */
  async userOf (userId: string): Promise<object> {
    const profile = await this.#context.users.findActive(userId)

    if (profile === null) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    return profile.publicUser
  }

  /** What a session hands out at one of its generations. */
  grant (
    { userId, claims, publicUser }: Profile,
    {
      sessionId,
      generation,
      expiresAt,
      refreshToken,
      persistent,
      authenticatedAt,
      amr,
      clientId,
      thumbprint
    }: TokenSubject,
    now: Millis
  ): IssuedTokens {
    const subject = {
      userId,
      sessionId,
      generation,
      persistent,
      authenticatedAt,
      amr,
      clientId,
      thumbprint,
      claims: { ...claims }
    }
    const { token: accessToken, expiresIn } = this.#context.access.issue(subject, now, expiresAt)
    const refreshExpiresIn = Math.max(0, Math.floor((expiresAt - now) / 1000))
    const isDpopBound = thumbprint !== null

    return {
      accessToken,
      expiresIn,
      refreshToken,
      refreshExpiresIn,
      persistent,
      isDpopBound,
      scope: scopeOf(claims),
      user: publicUser
    }
  }
}

/** What the app's claims say that a token is good for (RFC 6749 section 3.3). */
export function scopeOf (claims: object): string | null {
  const { scope } = claims as { readonly scope?: unknown }
  return typeof scope === 'string' ? scope : null
}

/** Whether an error of {@link Sessions.open} means that the user was signed out everywhere while logging in. */
export function isRevokedSinceError (error: unknown): boolean {
  return error instanceof SessionRefusedError && error.reason === 'revoked-since'
}
