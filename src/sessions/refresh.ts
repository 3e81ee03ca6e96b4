import type { Continuation, RotationVerdict } from '../domain/rotation.js'
import { getCreationTime } from '../domain/session.js'
import type { Caller } from '../domain/session.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import { createMissingProofError, TokenAuthError } from '../errors.js'
import type { Events, Logger } from '../events.js'
import { MINUTE } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { TokenStore } from '../stores/token-store.js'
import type { Throttle } from '../throttle/throttle.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { issueSuccessor, readRefreshToken } from '../tokens/refresh-token.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import type { RequestArrival } from './arrival.js'
import { RefreshRejections } from './refresh-rejections.js'
import type { Arrival, ReuseGuard } from './reuse-guard.js'
import type { Sessions } from './sessions.js'
import { getScope } from './token-issuer.js'
import type { IssuedTokens, TokenIssuer } from './token-issuer.js'
import type { TokenRotator } from './token-rotator.js'
import type { Profile, UserDirectory } from './users.js'

/** A younger session is not revoked if its user is not found. A replica may lack a new user. */
const MIN_AGE_OF_ORPHANS: Millis = MINUTE

/** Settings and collaborators of {@link Refresh}. */
export interface RefreshContext {
  readonly clock: () => Millis
  readonly store: TokenStore
  readonly realm: string
  readonly users: UserDirectory
  readonly sessions: Sessions
  readonly issuer: TokenIssuer
  readonly refreshTokens: JwtCodec
  /** `null` if invalid tokens are not counted. */
  readonly throttle: Throttle | null
  readonly usage: UsageTracker
  readonly events: Events
  readonly logger: Logger
  readonly rotation: boolean
  /** Idle lifetime of a refresh token. */
  readonly lifetime: Millis
  readonly rotator: TokenRotator
  readonly reuseGuard: ReuseGuard
  /** `null` if DPoP is disabled. */
  readonly dpop: DpopVerifier | null
}

/** Sender, proof and scope of a refresh request. */
export interface RefreshRequest {
  readonly by: Caller
  readonly arrival: RequestArrival
  /** OAuth client that has authenticated. `null` for the app itself. */
  readonly clientId: string | null
  readonly proof: DpopProof | null
  /** Requested scope (RFC 6749, section 6). `null` for the scope of the user. */
  readonly scope: string | null
  /**
   * Whether the cookie outlives the browser, if the session moves from the body to a cookie. The
   * response then contains a refresh token, also without rotation. `null` if it does not move.
   */
  readonly move: { readonly persistent: boolean } | null
  /** Whether the client still waits for the response. */
  readonly isConnected: () => boolean
  /** Throws if the tokens cannot be sent. `null` if tokens of any length can. */
  readonly assertSendable: ((issued: IssuedTokens) => void) | null
}

/** One refresh whose token is authentic. */
interface AuthenticRefresh extends Arrival {
  readonly presented: RefreshToken
  readonly by: Caller
}

/** Refreshes sessions: turns the verdicts of `domain/rotation.ts` into responses. */
export class Refresh {
  readonly #context: RefreshContext
  readonly #rejections: RefreshRejections

  constructor (context: RefreshContext) {
    this.#context = context
    this.#rejections = new RefreshRejections(context.events, context.clock)
  }

  /**
   * Exchanges a refresh token for a new access token and, with rotation, for its successor.
   *
   * Rotates after it has verified the token and completed the data of the user, so that an earlier
   * failure leaves the presented token current.
   *
   * @throws TokenAuthError `AUTH_REFRESH_INVALID`, `AUTH_REFRESH_EXPIRED`, `AUTH_REFRESH_REVOKED`,
   * `AUTH_REFRESH_REUSED`, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`, `AUTH_DPOP_INVALID`,
   * or `AUTH_CLAIMS_INSUFFICIENT` if the requested scope exceeds the user's.
   */
  async refresh (token: string, request: RefreshRequest): Promise<IssuedTokens> {
    const { users, refreshTokens, throttle, rotator } = this.#context
    const { by, scope, proof, isConnected } = request
    const { arrivedAt, afterStandstill } = request.arrival
    const authentic = readRefreshToken(refreshTokens, token)

    if (authentic === null) {
      await throttle?.countInvalidToken(by)
      throw this.#rejections.rejectInvalid(by)
    }

    const presented = request.move?.persistent === true ? makePersistent(authentic) : authentic

    if (presented.clientId !== request.clientId) {
      throw this.#rejections.reject('wrong-client', presented, by)
    }

    const isBound = presented.thumbprint !== null || proof !== null
    const thumbprint = isBound ? await this.#verifyPossession(presented, proof, by) : null
    const profile = await users.getProfile(presented.userId)

    if (profile === 'gone' || profile === 'disabled') {
      return this.#rejectMissingUser(presented, profile, by)
    }

    if (scope !== null && !isWithinScope(scope, getScope(profile.claims))) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }

    if (request.assertSendable !== null) {
      request.assertSendable(this.#issueProbe(profile, presented, thumbprint))
    }

    const refresh = { presented, afterStandstill, by, isConnected }
    const verdict = await rotator.rotate(presented, arrivedAt, by)
    const continuation = await this.#applyVerdict(refresh, verdict)
    return this.#issue(profile, presented, thumbprint, continuation, request.move !== null)
  }

  // A bound session requires a proof of its key, so a stolen token alone can neither refresh nor
  // revoke it. An unbound session stays unbound, even if its access tokens are bound.
  async #verifyPossession (
    presented: RefreshToken,
    proof: DpopProof | null,
    by: Caller
  ): Promise<string> {
    const { dpop } = this.#context
    const { thumbprint } = presented

    if (proof === null || dpop === null) {
      throw createMissingProofError()
    }

    if (thumbprint !== null && thumbprint !== proof.thumbprint) {
      throw this.#rejections.reject('wrong-key', presented, by)
    }

    await dpop.consume(proof)
    return proof.thumbprint
  }

  async #applyVerdict (
    refresh: AuthenticRefresh,
    verdict: RotationVerdict
  ): Promise<Continuation> {
    const { presented, by } = refresh
    const now = this.#context.clock()

    switch (verdict.kind) {
      case 'unknown':
        throw this.#rejectMissingSession(presented, now, by)
      case 'ahead':
        throw this.#rejectTemporarily(presented, 'the row is still behind the token')
      case 'late':
        throw this.#rejectTemporarily(presented, 'the session was rotated while the request waited')
      case 'revoked':
        throw this.#rejections.reject('revoked', presented, by, verdict.session.revokedFor)
      case 'expired':
        throw this.#rejections.reject('expired', presented, by)
      case 'reused': {
        const use = { presented, session: verdict.session, now, by }
        await this.#context.reuseGuard.revoke(use, refresh)
        throw this.#rejections.reject('reused', presented, by)
      }
    }

    await this.#recordContinuation(refresh, verdict, now)
    return verdict
  }

  #rejectTemporarily ({ sessionId, userId }: RefreshToken, reason: string): TokenAuthError {
    this.#context.logger.warn({ sessionId, userId, reason }, 'rejected a refresh with 503')
    return new TokenAuthError('AUTH_STORE_UNAVAILABLE')
  }

  #rejectMissingSession (presented: RefreshToken, now: Millis, by: Caller): TokenAuthError {
    const { sessionId, userId, expiresAt } = presented

    if (expiresAt > now) {
      this.#context.events.emit('session-missing', { at: now, sessionId, userId, ...by })
    }

    return this.#rejections.reject('unknown', presented, by)
  }

  async #recordContinuation (
    refresh: AuthenticRefresh,
    { kind, generation, session }: Continuation,
    at: Millis
  ): Promise<void> {
    const { presented, by } = refresh
    const { events, usage, rotation, reuseGuard } = this.#context
    const { id: sessionId, userId } = session
    const { address, userAgent } = by

    if (!rotation) {
      await usage.markUsed(sessionId, generation, at)
    } else if (kind === 'kept') {
      await usage.markConfirmed(sessionId, generation, at)
    }

    if (rotation && kind !== 'rotated') {
      const use = { presented, session, now: at, by }
      const isRevoked = await reuseGuard.recordReplay(use, kind, refresh)

      if (isRevoked) {
        throw this.#rejections.reject('reused', presented, by)
      }
    }

    if (!rotation || kind === 'rotated' || kind === 'kept') {
      const rotated = kind === 'rotated'
      events.emit('refresh', { at, sessionId, userId, address, userAgent, generation, rotated })
    } else {
      const name = kind === 'replayed' ? 'replay' : 'recovery'
      events.emit(name, { at, sessionId, userId, address, userAgent, generation })
    }
  }

  #issue (
    profile: Profile,
    presented: RefreshToken,
    thumbprint: string | null,
    continuation: Continuation,
    moves: boolean
  ): IssuedTokens {
    const { issuer, refreshTokens, rotation, clock } = this.#context
    const { sessionId, persistent, amr, clientId } = presented
    const { generation, expiresAt, session: { authenticatedAt } } = continuation
    const keepsToken = !rotation && continuation.kind === 'kept' && !moves
    const refreshToken = keepsToken ? null : issueSuccessor(refreshTokens, presented, continuation)

    return issuer.issue(profile, {
      sessionId,
      generation,
      expiresAt,
      refreshToken,
      persistent,
      authenticatedAt,
      amr,
      clientId,
      thumbprint
    }, clock())
  }

  // Tokens of the same length as those of the response. They are not sent.
  #issueProbe (
    profile: Profile,
    { sessionId, generation, persistent, amr, clientId }: RefreshToken,
    thumbprint: string | null
  ): IssuedTokens {
    const { issuer, clock, lifetime } = this.#context
    const now = clock()

    return issuer.issue(profile, {
      sessionId,
      generation: generation + 1,
      expiresAt: now + lifetime,
      refreshToken: null,
      persistent,
      authenticatedAt: now,
      amr,
      clientId,
      thumbprint
    }, now)
  }

  async #rejectMissingUser (
    presented: RefreshToken,
    reason: 'gone' | 'disabled',
    by: Caller
  ): Promise<never> {
    const { store, realm, clock, sessions } = this.#context
    const { sessionId, userId, secretHash } = presented
    const session = await store.find(realm, sessionId)

    if (session?.secretHash !== secretHash) {
      throw this.#rejectMissingSession(presented, clock(), by)
    }

    const age = clock() - (getCreationTime(sessionId) ?? -Infinity)

    if (session.revokedAt === null && reason === 'gone' && age < MIN_AGE_OF_ORPHANS) {
      throw this.#rejectTemporarily(
        presented,
        'findById did not find the user of a new session; if IDs are numbers, set "users.parseId"'
      )
    }

    await sessions.revoke({ sessionId, userId, secretHash }, 'user-gone')
    throw this.#rejections.reject('revoked', presented, by, session.revokedFor ?? 'user-gone')
  }
}

function makePersistent (token: RefreshToken): RefreshToken {
  return { ...token, persistent: true, claims: { ...token.claims, persistent: true } }
}

function isWithinScope (requested: string, granted: string | null): boolean {
  const scopes = new Set(granted?.split(' '))
  return requested.split(' ').every(scope => scopes.has(scope))
}
