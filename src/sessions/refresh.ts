// A session goes on: the verdicts of domain/rotation.ts become answers.

import { nextRefreshToken, readRefreshToken } from '../tokens/refresh-token.js'
import type { JwtCodec } from '../tokens/jwt-codec.js'
import type { RefreshToken } from '../tokens/refresh-token.js'
import { judgeRotation, planHealing, planRotation } from '../domain/rotation.js'
import type {
  Continuation,
  RotationAttempt,
  RotationOutcome,
  RotationVerdict
} from '../domain/rotation.js'
import type { Caller, Session } from '../domain/session.js'
import { TokenAuthError } from '../errors.js'
import type { TokenStore } from '../stores/token-store.js'
import { BoundedMap } from '../lib/bounded-map.js'
import type { Events, SessionEvent, TokenUse } from '../events.js'
import type { DpopProof, DpopVerifier } from '../dpop/verifier.js'
import { scopeOf } from './sessions.js'
import type { IssuedTokens, Sessions } from './sessions.js'
import type { ReplayMonitor } from './replay-monitor.js'
import type { Throttle } from '../throttle/throttle.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { UserDirectory } from './users.js'
import type { Millis } from '../lib/time.js'

const AUDIBLE_SKEW: Millis = 1000
const RECOVERIES = 10_000
const nobody: Caller = { address: null, userAgent: null }

export interface RefreshContext {
  readonly store: TokenStore
  readonly users: UserDirectory
  readonly sessions: Sessions
  readonly refreshTokens: JwtCodec
  /** `null` where tokens that were never issued are not counted. */
  readonly throttle: Throttle | null
  readonly usage: UsageTracker
  readonly events: Events
  readonly clock: () => Millis
  readonly rotation: boolean
  /** Of a refresh token that is not used. */
  readonly lifetime: Millis
  readonly grace: Millis
  /** `null` where nobody looks out for those who follow a session. */
  readonly replayMonitor: ReplayMonitor | null
  /** Whether a session that is followed ends. */
  readonly revokesReplays: boolean
  /** `null` where there are no proofs of possession. */
  readonly dpop: DpopVerifier | null
}

/** Who presents a refresh token, and what for. */
export interface Presenter {
  readonly by: Caller
  /** The OAuth client that has authenticated; `null` for the app's own. */
  readonly clientId: string | null
  /** `null` where there is none. */
  readonly proof: DpopProof | null
  /** What is asked for (RFC 6749 section 6); `null` for what there is. */
  readonly scope: string | null
}

/** */
export class Refresh {
  readonly #context: RefreshContext
  readonly #recoveredAt = new BoundedMap<string, Millis>(RECOVERIES)

  constructor (context: RefreshContext) {
    this.#context = context
  }

  /**
   * Answers a refresh token with a new access token and, as a rule, its successor. What the token itself says is looked at first,
   * then the user is asked for, so that nothing was moved when either fails.
   * @throws TokenAuthError AUTH_REFRESH_INVALID, _EXPIRED, _REVOKED, _REUSED; AUTH_TOO_MANY_ATTEMPTS; AUTH_STORE_UNAVAILABLE
   * @throws TokenAuthError AUTH_DPOP_INVALID; AUTH_CLAIMS_INSUFFICIENT where more is asked for than there is
   */
  async refresh (token: string, presenter: Presenter): Promise<IssuedTokens> {
    const { by, scope } = presenter
    const { users, sessions, clock, refreshTokens, rotation, throttle } = this.#context
    const presented = readRefreshToken(refreshTokens, token)

    if (presented === null) {
      await throttle?.countInvalidToken(by)
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    const { clientId } = presented

    if (clientId !== presenter.clientId) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    const isBound = presented.thumbprint !== null || presenter.proof !== null
    const thumbprint = isBound ? await this.#proveKey(presented, presenter.proof) : null
    const profile = await users.findActive(presented.userId)

    if (profile === null) {
      return this.#refuseGoneUser(presented)
    }

    if (scope !== null && !isWithin(scope, scopeOf(profile.claims))) {
      throw new TokenAuthError('AUTH_CLAIMS_INSUFFICIENT')
    }

    const now = clock()
    const verdict = await this.#rotate(presented, now, by)
    const continued = await this.#applyVerdict(presented, verdict, now, by)
    const unchanged = !rotation && continued.kind === 'kept'
    const { sessionId, persistent, amr } = presented
    const refreshToken = unchanged ? null : nextRefreshToken(refreshTokens, presented, continued)
    const { generation, expiresAt, session: { authenticatedAt } } = continued

    return sessions.grant(profile, {
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

  /** What a refresh would be at this moment, by the row as it stands: nothing is moved. */
  preview (presented: RefreshToken, session: Session | null, now: Millis): RotationVerdict {
    const grace = this.#graceOf(presented.sessionId, now)

    return this.#evaluate(planRotation(presented, { now, lifetime: 0, grace, by: nobody }), {
      swapped: false,
      session
    })
  }

  /**
   * The key that the access token is to be bound to. The session's own, which must be proved: without it a stolen token is worth
   * nothing, and ends nothing. A session that has none stays so, while its access tokens are as its client wants them.
   */
  async #proveKey ({ thumbprint }: RefreshToken, proof: DpopProof | null): Promise<string> {
    const { dpop: proofs } = this.#context

    if (proof === null || proofs === null) {
      throw new TokenAuthError('AUTH_DPOP_INVALID', { hint: 'there is none' })
    }

    if (thumbprint !== null && thumbprint !== proof.thumbprint) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    await proofs.consume(proof)
    return proof.thumbprint
  }

  async #rotate (presented: RefreshToken, now: Millis, by: Caller): Promise<RotationVerdict> {
    const { store, rotation, lifetime, events, clock } = this.#context
    const attempt = planRotation(presented, {
      now,
      lifetime,
      grace: this.#graceOf(presented.sessionId, now),
      by
    })
    const outcome = rotation
      ? await store.rotate(attempt)
      : { swapped: false, session: await store.find(presented.sessionId) }
    const ahead = (outcome.session?.rotatedAt ?? 0) - clock()

    if (ahead > AUDIBLE_SKEW) {
      events.emit('clock-skew', { at: now, sessionId: presented.sessionId, ahead })
    }

    const verdict = this.#evaluate(attempt, outcome)

    if (verdict.kind !== 'ahead' && verdict.kind !== 'far-ahead') {
      return verdict
    }

    const { generation: stored, userId, id: sessionId } = verdict.session
    const healed = verdict.kind === 'ahead'
    events.emit('store-rolled-back', {
      at: now,
      sessionId,
      userId,
      ...by,
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

  // A recovery opens a grace of its own: the tabs that still hold the token before come right after the one that was answered.
  #graceOf (sessionId: string, now: Millis): Millis {
    const { grace } = this.#context
    const recoveredAt = this.#recoveredAt.get(sessionId)
    return recoveredAt !== undefined && Math.abs(now - recoveredAt) < grace ? now : grace
  }

  #evaluate (attempt: RotationAttempt, { swapped, session }: RotationOutcome): RotationVerdict {
    // Who swapped asks for no more: whether its generation was used is of no matter.
    if (session === null || swapped) {
      return judgeRotation(attempt, { swapped, session })
    }

    const confirmedGeneration = Math.max(
      session.confirmedGeneration,
      this.#context.usage.confirmedGeneration(session.id)
    )
    return judgeRotation(attempt, { swapped, session: { ...session, confirmedGeneration } })
  }

  async #applyVerdict (
    presented: RefreshToken,
    verdict: RotationVerdict,
    now: Millis,
    by: Caller
  ): Promise<Continuation> {
    const { events, usage: notes, rotation } = this.#context

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
        await this.#endReused(presented, verdict.session, now, by)
        throw new TokenAuthError('AUTH_REFRESH_REUSED')
    }

    const { kind, generation, session } = verdict
    const { id: sessionId, userId } = session
    const { address, userAgent } = by

    if (kind === 'kept' && rotation) {
      notes.markConfirmed(sessionId, generation, now)
    }

    if (kind === 'kept' && !rotation) {
      notes.markUsed(sessionId, generation, now)
    }

    if (kind === 'recovered') {
      this.#recoveredAt.set(sessionId, now)
    }

    if (kind === 'replayed' || kind === 'recovered') {
      await this.#lookForShadow(presented, session, now, by)
      events.emit(kind === 'replayed' ? 'replay' : 'recovery', {
        at: now,
        sessionId,
        userId,
        address,
        userAgent,
        generation
      })
    } else {
      // Written out, as in domain/rotation.ts: this is every refresh.
      events.emit('refresh', {
        at: now,
        sessionId,
        userId,
        address,
        userAgent,
        generation,
        rotated: kind === 'rotated'
      })
    }

    return verdict
  }

  // Only the one who ends the session tells of it: of many old tokens at once, one event.
  async #endReused (
    presented: RefreshToken,
    session: Session,
    now: Millis,
    by: Caller
  ): Promise<void> {
    if (!await this.#context.sessions.end(session.id, 'reuse')) {
      return
    }

    this.#context.events.emit('reuse', bothSides(presented, session, now, by))
  }

  async #lookForShadow (
    presented: RefreshToken,
    session: Session,
    now: Millis,
    by: Caller
  ): Promise<void> {
    const { replayMonitor, revokesReplays, sessions, events } = this.#context

    if (replayMonitor?.record(session, by) !== true) {
      return
    }

    const revoked = revokesReplays && await sessions.end(session.id, 'suspicious-replay')

    if (revoked || !revokesReplays) {
      events.emit('suspicious-replay', { ...bothSides(presented, session, now, by), revoked })
    }

    if (revokesReplays) {
      throw new TokenAuthError('AUTH_REFRESH_REUSED')
    }
  }

  async #refuseGoneUser ({ sessionId, secretHash }: RefreshToken): Promise<never> {
    const session = await this.#context.store.find(sessionId)

    if (session?.secretHash !== secretHash) {
      throw new TokenAuthError('AUTH_REFRESH_INVALID')
    }

    await this.#context.sessions.end(sessionId, 'user-gone')
    throw new TokenAuthError('AUTH_REFRESH_REVOKED')
  }
}

function isWithin (asked: string, granted: string | null): boolean {
  const there = new Set(granted?.split(' '))
  return asked.split(' ').every(scope => there.has(scope))
}

function bothSides (
  presented: RefreshToken,
  session: Session,
  now: Millis,
  by: Caller
): SessionEvent & { readonly presented: TokenUse, readonly rotated: TokenUse } {
  return {
    at: now,
    sessionId: session.id,
    userId: session.userId,
    ...by,
    presented: { at: now, generation: presented.generation, ...by },
    rotated: { at: session.rotatedAt, generation: session.generation, ...session.rotatedBy }
  }
}
