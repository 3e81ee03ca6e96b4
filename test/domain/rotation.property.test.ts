import { AssertionError, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { applyRotation, canRotate, judgeRotation, planHealing } from '../../src/domain/rotation.js'
import type { Continuation, Presentation, RotationVerdict } from '../../src/domain/rotation.js'
import type { Session } from '../../src/domain/session.js'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'
import { World } from './rotation-model.js'
import { rules } from './rotation-steps.js'
import type { Delivery, Policy, Rules, Step, Who } from './rotation-steps.js'

const RUNS = 2000

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
  { weight: 10, arbitrary: just({ do: 'deliver' }, { do: 'arrive' }, { do: 'process' }) },
  { weight: 10, arbitrary: just({ do: 'use', who: 'client' }) },
  { weight: 20, arbitrary: wait }
]

const dishonest: ReadonlyArray<fc.WeightedArbitrary<Step>> = [
  { weight: 4, arbitrary: just({ do: 'steal' }) },
  { weight: 6, arbitrary: refresh('attacker') },
  { weight: 4, arbitrary: just({ do: 'use', who: 'attacker' }) },
  { weight: 1, arbitrary: just({ do: 'forge' }) },
  { weight: 1, arbitrary: just({ do: 'revoke' }) },
  { weight: 1, arbitrary: idle }
]

const losses: fc.WeightedArbitrary<Step> = {
  weight: 4,
  arbitrary: just({ do: 'save' }, { do: 'lose' })
}

/** A request with the previous token waits for the database until the grace period is over. */
const slowRequest: Step[] = [
  { do: 'wait', graces: 1, lifetimes: 0, millis: 0 },
  { do: 'refresh', who: 'client', delivery: 'late' },
  { do: 'wait', graces: 0.8, lifetimes: 0, millis: 0 },
  { do: 'arrive' },
  { do: 'deliver' },
  { do: 'use', who: 'client' },
  { do: 'wait', graces: 0.3, lifetimes: 0, millis: 0 },
  { do: 'process' }
]

const honestLife = fc.array(
  fc.oneof(
    {
      weight: 40,
      arbitrary: fc.oneof(...honest, losses, { weight: 2, arbitrary: idle }).map(step => [step])
    },
    { weight: 1, arbitrary: fc.constant(slowRequest) }
  ),
  {
    minLength: 1,
    maxLength: 60,
    size: 'max'
  }
).map(steps => steps.flat())
const life = fc.array(fc.oneof(...honest, ...dishonest), {
  minLength: 1,
  maxLength: 60,
  size: 'max'
})

/** Number of verdicts by kind. Shows whether a property has reached all of them. */
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

function honestNeverRejected (rules: Rules, tally: Tally = new Map()): fc.IProperty<unknown> {
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
        ['rotated', 'kept', 'replayed', 'recovered', 'ahead'].includes(kind),
        `an honest client is not rejected as ${kind}`
      )
    }
  })
}

/**
 * A history, a theft, and then turns. In each turn, one party waits for more than a grace period,
 * refreshes, and uses the returned tokens.
 */
const theft = fc.record({
  grace: fc.constantFrom(0, 1, 2 * SECOND, 10 * SECOND, 5 * MINUTE),
  past: fc.array(fc.oneof(...honest), { maxLength: 20, size: 'max' }),
  turns: fc.array(
    fc.record({
      who: fc.constantFrom<Who>('client', 'attacker'),
      extra: fc.integer({ min: 1, max: MINUTE })
    }),
    {
      minLength: 2,
      maxLength: 20,
      size: 'max'
    }
  ).filter(turns => new Set(turns.map(({ who }) => who)).size === 2)
})

function theftIsDetected (rules: Rules): fc.IProperty<unknown> {
  return fc.property(theft, ({ grace, past, turns }) => {
    const world = new World(rules, { grace, lifetime: 30 * DAY, absolute: 300 * DAY }).run(past)
    world.step({ do: 'steal' })
    world.now = Math.max(world.now, world.row.graceFrom)

    for (const { who, extra } of turns) {
      world.now += grace + extra
      world.refresh(who, 'now')
      world.use(who)
    }

    equal(
      world.verdicts.filter(kind => kind === 'reused').length,
      1,
      'the theft is detected once'
    )
    equal(world.row.revokedFor, 'reuse')
  })
}

const check = (property: fc.IProperty<unknown>, numRuns = RUNS): fc.RunDetails<unknown> =>
  fc.check(property, { numRuns })

function holds (t: Test, property: fc.IProperty<unknown>): void {
  const details = check(property)
  t.equal(details.failed, false, fc.defaultReportMessage(details) ?? `${details.numRuns} runs`)
}

t.test('every generation has one successor and no ended session continues', async t => {
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

t.test('an honest client is never rejected for lost, late or repeated requests', async t => {
  const tally: Tally = new Map()
  holds(t, honestNeverRejected(rules, tally))

  for (const kind of ['rotated', 'kept', 'replayed', 'recovered', 'ahead'] as const) {
    t.ok(tally.has(kind), `${kind}: ${tally.get(kind)} times`)
  }
})

t.test('a theft is detected if attacker and client both continue', async t => {
  holds(t, theftIsDetected(rules))
})

type Property = (rules: Rules) => fc.IProperty<unknown>

/** Rules that replace one verdict by another. */
function mistaking (
  from: 'replayed' | 'recovered' | 'reused',
  judge: (presentation: Presentation, session: Session) => RotationVerdict
): Rules {
  return {
    ...rules,
    judgeRotation (presentation, outcome) {
      const verdict = judgeRotation(presentation, outcome)
      return verdict.kind === from ? judge(presentation, verdict.session) : verdict
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

const reused = (_presentation: Presentation, session: Session): RotationVerdict => ({
  kind: 'reused',
  session
})

const mutants: Record<
  string,
  { readonly rules: Rules, readonly breaks: Record<string, Property> }
> = {
  'the previous token is always accepted': {
    rules: mistaking(
      'reused',
      ({ presented: { generation } }, session) =>
        session.generation === generation + 1
          ? continued('recovered', session)
          : { kind: 'reused', session }
    ),
    breaks: { invariants, theftIsDetected }
  },
  'a reuse is only rejected': {
    rules: mistaking('reused', () => ({ kind: 'unknown' })),
    breaks: { theftIsDetected }
  },
  'a replay counts as reuse': {
    rules: mistaking('replayed', reused),
    breaks: { honestNeverRejected }
  },
  'a recovery counts as reuse': {
    rules: mistaking('recovered', reused),
    breaks: { honestNeverRejected }
  },
  'every replay gets a different token': {
    rules: mistaking(
      'replayed',
      ({ attempt: { now } }, session) => ({ ...continued('replayed', session), issuedAt: now })
    ),
    breaks: { invariants }
  },
  'a rotation is judged by a newer row': {
    rules: {
      ...rules,
      judgeRotation: (presentation, { session }) =>
        judgeRotation(presentation, { swapped: false, session })
    },
    breaks: { invariants, honestNeverRejected }
  },
  'the store does not compare generations': {
    rules: {
      ...rules,
      canRotate: (session, attempt) => canRotate(session, { ...attempt, from: session.generation })
    },
    breaks: { invariants }
  },
  'the store rotates within the grace period': {
    rules: {
      ...rules,
      canRotate: (session, attempt) =>
        canRotate(session, { ...attempt, graceBefore: Number.MAX_SAFE_INTEGER })
    },
    breaks: { honestNeverRejected }
  },
  'the store rotates a revoked session': {
    rules: {
      ...rules,
      canRotate: (session, attempt) => canRotate({ ...session, revokedAt: null }, attempt)
    },
    breaks: { invariants }
  },
  'the store rotates an expired session': {
    rules: {
      ...rules,
      canRotate: (session, attempt) =>
        canRotate({ ...session, expiresAt: session.endsAt + DAY }, attempt)
    },
    breaks: { invariants }
  },
  'a rotation exceeds the absolute end': {
    rules: {
      ...rules,
      applyRotation: (session, attempt) => ({
        ...applyRotation(session, attempt),
        expiresAt: attempt.expiresAt
      })
    },
    breaks: { invariants }
  },
  'a previous token is judged by the moment when the statement is sent': {
    rules: {
      ...rules,
      judgeRotation: (presentation, outcome) =>
        judgeRotation({ ...presentation, arrivedAt: presentation.attempt.now }, outcome)
    },
    breaks: { honestNeverRejected }
  },
  'a recovery starts no grace period': {
    rules: { ...rules, recover: session => session },
    breaks: { invariants, honestNeverRejected }
  },
  'a rotation leaves the start of the grace period': {
    rules: {
      ...rules,
      applyRotation: (session, attempt) => ({
        ...applyRotation(session, attempt),
        graceFrom: session.graceFrom
      })
    },
    breaks: { honestNeverRejected }
  },
  'healing moves by one generation': {
    rules: {
      ...rules,
      planHealing: (presentation, session, end) => ({
        ...planHealing(presentation, session, end),
        to: session.generation + 1
      })
    },
    breaks: { honestNeverRejected }
  },
  'healing obeys the grace period and the idle end': {
    rules: {
      ...rules,
      planHealing: (presentation, session, end) => ({
        ...planHealing(presentation, session, end),
        heals: false
      })
    },
    breaks: { honestNeverRejected }
  },
  'healing gives the token a longer lifetime': {
    rules: {
      ...rules,
      applyRotation: (session, attempt) => ({
        ...applyRotation(session, attempt),
        ...attempt.heals && { expiresAt: session.endsAt + 1 }
      })
    },
    breaks: { honestNeverRejected }
  },
  'a replay extends the idle lifetime': {
    rules: {
      ...rules,
      rejectRotation: (session, attempt) =>
        attempt.from === session.generation - 1 && session.revokedAt === null
          ? { ...session, expiresAt: Math.min(attempt.expiresAt, session.endsAt) }
          : session
    },
    breaks: { invariants }
  }
}

for (const [mutant, { rules, breaks }] of Object.entries(mutants)) {
  t.test(`the properties detect the mutant: ${mutant}`, async t => {
    for (const [name, property] of Object.entries(breaks)) {
      const { failed, errorInstance, numRuns } = check(property(rules), 10 * RUNS)
      t.ok(failed, `${name}, in run ${numRuns}`)
      t.ok(errorInstance instanceof AssertionError, 'by a broken invariant')
    }
  })
}
