import { judgeRotation, planHealing, planRotation } from '../domain/rotation.js'
import type {
  Continuation,
  RotationAttempt,
  RotationOutcome,
  RotationVerdict
} from '../domain/rotation.js'
import type { Caller, Session } from '../domain/session.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import { missingProof, TokenAuthError } from '../errors.js'
import type { Events } from '../events.js'
import { BoundedMap } from '../lib/bounded-map.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { TokenStore } from '../stores/token-store.js'
import type { Throttle } from '../throttle/throttle.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import { issueSuccessor, readRefreshToken } from '../tokens/refresh-token.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import type { ReuseGuard } from './reuse-guard.js'
import type { Sessions } from './sessions.js'
import { getScope } from './token-issuer.js'
import type { IssuedTokens, TokenIssuer } from './token-issuer.js'
import type { UserDirectory } from './users.js'

// Smaller differences between the clocks of instances are normal.
const MIN_REPORTED_SKEW: Millis = SECOND
const MAX_RECOVERIES = 10_000
const UNKNOWN_CALLER: Caller = { address: null, userAgent: null }

/** Settings and collaborators of {@link Refresh}. */
export interface RefreshContext {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly sessions: Sessions
  readonly issuer: TokenIssuer
  readonly refreshTokens: JwtCodec
  /** `null` if invalid tokens are not counted. */
  readonly throttle: Throttle | null
  readonly usage: UsageTracker
  readonly events: Events
  readonly clock: () => Millis
  readonly rotation: boolean
  /** Idle lifetime of a refresh token. */
  readonly lifetime: Millis
  /** Grace period of a rotated token. */
  readonly grace: Millis
  readonly reuseGuard: ReuseGuard
  /** `null` if DPoP is disabled. */
  readonly dpop: DpopVerifier | null
}

/** Sender, proof and scope of a refresh request. */
export interface RefreshRequest {
  readonly by: Caller
  /** OAuth client that has authenticated. `null` for the app itself. */
  readonly clientId: string | null
  readonly proof: DpopProof | null
  /** Requested scope (RFC 6749, section 6). `null` for the scope of the user. */
  readonly scope: string | null
}

/** Refreshes sessions: turns the verdicts of `domain/rotation.ts` into responses. */
export class Refresh {
  readonly #context: RefreshContext
  readonly #recoveredAt = new BoundedMap<string, Millis>(MAX_RECOVERIES)

  constructor (context: RefreshContext) {
    this.#context = context
  }

  /**
   * Exchanges a refresh token for a new access token and, with rotation, for its successor.
   *
   * Rotates after it has verified the token and found the user, so that an earlier failure leaves
   * the presented token current.
   *
   * @throws TokenAuthError `AUTH_REFRESH_INVALID`, `AUTH_REFRESH_EXPIRED`, `AUTH_REFRESH_REVOKED`,
   * `AUTH_REFRESH_REUSED`, `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`, `AUTH_DPOP_INVALID`,
   * or `AUTH_CLAIMS_INSUFFICIENT` if the requested scope exceeds the user's.
   */
  async refresh (token: string, request: RefreshRequest): Promise<IssuedTokens> {
    const { users, issuer, clock, refreshTokens, rotation, throttle } = this.#context
    const { by, scope, proof } = request
    const presented = readRefreshToken(refreshTokens, token)

    if (presented === null) {
      await throttle?.countInvalidToken(by)
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    const { sessionId, userId, clientId, persistent, amr } = presented

    if (clientId !== request.clientId) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    const isBound = presented.thumbprint !== null || proof !== null
    const thumbprint = isBound ? await this.#verifyPossession(presented, proof) : null
    const profile = await users.findActive(userId)

    if (profile === null) {
      return this.#revokeSessionOfGoneUser(presented)
    }

    if (scope !== null && !isWithinScope(scope, getScope(profile.claims))) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }

    const now = clock()
    const verdict = await this.#rotate(presented, now, by)
    const continuation = await this.#applyVerdict(presented, verdict, now, by)
    const { generation, expiresAt, session: { authenticatedAt } } = continuation
    const keepsToken = !rotation && continuation.kind === 'kept'
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
    }, now)
  }

  /** Returns the verdict on a token for a given session, without writing to the store. */
  preview (presented: RefreshToken, session: Session | null, now: Millis): RotationVerdict {
    const grace = this.#getGrace(presented.sessionId, now)
    const attempt = planRotation(presented, { now, lifetime: 0, grace, by: UNKNOWN_CALLER })
    return this.#evaluate(attempt, { swapped: false, session })
  }

  // A bound session requires a proof of its key, so a stolen token alone can neither refresh nor
  // revoke it. An unbound session stays unbound, even if its access tokens are bound.
  async #verifyPossession (
    { thumbprint }: RefreshToken,
    proof: DpopProof | null
  ): Promise<string> {
    const { dpop } = this.#context

    if (proof === null || dpop === null) {
      throw missingProof()
    }

    if (thumbprint !== null && thumbprint !== proof.thumbprint) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    await dpop.consume(proof)
    return proof.thumbprint
  }

  async #rotate (presented: RefreshToken, now: Millis, by: Caller): Promise<RotationVerdict> {
    const { store, rotation, lifetime, events, clock } = this.#context
    const { sessionId } = presented
    const grace = this.#getGrace(sessionId, now)
    const attempt = planRotation(presented, { now, lifetime, grace, by })
    const outcome = rotation
      ? await store.rotate(attempt)
      : { swapped: false, session: await store.find(sessionId) }
    const ahead = (outcome.session?.rotatedAt ?? 0) - clock()

    if (ahead > MIN_REPORTED_SKEW) {
      events.emit('clock-skew', { at: now, sessionId, ahead })
    }

    const verdict = this.#evaluate(attempt, outcome)

    return verdict.kind === 'ahead' || verdict.kind === 'far-ahead'
      ? this.#heal(presented, verdict, attempt)
      : verdict
  }

  // The store has lost writes. The presented token can restore one generation.
  async #heal (
    presented: RefreshToken,
    verdict: RotationVerdict & { readonly session: Session },
    attempt: RotationAttempt
  ): Promise<RotationVerdict> {
    const { store, events } = this.#context
    const { generation: stored, userId, id: sessionId } = verdict.session
    const healed = verdict.kind === 'ahead'
    events.emit('store-rolled-back', {
      at: attempt.now,
      sessionId,
      userId,
      ...attempt.by,
      presented: presented.generation,
      stored,
      healed
    })

    if (!healed) {
      return verdict
    }

    const { session } = await store.rotate(planHealing(attempt))
    return this.#evaluate(attempt, { swapped: false, session })
  }

  // A recovery starts a grace period of its own, because other tabs with the previous token follow.
  #getGrace (sessionId: string, now: Millis): Millis {
    const { grace } = this.#context
    const recoveredAt = this.#recoveredAt.get(sessionId)
    return recoveredAt !== undefined && Math.abs(now - recoveredAt) < grace ? now : grace
  }

  #evaluate (attempt: RotationAttempt, { swapped, session }: RotationOutcome): RotationVerdict {
    // The verdict on a rotation that succeeded does not depend on confirmed generations.
    if (session === null || swapped) {
      return judgeRotation(attempt, { swapped, session })
    }

    const seen = this.#context.usage.confirmedGeneration(session.id)
    const confirmedGeneration = Math.max(session.confirmedGeneration, seen)
    return judgeRotation(attempt, { swapped, session: { ...session, confirmedGeneration } })
  }

  async #applyVerdict (
    presented: RefreshToken,
    verdict: RotationVerdict,
    now: Millis,
    by: Caller
  ): Promise<Continuation> {
    switch (verdict.kind) {
      case 'unknown':
      case 'far-ahead':
        throw new TokenAuthError('AUTH_REFRESH_INVALID')
      case 'ahead':
        throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
      case 'revoked':
        throw new TokenAuthError('AUTH_REFRESH_REVOKED')
      case 'expired':
        throw new TokenAuthError('AUTH_REFRESH_EXPIRED')
      case 'reused':
        await this.#context.reuseGuard.revoke({ presented, session: verdict.session, now, by })
        throw new TokenAuthError('AUTH_REFRESH_REUSED')
    }

    await this.#recordContinuation(presented, verdict, now, by)
    return verdict
  }

  async #recordContinuation (
    presented: RefreshToken,
    { kind, generation, session }: Continuation,
    now: Millis,
    by: Caller
  ): Promise<void> {
    const { events, usage, rotation, reuseGuard } = this.#context
    const { id: sessionId, userId } = session
    const { address, userAgent } = by
    const event = { at: now, sessionId, userId, address, userAgent, generation }

    if (kind === 'kept' && rotation) {
      usage.markConfirmed(sessionId, generation, now)
    }

    if (kind === 'kept' && !rotation) {
      usage.markUsed(sessionId, generation, now)
    }

    if (kind === 'rotated' || kind === 'kept') {
      events.emit('refresh', { ...event, rotated: kind === 'rotated' })
      return
    }

    if (kind === 'recovered') {
      this.#recoveredAt.set(sessionId, now)
    }

    await reuseGuard.recordReplay({ presented, session, now, by })
    events.emit(kind === 'replayed' ? 'replay' : 'recovery', event)
  }

  async #revokeSessionOfGoneUser ({ sessionId, secretHash }: RefreshToken): Promise<never> {
    const session = await this.#context.store.find(sessionId)

    if (session?.secretHash !== secretHash) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    await this.#context.sessions.revoke(sessionId, 'user-gone')
    throw new TokenAuthError('AUTH_REFRESH_REVOKED')
  }
}

function isWithinScope (requested: string, granted: string | null): boolean {
  const scopes = new Set(granted?.split(' '))
  return requested.split(' ').every(scope => scopes.has(scope))
}
