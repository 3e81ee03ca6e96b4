import { deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { applyRotation, canRotate } from '../../../src/domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { RotationQueue } from '../../../src/stores/sql/rotation-queue.js'
import type { RotateAll } from '../../../src/stores/sql/rotation-queue.js'
import { SECOND } from '../../helpers/clock.js'
import { createAttempt, createSession, nextTurn, NOW } from './rotation-queue-helpers.js'

// The model executes each batch at one step and responds at a later step. It saves every version
// of a row, so that the test can check each outcome against a sequence of all attempts.

type Step =
  // `ahead` is the distance from the current generation.
  | {
    readonly type: 'attempt'
    readonly session: number
    readonly ahead: number
    readonly forged: boolean
  }
  | { readonly type: 'execute' | 'respond', readonly which: number }
  // Changes by another instance or by another method of the store.
  | { readonly type: 'revoke' | 'rotate elsewhere', readonly session: number }
  | { readonly type: 'wait', readonly seconds: number }
  | { readonly type: 'turn' }

const SESSIONS = ['s0', 's1', 's2', 'missing']

interface Version {
  readonly row: Session | null
  readonly from: number
  readonly by: RotationAttempt | null
}

interface TrackedAttempt {
  readonly attempt: RotationAttempt
  readonly at: number
  result: { readonly at: number, readonly outcome: RotationOutcome } | null
}

class DatabaseModel {
  readonly #attempts: TrackedAttempt[] = []
  readonly #history = new Map<string, Version[]>()
  readonly #toExecute: Array<() => void> = []
  readonly #toRespond: Array<() => void> = []
  readonly #queue: RotationQueue
  #now = NOW
  #moment = 0

  constructor (createQueue: (rotateAll: RotateAll) => RotationQueue) {
    for (const id of SESSIONS) {
      this.#history.set(id, [{
        row: id === 'missing' ? null : createSession(id),
        from: 0,
        by: null
      }])
    }

    this.#queue = createQueue(attempts => this.#rotateAll(attempts))
  }

  async perform (step: Step): Promise<void> {
    this.#moment++

    switch (step.type) {
      case 'attempt': {
        const sessionId = SESSIONS[step.session] as string
        const generation = Math.max(0, (this.#current(sessionId).row?.generation ?? 0) + step.ahead)

        return this.#attempt(
          createAttempt(sessionId, {
            generation,
            now: this.#now,
            ...(step.forged && { secretHash: 'forged' })
          })
        )
      }
      case 'execute':
        return pick(this.#toExecute, step.which)?.()
      case 'respond': {
        pick(this.#toRespond, step.which)?.()
        return nextTurn()
      }
      case 'revoke': {
        const { row } = this.#current(SESSIONS[step.session] as string)

        if (row !== null) {
          this.#write({ ...row, revokedAt: this.#now, revokedFor: 'logout' }, null)
        }

        return
      }
      case 'rotate elsewhere': {
        const { row } = this.#current(SESSIONS[step.session] as string)
        const attempt = row && createAttempt(row.id, { generation: row.generation, now: this.#now })

        if (attempt !== null && canRotate(row as Session, attempt)) {
          this.#write(applyRotation(row as Session, attempt), null)
        }

        return
      }
      case 'wait': {
        this.#now += step.seconds * SECOND
        return
      }
      case 'turn':
        return nextTurn()
    }
  }

  /** Executes and resolves all pending calls. */
  async settle (): Promise<void> {
    await this.perform({ type: 'turn' })

    while (this.#toExecute.length + this.#toRespond.length > 0) {
      await this.perform({ type: 'execute', which: 0 })
      await this.perform({ type: 'respond', which: 0 })
    }
  }

  check (): void {
    for (const tracked of this.#attempts) {
      this.#checkOne(tracked)
    }

    for (const [id, versions] of this.#history) {
      const swaps = versions.flatMap(({ by }) => by ?? [])
      const succeeded = this.#attempts.filter(({ attempt, result }) =>
        attempt.sessionId === id && result?.outcome.swapped
      )
      deepEqual(
        succeeded.map(({ attempt }) => attempt.from).sort(),
        swaps.map(({ from }) => from).sort(),
        'exactly the attempts that rotated a session report success'
      )
      equal(
        new Set(swaps.map(({ from }) => from)).size,
        swaps.length,
        'every generation is rotated once'
      )
    }
  }

  #attempt (attempt: RotationAttempt): void {
    const tracked: TrackedAttempt = { attempt, at: this.#moment, result: null }
    this.#attempts.push(tracked)
    void this.#queue.rotate(attempt).then(outcome => {
      tracked.result = { at: this.#moment, outcome }
    })
  }

  #checkOne ({ attempt, at, result }: TrackedAttempt): void {
    ok(result, 'every attempt resolves')
    const { swapped, session } = result.outcome
    const versions = this.#history.get(attempt.sessionId) as Version[]
    const index = versions.findIndex(({ row, by }) =>
      row === session && (!swapped || by === attempt)
    )
    const version = versions[index]
    ok(version, 'the row has existed')
    ok(
      version.from <= result.at && at <= (versions[index + 1]?.from ?? Infinity),
      'the row was current during the attempt'
    )

    if (swapped) {
      ok(version.from >= at, 'the rotation happened after the attempt began')
    } else {
      ok(session === null || !canRotate(session, attempt), 'an attempt that can rotate succeeds')
    }
  }

  #rotateAll (attempts: readonly RotationAttempt[]): Promise<RotationOutcome[]> {
    equal(
      new Set(attempts.map(({ sessionId }) => sessionId)).size,
      attempts.length,
      'a batch contains each session once'
    )
    ok(this.#toExecute.length + this.#toRespond.length < 2, 'at most two batches are pending')

    return new Promise(resolve => {
      this.#toExecute.push(() => {
        const outcomes = attempts.map(attempt => this.#rotate(attempt))
        this.#toRespond.push(() => {
          resolve(outcomes)
        })
      })
    })
  }

  #rotate (attempt: RotationAttempt): RotationOutcome {
    const { row } = this.#current(attempt.sessionId)

    if (row === null || !canRotate(row, attempt)) {
      return { swapped: false, session: row }
    }

    const session = applyRotation(row, attempt)
    this.#write(session, attempt)
    return { swapped: true, session }
  }

  #write (row: Session, by: RotationAttempt | null): void {
    this.#history.get(row.id)?.push({ row, from: this.#moment, by })
  }

  #current (id: string): Version {
    return this.#history.get(id)?.at(-1) as Version
  }
}

function pick<Item> (items: Item[], which: number): Item | undefined {
  return items.splice(which % Math.max(1, items.length), 1)[0]
}

const session = fc.nat(SESSIONS.length - 1)
const attemptSteps: Array<fc.WeightedArbitrary<Step>> = [
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('attempt'),
      session,
      ahead: fc.constantFrom(0, 0, 0, 0, -1, 1),
      forged: fc.constantFrom(false, false, false, true)
    })
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('turn') }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('execute'), which: fc.nat(1) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('respond'), which: fc.nat(1) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('wait'),
      seconds: fc.constantFrom(1, 5, 11, 120)
    })
  }
]
const otherChanges: Array<fc.WeightedArbitrary<Step>> = [
  { weight: 1, arbitrary: fc.record({ type: fc.constant('revoke'), session }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('rotate elsewhere'), session }) }
]

const createQueue = (rotateAll: RotateAll): RotationQueue =>
  new RotationQueue({ rotateAll, isDataError: () => false })

/** Checks random sequences of steps. */
function assertSequential (steps: Array<fc.WeightedArbitrary<Step>>): Promise<void> {
  return fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...steps), { maxLength: 40, size: 'max' }), async steps => {
      const model = new DatabaseModel(createQueue)

      for (const step of steps) {
        await model.perform(step)
      }

      await model.settle()
      model.check()
    }),
    { numRuns: 500, interruptAfterTimeLimit: 20_000 }
  )
}

t.test('outcomes match a sequence of the attempts', t => t.resolves(assertSequential(attemptSteps)))

t.test('outcomes match a sequence of the attempts and of changes by other writers', t =>
  t.resolves(assertSequential([...attemptSteps, ...otherChanges])))
