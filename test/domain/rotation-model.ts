import { deepEqual, equal, ok } from 'node:assert/strict'
import { planRotation } from '../../src/domain/rotation.js'
import type { Continuation, Presentation, RotationVerdict } from '../../src/domain/rotation.js'
import type { RevocationReason, Session } from '../../src/domain/session.js'
import type { Millis } from '../../src/lib/time.js'
import { createRow, isContinuation, NOBODY, START } from './rotation-steps.js'
import type { Delivery, Policy, Rules, Step, Who } from './rotation-steps.js'

interface Swap {
  readonly presentation: Presentation
  readonly swapped: boolean
}

const CONSTANT_MEMBERS = [
  'id',
  'realm',
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
  #slow: { generation: number, behind: number, arrivedAt: Millis } | null = null
  readonly #tokens = new Map<number, string>()
  readonly #rotated = new Set<number>()
  readonly #confirmed = new Set<number>()
  /** Ends of the refresh tokens, which clients know. */
  readonly #ends = new Map<number, Millis>()
  #saved: Session | null = null

  constructor (rules: Rules, policy: Policy) {
    this.#rules = rules
    this.#policy = policy
    this.row = createRow(policy)
    this.#ends.set(0, this.row.expiresAt)
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
      case 'arrive':
        return this.#arrive()
      case 'process':
        return this.#process()
      case 'save':
        this.#saved = this.row
        return
      case 'lose':
        return this.#lose()
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
      this.#receive(who, delivery, this.#present(generation))
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
    const { client } = this.#held
    // A token that is ahead of the row can heal it.
    const end = client > this.row.generation ? this.#ends.get(client) as Millis : this.row.expiresAt
    return end - this.now - Math.floor(this.#policy.grace / 2) - 1
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

  /** A request reaches an instance, with a token that is current or within its grace period. */
  #arrive (): void {
    const generation = this.#held.client
    const behind = this.row.generation - generation

    if (behind === 0 || (behind === 1 && this.row.graceFrom > this.now - this.#policy.grace)) {
      this.#slow = { generation, behind, arrivedAt: this.now }
    }
  }

  /** Sends the statement of a request, unless it has waited longer than a store may take. */
  #process (): void {
    const slow = this.#slow
    this.#slow = null

    if (slow === null || this.now - slow.arrivedAt >= this.#policy.grace / 2) {
      return
    }

    const clockIsWrong = this.row.graceFrom > this.now + this.#policy.grace

    // The client rotated the successor meanwhile. Within a grace period, a wrong clock allows it.
    if (this.row.generation - slow.generation > 1 && (slow.behind === 1 || clockIsWrong)) {
      return
    }

    this.#receive('client', 'now', this.#present(slow.generation, slow.arrivedAt))
  }

  /** The store comes back without its latest writes, such as after a failover. */
  #lose (): void {
    if (this.#saved === null || this.row.revokedAt !== null) {
      return
    }

    const before = this.row
    this.row = this.#saved

    // No client can continue with a token that has expired in the meantime.
    if (this.remaining <= 0) {
      this.row = before
      return
    }

    this.#slow = null

    for (const generation of this.#rotated) {
      if (generation >= this.row.generation) {
        this.#rotated.delete(generation)
        this.#tokens.delete(generation + 1)
        this.#confirmed.delete(generation + 1)
      }
    }
  }

  #refreshTwice (
    { deliveries: [first, second], ahead, race }: Step & { do: 'refresh twice' }
  ): void {
    const generation = this.#held.client

    if (generation > this.row.generation) {
      return this.refresh('client', first)
    }

    const here = this.now
    const one = this.#swap(generation)
    const verdict = race && one.swapped ? null : this.#judge(one)

    if (ahead) {
      this.now += Math.floor(this.#policy.grace / 2)
    }

    this.#receive('client', second, this.#present(generation))

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

  /** Presents a token, and heals the row if it is behind the token. */
  #present (generation: number, arrivedAt = this.now): RotationVerdict {
    const end = this.#ends.get(generation) as Millis
    const swap = this.#swap(generation, this.row.secretHash, arrivedAt)
    const verdict = this.#judge(swap)

    if (verdict.kind !== 'ahead' || this.now >= end) {
      return verdict
    }

    const { presentation } = swap
    const attempt = this.#rules.planHealing(presentation, verdict.session, end)
    ok(this.#rules.canRotate(this.row, attempt), 'a live row can be healed')
    const healed = this.#rules.applyRotation(this.row, attempt)
    this.#put(healed)
    deepEqual([healed.generation, healed.confirmedGeneration], [generation, generation])
    this.#tokens.delete(generation)
    return this.#judge({ presentation: { ...presentation, attempt }, swapped: true })
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

  #plan (generation: number, secretHash: string, now: Millis, arrivedAt = now): Presentation {
    const presented = { realm: 'test', sessionId: 's1', userId: 'u-ann', secretHash, generation }
    const attempt = planRotation(presented, { now, ...this.#policy, by: NOBODY })
    return { presented, attempt, arrivedAt, grace: this.#policy.grace }
  }

  #swap (generation: number, secretHash = this.row.secretHash, arrivedAt = this.now): Swap {
    const before = this.row
    const presentation = this.#plan(generation, secretHash, this.now, arrivedAt)
    const { attempt } = presentation
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

    return { presentation, swapped }
  }

  #judge ({ presentation, swapped }: Swap): RotationVerdict {
    const verdict = this.#rules.judgeRotation(presentation, { swapped, session: this.row })
    this.verdicts.push(verdict.kind)

    if (isContinuation(verdict)) {
      this.#checkContinuation(presentation, swapped, verdict)
    }

    if (verdict.kind === 'kept') {
      this.#confirm(presentation.presented.generation)
    }

    if (verdict.kind === 'recovered') {
      this.#put(this.#rules.recover(this.row, this.now))
      ok(this.row.graceFrom >= this.now, 'a recovery starts a grace period')
    }

    if (verdict.kind === 'reused') {
      this.#revoke('reuse')
    }

    return verdict
  }

  #checkContinuation (
    { presented, attempt }: Presentation,
    swapped: boolean,
    { kind, generation, issuedAt, expiresAt }: Continuation
  ): void {
    equal(this.row.revokedAt, null, 'a revoked session returns no token')
    ok(attempt.now < expiresAt, 'a returned token has not expired')
    equal(kind === 'rotated', swapped && !attempt.heals)
    equal(generation, presented.generation + (kind === 'kept' ? 0 : 1))

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
    this.#ends.set(generation, expiresAt)
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
    ok(after.graceFrom >= before.graceFrom, 'the grace period never starts earlier')
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
        const { attempt } = this.#plan(generation, row.secretHash, now)

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
