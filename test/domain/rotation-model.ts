import { deepEqual, equal, ok } from 'node:assert/strict'
import {
  applyRotation,
  canRotate,
  CLOCK_TOLERANCE,
  judgeRotation,
  planRotation
} from '../../src/domain/rotation.js'
import type { Continuation, RotationAttempt, RotationVerdict } from '../../src/domain/rotation.js'
import type { RevocationReason, Session } from '../../src/domain/session.js'
import type { Millis } from '../../src/lib/time.js'

const START = Date.UTC(2026, 0, 1)
const NOBODY = { address: null, userAgent: null }

/** The rules under test. Mutants replace one of them. */
export interface Rules {
  readonly canRotate: typeof canRotate
  readonly applyRotation: typeof applyRotation
  readonly judgeRotation: typeof judgeRotation
  /** Row after an attempt that {@link canRotate} rejects. */
  readonly rejectRotation: (session: Session, attempt: RotationAttempt) => Session
}

export const rules: Rules = {
  canRotate,
  applyRotation,
  judgeRotation,
  rejectRotation: session => session
}

export interface Policy {
  readonly grace: Millis
  readonly lifetime: Millis
  readonly absolute: Millis
}

export type Who = 'client' | 'attacker'
export type Delivery = 'now' | 'lost' | 'late'

export type Step =
  | { readonly do: 'refresh', readonly who: Who, readonly delivery: Delivery }
  // Two requests with one token. The clock of the second instance may be `ahead`: by half a grace
  // period, and by CLOCK_TOLERANCE at most. In a `race`, the row of the first rotation is read only
  // after the second request and one more refresh.
  | {
    readonly do: 'refresh twice'
    readonly deliveries: readonly [Delivery, Delivery]
    readonly ahead: boolean
    readonly race: boolean
  }
  // `deliver` brings the late response of a refresh. `send` and `arrive` are one slow request.
  | { readonly do: 'deliver' | 'send' | 'arrive' | 'steal' | 'forge' | 'revoke' }
  | { readonly do: 'use', readonly who: Who }
  | {
    readonly do: 'wait'
    readonly graces: number
    readonly lifetimes: number
    readonly millis: number
  }

interface Swap {
  readonly attempt: RotationAttempt
  readonly swapped: boolean
}

const CONSTANT_MEMBERS = [
  'id',
  'userId',
  'secretHash',
  'createdAt',
  'authenticatedAt',
  'endsAt',
  'device'
] as const

/** A session, its client and an attacker. Checks the invariants after every change of the row. */
export class World {
  now = START
  row: Session
  readonly verdicts: Array<RotationVerdict['kind']> = []
  readonly #rules: Rules
  readonly #policy: Policy
  /** Generation of the tokens that each of them holds. */
  readonly #held: { client: number, attacker: number | null } = { client: 0, attacker: null }
  #late: number | null = null
  #slow: { readonly generation: number, readonly sentAt: Millis } | null = null
  readonly #tokens = new Map<number, string>()
  readonly #rotated = new Set<number>()
  readonly #confirmed = new Set<number>()

  constructor (rules: Rules, policy: Policy) {
    this.#rules = rules
    this.#policy = policy
    this.row = {
      id: 's1',
      userId: 'u-ann',
      secretHash: 'hash',
      generation: 0,
      confirmedGeneration: 0,
      createdAt: START,
      authenticatedAt: START,
      rotatedAt: START,
      rotatedBy: NOBODY,
      lastUsedAt: START,
      expiresAt: START + Math.min(policy.lifetime, policy.absolute),
      endsAt: START + policy.absolute,
      revokedAt: null,
      revokedFor: null,
      device: { label: null, ...NOBODY }
    }
  }

  run (steps: readonly Step[]): this {
    for (const step of steps) {
      this.step(step)
    }

    return this
  }

  step (step: Step): void {
    switch (step.do) {
      case 'refresh':
        return this.refresh(step.who, step.delivery)
      case 'refresh twice':
        return this.#refreshTwice(step)
      case 'deliver':
        if (this.#late !== null) {
          this.#adopt('client', this.#late)
        }

        this.#late = null
        return
      case 'send':
        if (this.#held.client === this.row.generation) {
          this.#slow = { generation: this.row.generation, sentAt: this.now }
        }

        return
      case 'arrive':
        return this.#arrive()
      case 'use':
        return this.use(step.who)
      case 'steal':
        this.#held.attacker = this.#held.client
        return
      case 'forge':
        return this.#forge()
      case 'revoke':
        return this.#revoke('logout')
      case 'wait':
        return this.#wait(step)
    }
  }

  refresh (who: Who, delivery: Delivery): void {
    const generation = this.#held[who]

    if (generation !== null) {
      this.#receive(who, delivery, this.#judge(this.#swap(generation)))
    }
  }

  /** Uses the access token of the generation, which expires with the session at the latest. */
  use (who: Who): void {
    const generation = this.#held[who]

    if (generation !== null && this.#isLive()) {
      this.#confirm(generation)
    }
  }

  /** Longest wait after which clocks that differ by half a grace period agree on a live session. */
  get remaining (): Millis {
    return this.row.expiresAt - this.now - Math.floor(this.#policy.grace / 2) - 1
  }

  #wait ({ graces, lifetimes, millis }: Step & { do: 'wait' }): void {
    const { grace, lifetime } = this.#policy
    const by = Math.max(
      Math.floor(graces * grace + lifetimes * lifetime) + millis,
      -Math.floor(grace / 2)
    )
    this.now += by

    if (by < 0) {
      this.#slow = null
    }
  }

  #arrive (): void {
    const slow = this.#slow
    this.#slow = null

    if (slow === null || this.now - slow.sentAt >= this.#policy.grace / 2) {
      return
    }

    this.#receive('client', 'now', this.#judge(this.#swap(slow.generation)))
  }

  #refreshTwice (
    { deliveries: [first, second], ahead, race }: Step & { do: 'refresh twice' }
  ): void {
    const generation = this.#held.client
    const here = this.now
    const one = this.#swap(generation)
    const verdict = race && one.swapped ? null : this.#judge(one)

    if (ahead) {
      this.now += Math.min(Math.floor(this.#policy.grace / 2), CLOCK_TOLERANCE)
    }

    this.#receive('client', second, this.#judge(this.#swap(generation)))

    if (race) {
      this.refresh('client', second)
    }

    this.now = here
    this.#receive('client', first, verdict ?? this.#judge(one))
  }

  #receive (who: Who, delivery: Delivery, verdict: RotationVerdict): void {
    if (!isContinuation(verdict) || delivery === 'lost') {
      return
    }

    if (delivery === 'now') {
      this.#adopt(who, verdict.generation)
    } else if (who === 'client') {
      this.#late = verdict.generation
    }
  }

  /** Ignores a response that is older than a received one. */
  #adopt (who: Who, generation: number): void {
    this.#held[who] = Math.max(this.#held[who] ?? 0, generation)
  }

  #forge (): void {
    for (let generation = 0; generation <= this.row.generation + 2; generation++) {
      equal(
        this.#judge(this.#swap(generation, 'forged')).kind,
        'unknown',
        'a forged token is unknown'
      )
    }
  }

  #plan (generation: number, secretHash: string, now: Millis): RotationAttempt {
    return planRotation({ sessionId: 's1', secretHash, generation }, {
      now,
      ...this.#policy,
      by: NOBODY
    })
  }

  #swap (generation: number, secretHash = this.row.secretHash): Swap {
    const before = this.row
    const attempt = this.#plan(generation, secretHash, this.now)
    const wasLive = this.#isLive()
    const swapped = this.#rules.canRotate(before, attempt)
    this.#put(
      swapped
        ? this.#rules.applyRotation(before, attempt)
        : this.#rules.rejectRotation(before, attempt)
    )

    if (swapped) {
      ok(wasLive, 'only a live session rotates')
      ok(!this.#rotated.has(generation), `generation ${generation} has one successor`)
      this.#rotated.add(generation)
      equal(this.row.generation, generation + 1)
    } else {
      deepEqual(this.row, before, 'a rejected attempt changes nothing')
    }

    return { attempt, swapped }
  }

  #judge ({ attempt, swapped }: Swap): RotationVerdict {
    const verdict = this.#rules.judgeRotation(attempt, { swapped, session: this.row })
    this.verdicts.push(verdict.kind)

    if (isContinuation(verdict)) {
      this.#checkContinuation(attempt, swapped, verdict)
    }

    if (verdict.kind === 'kept') {
      this.#confirm(attempt.generation)
    }

    if (verdict.kind === 'reused') {
      this.#revoke('reuse')
    }

    return verdict
  }

  #checkContinuation (
    attempt: RotationAttempt,
    swapped: boolean,
    { kind, generation, issuedAt, expiresAt }: Continuation
  ): void {
    equal(this.row.revokedAt, null, 'a revoked session returns no token')
    ok(attempt.now < expiresAt, 'a returned token has not expired')
    equal(kind === 'rotated', swapped)
    equal(generation, attempt.generation + (kind === 'kept' ? 0 : 1))

    if (kind === 'recovered') {
      ok(!this.#confirmed.has(generation), 'a confirmed successor invalidates its predecessor')
    }

    const token = JSON.stringify({ issuedAt, expiresAt })
    equal(
      token,
      this.#tokens.get(generation) ?? token,
      `all responses of generation ${generation} contain the same token`
    )
    this.#tokens.set(generation, token)
  }

  #confirm (generation: number): void {
    this.#confirmed.add(generation)
    const { row } = this
    this.#put({
      ...row,
      lastUsedAt: Math.max(row.lastUsedAt, this.now),
      confirmedGeneration: Math.max(row.confirmedGeneration, Math.min(generation, row.generation))
    })
  }

  #revoke (reason: RevocationReason): void {
    if (this.row.revokedAt === null) {
      this.#put({ ...this.row, revokedAt: this.now, revokedFor: reason })
    }
  }

  #put (after: Session): void {
    const before = this.row
    this.row = after

    for (const field of CONSTANT_MEMBERS) {
      equal(after[field], before[field], `${field} never changes`)
    }

    ok(after.expiresAt <= after.endsAt, 'the idle end is never after the absolute end')
    ok(after.generation >= before.generation, 'the generation never decreases')
    ok(after.confirmedGeneration <= after.generation, 'only existing generations are confirmed')

    if (before.revokedAt !== null) {
      const { revokedAt, revokedFor, generation, expiresAt } = before
      deepEqual(
        { ...after, revokedAt, revokedFor, generation, expiresAt },
        after,
        'a revoked session never changes'
      )
    }

    this.#checkSuccessors()
  }

  /** Checks all tokens up to the next generation: only the current one can rotate. */
  #checkSuccessors (): void {
    const { row } = this

    for (let generation = 0; generation <= row.generation + 1; generation++) {
      for (const now of [this.now, row.expiresAt - 1]) {
        const attempt = this.#plan(generation, row.secretHash, now)

        if (this.#rules.canRotate(row, attempt)) {
          equal(generation, row.generation, 'only the current token rotates')
        }
      }
    }
  }

  #isLive (): boolean {
    return this.row.revokedAt === null && this.now < this.row.expiresAt
  }
}

function isContinuation (verdict: RotationVerdict): verdict is Continuation {
  return 'generation' in verdict
}
