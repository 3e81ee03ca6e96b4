// Random lives of a session, in a model of store and service that is small enough to be right by inspection: one row, and
// the domain's functions. Every invariant is also run against rules that are broken on purpose, and must find them out.

import { AssertionError, deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
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
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'

const RUNS = 2000
const START = Date.UTC(2026, 0, 1)
const NOBODY = { address: null, userAgent: null }

interface Rules {
  readonly fits: typeof canRotate
  readonly swap: typeof applyRotation
  readonly judge: typeof judgeRotation
  /** What a store does to a row that does not fit. */
  readonly miss: (session: Session, attempt: RotationAttempt) => Session
}

const rules: Rules = {
  fits: canRotate,
  swap: applyRotation,
  judge: judgeRotation,
  miss: session => session
}

interface Policy {
  readonly grace: Millis
  readonly lifetime: Millis
  readonly absolute: Millis
}

type Who = 'client' | 'thief'
type Delivery = 'now' | 'lost' | 'late'

type Step =
  | { readonly do: 'refresh', readonly who: Who, readonly delivery: Delivery }
  // Two requests with one token, the second to an instance whose clock may be `ahead`: by half a grace, and no more than
  // the tolerance. In a `race` the row of the first, if it swapped, is read only after the second is through and has gone on.
  | {
    readonly do: 'refresh twice'
    readonly deliveries: readonly [Delivery, Delivery]
    readonly ahead: boolean
    readonly race: boolean
  }
  // `deliver` is the late answer of a refresh; `send` and `arrive` are a request that is slow on its way to the server.
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

const neverChanging = [
  'id',
  'userId',
  'secretHash',
  'createdAt',
  'authenticatedAt',
  'endsAt',
  'device'
] as const

/** A session, its client, and a thief; every change of the row is checked as it happens. */
class World {
  now = START
  row: Session
  readonly verdicts: Array<RotationVerdict['kind']> = []
  readonly #rules: Rules
  readonly #policy: Policy
  /** The generation whose tokens each of them holds. */
  readonly #held: { client: number, thief: number | null } = { client: 0, thief: null }
  #late: number | null = null
  #slow: { readonly generation: number, readonly sentAt: Millis } | null = null
  readonly #editions = new Map<number, string>()
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
        this.#held.thief = this.#held.client
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
      this.#answer(who, delivery, this.#judge(this.#swap(generation)))
    }
  }

  /** The access token that came with the refresh token is accepted. It ends with the session, or sooner. */
  use (who: Who): void {
    const generation = this.#held[who]

    if (generation !== null && this.#isLive()) {
      this.#confirm(generation)
    }
  }

  /** The longest that can be waited so that clocks which differ by half a grace agree that the session lives. */
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

    this.#answer('client', 'now', this.#judge(this.#swap(slow.generation)))
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

    this.#answer('client', second, this.#judge(this.#swap(generation)))

    if (race) {
      this.refresh('client', second)
    }

    this.now = here
    this.#answer('client', first, verdict ?? this.#judge(one))
  }

  #answer (who: Who, delivery: Delivery, verdict: RotationVerdict): void {
    if (!isContinuation(verdict) || delivery === 'lost') {
      return
    }

    if (delivery === 'now') {
      this.#adopt(who, verdict.generation)
    } else if (who === 'client') {
      this.#late = verdict.generation
    }
  }

  /** An answer that was overtaken by a newer one is thrown away. */
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
    const swapped = this.#rules.fits(before, attempt)
    this.#put(swapped ? this.#rules.swap(before, attempt) : this.#rules.miss(before, attempt))

    if (swapped) {
      ok(wasLive, 'what is over rotates no more')
      ok(!this.#rotated.has(generation), `generation ${generation} has one successor`)
      this.#rotated.add(generation)
      equal(this.row.generation, generation + 1)
    } else {
      deepEqual(this.row, before, 'what does not rotate changes nothing, and lengthens no life')
    }

    return { attempt, swapped }
  }

  #judge ({ attempt, swapped }: Swap): RotationVerdict {
    const verdict = this.#rules.judge(attempt, { swapped, session: this.row })
    this.verdicts.push(verdict.kind)

    if (isContinuation(verdict)) {
      this.#checkAnswer(attempt, swapped, verdict)
    }

    if (verdict.kind === 'kept') {
      this.#confirm(attempt.generation)
    }

    if (verdict.kind === 'reused') {
      this.#revoke('reuse')
    }

    return verdict
  }

  #checkAnswer (
    attempt: RotationAttempt,
    swapped: boolean,
    { kind, generation, issuedAt, expiresAt }: Continuation
  ): void {
    equal(this.row.revokedAt, null, 'a revoked session never revives')
    ok(attempt.now < expiresAt, 'no token is over when it is handed out')
    equal(kind === 'rotated', swapped)
    equal(generation, attempt.generation + (kind === 'kept' ? 0 : 1))

    if (kind === 'recovered') {
      ok(!this.#confirmed.has(generation), 'a confirmed successor makes its parent dead')
    }

    const edition = JSON.stringify({ issuedAt, expiresAt })
    equal(
      edition,
      this.#editions.get(generation) ?? edition,
      `all answers of generation ${generation} are the same token`
    )
    this.#editions.set(generation, edition)
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

    for (const field of neverChanging) {
      equal(after[field], before[field], `${field} never changes`)
    }

    ok(after.expiresAt <= after.endsAt, 'the idle end is never behind the absolute one')
    ok(after.generation >= before.generation, 'generations grow')
    ok(after.confirmedGeneration <= after.generation, 'nothing is confirmed before it is there')

    if (before.revokedAt !== null) {
      const { revokedAt, revokedFor, generation, expiresAt } = before
      deepEqual(
        { ...after, revokedAt, revokedFor, generation, expiresAt },
        after,
        'a revoked session stands still'
      )
    }

    this.#checkSuccessors()
  }

  /** Whatever was presented up to now: of all tokens that there are, or will be, at most the current one may rotate. */
  #checkSuccessors (): void {
    const { row } = this

    for (let generation = 0; generation <= row.generation + 1; generation++) {
      for (const now of [this.now, row.expiresAt - 1]) {
        const attempt = this.#plan(generation, row.secretHash, now)

        if (this.#rules.fits(row, attempt)) {
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

const policy: fc.Arbitrary<Policy> = fc.record({
  grace: fc.constantFrom(0, 1, 2 * SECOND, 10 * SECOND, 5 * MINUTE),
  lifetime: fc.integer({ min: 5 * MINUTE + 1, max: DAY }),
  absolute: fc.integer({ min: 5 * MINUTE + 1, max: 60 * DAY })
})

const delivery = fc.constantFrom<Delivery>('now', 'now', 'lost', 'late')
const millis = fc.integer({ min: -1, max: 1 })

const refresh = (who: Who): fc.Arbitrary<Step> =>
  delivery.map(delivery => ({ do: 'refresh', who, delivery }))
const refreshTwice: fc.Arbitrary<Step> = fc.tuple(delivery, delivery, fc.boolean(), fc.boolean())
  .map(([first, second, ahead, race]) => ({
    do: 'refresh twice',
    deliveries: [first, second],
    ahead,
    race
  }))
const wait: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(-0.5, -0.2, 0, 0.2, 0.5, 1, 1, 1.5, 3),
  millis
)
  .map(([graces, millis]) => ({ do: 'wait', graces, lifetimes: 0, millis }))
const idle: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom(0.3, 0.9, 1), millis)
  .map(([lifetimes, millis]) => ({ do: 'wait', graces: 0, lifetimes, millis }))
const just = (...steps: Step[]): fc.Arbitrary<Step> => fc.constantFrom(...steps)

const honest: ReadonlyArray<fc.WeightedArbitrary<Step>> = [
  { weight: 12, arbitrary: refresh('client') },
  { weight: 8, arbitrary: refreshTwice },
  { weight: 10, arbitrary: just({ do: 'deliver' }, { do: 'send' }, { do: 'arrive' }) },
  { weight: 10, arbitrary: just({ do: 'use', who: 'client' }) },
  { weight: 20, arbitrary: wait }
]

const dishonest: ReadonlyArray<fc.WeightedArbitrary<Step>> = [
  { weight: 4, arbitrary: just({ do: 'steal' }) },
  { weight: 6, arbitrary: refresh('thief') },
  { weight: 4, arbitrary: just({ do: 'use', who: 'thief' }) },
  { weight: 1, arbitrary: just({ do: 'forge' }) },
  { weight: 1, arbitrary: just({ do: 'revoke' }) },
  { weight: 1, arbitrary: idle }
]

const honestLife = fc.array(fc.oneof(...honest, { weight: 2, arbitrary: idle }), {
  minLength: 1,
  maxLength: 60,
  size: 'max'
})
const life = fc.array(fc.oneof(...honest, ...dishonest), {
  minLength: 1,
  maxLength: 60,
  size: 'max'
})

/** Counts what was reached, so that a property which never comes to the point is found out. */
type Tally = Map<RotationVerdict['kind'], number>

function count (tally: Tally, { verdicts }: World): void {
  for (const kind of verdicts) {
    tally.set(kind, (tally.get(kind) ?? 0) + 1)
  }
}

function invariants (rules: Rules, tally: Tally = new Map()): fc.IProperty<unknown> {
  return fc.property(policy, life, (policy, steps) => {
    count(tally, new World(rules, policy).run(steps))
  })
}

function honestNeverRefused (rules: Rules, tally: Tally = new Map()): fc.IProperty<unknown> {
  return fc.property(policy, honestLife, (policy, steps) => {
    const world = new World(rules, policy)

    for (const step of steps) {
      world.step(step)

      if (step.do === 'wait') {
        world.now += Math.min(0, world.remaining)
      }
    }

    count(tally, world)

    for (const kind of world.verdicts) {
      ok(
        ['rotated', 'kept', 'replayed', 'recovered'].includes(kind),
        `an honest client is not refused as ${kind}`
      )
    }
  })
}

/** A past, a theft, and then turns: somebody waits for longer than a grace, refreshes, and uses what came back. */
const theft = fc.record({
  grace: fc.constantFrom(0, 1, 2 * SECOND, 10 * SECOND, 5 * MINUTE),
  past: fc.array(fc.oneof(...honest), { maxLength: 20, size: 'max' }),
  turns: fc.array(
    fc.record({
      who: fc.constantFrom<Who>('client', 'thief'),
      extra: fc.integer({ min: 1, max: MINUTE })
    }),
    {
      minLength: 2,
      maxLength: 20,
      size: 'max'
    }
  ).filter(turns => new Set(turns.map(({ who }) => who)).size === 2)
})

function theftEndsInReuse (rules: Rules): fc.IProperty<unknown> {
  return fc.property(theft, ({ grace, past, turns }) => {
    const world = new World(rules, { grace, lifetime: 30 * DAY, absolute: 300 * DAY }).run(past)
    world.step({ do: 'steal' })
    world.now = Math.max(world.now, world.row.rotatedAt)

    for (const { who, extra } of turns) {
      world.now += grace + extra
      world.refresh(who, 'now')
      world.use(who)
    }

    equal(
      world.verdicts.filter(kind => kind === 'reused').length,
      1,
      'the theft is found out, once'
    )
    equal(world.row.revokedFor, 'reuse')
  })
}

const check = (property: fc.IProperty<unknown>): fc.RunDetails<unknown> =>
  fc.check(property, { numRuns: RUNS })

function holds (t: Test, property: fc.IProperty<unknown>): void {
  const details = check(property)
  t.equal(details.failed, false, fc.defaultReportMessage(details) ?? `${details.numRuns} runs`)
}

t.test('whatever happens to a session, it has one successor, one end, and no second life', async t => {
  const tally: Tally = new Map()
  holds(t, invariants(rules, tally))

  for (
    const kind of [
      'rotated',
      'kept',
      'replayed',
      'recovered',
      'reused',
      'revoked',
      'expired',
      'unknown'
    ] as const
  ) {
    t.ok(tally.has(kind), `${kind}: ${tally.get(kind)} times`)
  }
})

t.test('an honest client is never refused, whatever is lost, late or doubled', async t => {
  const tally: Tally = new Map()
  holds(t, honestNeverRefused(rules, tally))

  for (const kind of ['rotated', 'kept', 'replayed', 'recovered'] as const) {
    t.ok(tally.has(kind), `${kind}: ${tally.get(kind)} times`)
  }
})

t.test('a thief and a client who both go on are found out', async t => {
  holds(t, theftEndsInReuse(rules))
})

type Property = (rules: Rules) => fc.IProperty<unknown>

/** A judge that takes one verdict for another. */
function mistaking (
  from: 'replayed' | 'recovered' | 'reused',
  judge: (attempt: RotationAttempt, session: Session) => RotationVerdict
): Rules {
  return {
    ...rules,
    judge (attempt, outcome) {
      const verdict = judgeRotation(attempt, outcome)
      return verdict.kind === from ? judge(attempt, verdict.session) : verdict
    }
  }
}

function continued (kind: Continuation['kind'], session: Session): Continuation {
  return {
    kind,
    session,
    generation: session.generation,
    issuedAt: session.rotatedAt,
    expiresAt: session.expiresAt
  }
}

const reused = (_attempt: RotationAttempt, session: Session): RotationVerdict => ({
  kind: 'reused',
  session
})

const mutants: Record<
  string,
  { readonly rules: Rules, readonly breaks: Record<string, Property> }
> = {
  'the parent is always accepted': {
    rules: mistaking(
      'reused',
      ({ generation }, session) =>
        session.generation === generation + 1
          ? continued('recovered', session)
          : { kind: 'reused', session }
    ),
    breaks: { invariants, theftEndsInReuse }
  },
  'an old token is refused, and nothing else': {
    rules: mistaking('reused', () => ({ kind: 'unknown' })),
    breaks: { theftEndsInReuse }
  },
  'two tabs are taken for thieves': {
    rules: mistaking('replayed', reused),
    breaks: { honestNeverRefused }
  },
  'a lost answer is taken for a theft': {
    rules: mistaking('recovered', reused),
    breaks: { honestNeverRefused }
  },
  'every replay gets a token of its own': {
    rules: mistaking(
      'replayed',
      ({ now }, session) => ({ ...continued('replayed', session), issuedAt: now })
    ),
    breaks: { invariants }
  },
  'a swap is judged by a row that is further on': {
    rules: {
      ...rules,
      judge: (attempt, { session }) => judgeRotation(attempt, { swapped: false, session })
    },
    breaks: { invariants, honestNeverRefused }
  },
  'the store does not compare generations': {
    rules: {
      ...rules,
      fits: (session, attempt) => canRotate(session, { ...attempt, generation: session.generation })
    },
    breaks: { invariants }
  },
  'the store rotates again within the grace': {
    rules: {
      ...rules,
      fits: (session, attempt) =>
        canRotate(session, { ...attempt, rotatedBefore: Number.MAX_SAFE_INTEGER })
    },
    breaks: { honestNeverRefused }
  },
  'the store rotates what is revoked': {
    rules: {
      ...rules,
      fits: (session, attempt) => canRotate({ ...session, revokedAt: null }, attempt)
    },
    breaks: { invariants }
  },
  'the store rotates what has ended': {
    rules: {
      ...rules,
      fits: (session, attempt) =>
        canRotate({ ...session, expiresAt: session.endsAt + DAY }, attempt)
    },
    breaks: { invariants }
  },
  'a rotation outlives the absolute end': {
    rules: {
      ...rules,
      swap: (session, attempt) => ({
        ...applyRotation(session, attempt),
        expiresAt: attempt.expiresAt
      })
    },
    breaks: { invariants }
  },
  'a replay lengthens the life': {
    rules: {
      ...rules,
      miss: (session, attempt) =>
        attempt.generation === session.generation - 1 && session.revokedAt === null
          ? { ...session, expiresAt: Math.min(attempt.expiresAt, session.endsAt) }
          : session
    },
    breaks: { invariants }
  }
}

for (const [mutant, { rules, breaks }] of Object.entries(mutants)) {
  t.test(`is found out: ${mutant}`, async t => {
    for (const [name, property] of Object.entries(breaks)) {
      const { failed, errorInstance, numRuns } = check(property(rules))
      t.ok(failed, `${name}, in run ${numRuns}`)
      t.ok(errorInstance instanceof AssertionError, 'by a broken invariant')
    }
  })
}
