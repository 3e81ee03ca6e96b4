import { judgeRotation, planHealing, planRotation } from '../domain/rotation.js'
import type {
  Presentation,
  PresentedToken,
  RotationOutcome,
  RotationVerdict
} from '../domain/rotation.js'
import type { Caller, Session } from '../domain/session.js'
import type { Events } from '../events.js'
import type { Millis } from '../lib/time.js'
import type { UsageTracker } from '../revocations/usage-tracker.js'
import type { TokenStore } from '../stores/token-store.js'
import type { RefreshToken } from '../tokens/refresh-token.js'

const UNKNOWN_CALLER: Caller = { address: null, userAgent: null }

/** Settings and collaborators of a {@link TokenRotator}. */
export interface TokenRotatorContext {
  readonly store: TokenStore
  readonly realm: string
  readonly usage: UsageTracker
  readonly events: Events
  readonly clock: () => Millis
  /** Whether a refresh replaces the refresh token. */
  readonly rotation: boolean
  /** Idle lifetime of a refresh token. */
  readonly lifetime: Millis
  /** Grace period of a rotated token. */
  readonly grace: Millis
}

/** Presents refresh tokens to the store, by the rules of `domain/rotation.ts`. */
export class TokenRotator {
  readonly #context: TokenRotatorContext

  constructor (context: TokenRotatorContext) {
    this.#context = context
  }

  /**
   * Rotates the row of a token if that is allowed, and returns the verdict on the token.
   *
   * @param arrivedAt - Moment when the request reached this instance.
   */
  async rotate (
    token: RefreshToken,
    arrivedAt: Millis,
    by: Caller
  ): Promise<RotationVerdict> {
    const { store, realm, rotation, clock } = this.#context
    const presentation = this.#plan(token, arrivedAt, clock(), by)
    const outcome = rotation
      ? await store.rotate(presentation.attempt)
      : { swapped: false, session: await store.find(realm, token.sessionId) }
    const verdict = this.#judge(presentation, outcome)
    return verdict.kind === 'ahead' ? this.#heal(token, presentation, verdict.session) : verdict
  }

  /** Returns the verdict on a token for a given session, without writing to the store. */
  preview (token: RefreshToken, session: Session | null): RotationVerdict {
    const now = this.#context.clock()
    return this.#judge(this.#plan(token, now, now, UNKNOWN_CALLER), { swapped: false, session })
  }

  #plan (
    { sessionId, userId, secretHash, generation }: RefreshToken,
    arrivedAt: Millis,
    now: Millis,
    by: Caller
  ): Presentation {
    const { realm, lifetime, grace } = this.#context
    const presented: PresentedToken = { realm, sessionId, userId, secretHash, generation }
    const attempt = planRotation(presented, { now, lifetime, grace, by })
    return { presented, attempt, arrivedAt, grace }
  }

  // The store has lost writes. An authentic token that has not expired restores them.
  async #heal (
    { expiresAt }: RefreshToken,
    presentation: Presentation,
    session: Session
  ): Promise<RotationVerdict> {
    const { store, events } = this.#context
    const { presented, attempt: { now, by } } = presentation

    if (expiresAt <= now) {
      return { kind: 'expired', session }
    }

    const healing = planHealing(presentation, session, expiresAt)
    const outcome = await store.rotate(healing)

    if (outcome.swapped) {
      events.emit('store-rolled-back', {
        at: now,
        sessionId: session.id,
        userId: session.userId,
        ...by,
        presented: presented.generation,
        stored: session.generation
      })
    }

    return this.#judge({ ...presentation, attempt: healing }, outcome)
  }

  // This instance may have seen a generation in use that the row does not know yet.
  #judge (presentation: Presentation, { swapped, session }: RotationOutcome): RotationVerdict {
    if (session === null) {
      return judgeRotation(presentation, { swapped, session })
    }

    const seen = Math.min(
      this.#context.usage.getConfirmedGeneration(session.id),
      session.generation
    )
    const known = seen > session.confirmedGeneration
      ? { ...session, confirmedGeneration: seen }
      : session
    return judgeRotation(presentation, { swapped, session: known }, this.#context.clock())
  }
}
