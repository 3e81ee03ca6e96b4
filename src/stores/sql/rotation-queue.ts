// Group commit: rotations that come while others are on their way are gathered, and go as one statement, or in one
// transaction. A database takes thousands of statements a second, and tens of thousands of rows.

import { Deadlines } from '../../lib/deadlines.js'
import { canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import type { Millis } from '../../lib/time.js'

/** Does several rotations, of different sessions, in one go; the outcomes are in the order of the attempts. */
export type RotateAll = (attempts: readonly RotationAttempt[]) => Promise<RotationOutcome[]>

export interface RotationQueueOptions {
  readonly rotateAll: RotateAll
  /** Whether an error is about the values of one attempt, so that its neighbours may be tried without it. */
  readonly isDataError: (error: unknown) => boolean
  /**
   * Fewer than this go side by side, each on its own: where several in one go take a transaction of more round trips.
   * @default 2
   */
  readonly worthwhile?: number
  /** Milliseconds that only ever grow. @default performance.now */
  readonly now?: () => number
}

const BATCHES_IN_FLIGHT = 2
const BATCH = 500
/** A batch without an answer gives up its place: a connection that was swallowed must not hold up the others for ever. */
const LONGEST_ANSWER: Millis = 30_000

interface Waiting {
  readonly attempt: RotationAttempt
  readonly resolve: (outcome: RotationOutcome) => void
  readonly reject: (error: unknown) => void
}

/** Those who wait for one session: the first is asked for, the others may be answered by what it finds. */
type Row = readonly [Waiting, ...Waiting[]]

/** */
export class RotationQueue {
  readonly #options: RotationQueueOptions
  readonly #waiting = new Map<string, Row>()
  // A session is in one batch at a time.
  readonly #underWay = new Set<string>()
  readonly #deadlines: Deadlines
  #inFlight = 0
  #scheduled = false

  constructor (options: RotationQueueOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(LONGEST_ANSWER, {
      holds: false,
      ...(options.now && { now: options.now })
    })
  }

  /** The outcome of one rotation. Nothing waits for company: what can go goes at the end of this turn of the event loop. */
  rotate (attempt: RotationAttempt): Promise<RotationOutcome> {
    return new Promise((resolve, reject) => {
      const waiting = { attempt, resolve, reject }
      const row = this.#waiting.get(attempt.sessionId) as Waiting[] | undefined

      if (row === undefined) {
        this.#waiting.set(attempt.sessionId, [waiting])
      } else {
        row.push(waiting)
      }

      this.#schedule()
    })
  }

  #schedule (): void {
    if (this.#scheduled || this.#inFlight >= BATCHES_IN_FLIGHT || this.#waiting.size === 0) {
      return
    }

    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#send()
    })
  }

  async #send (): Promise<void> {
    const batch: Row[] = []

    for (const [sessionId, row] of this.#waiting) {
      if (batch.length === BATCH) {
        break
      }

      if (this.#underWay.has(sessionId)) {
        continue
      }

      this.#waiting.delete(sessionId)
      this.#underWay.add(sessionId)
      batch.push(row)
    }

    if (batch.length === 0) {
      return
    }

    this.#inFlight++
    this.#schedule()
    await this.#rotate(batch)
    this.#inFlight--
    this.#schedule()
  }

  async #rotate (batch: readonly Row[]): Promise<void> {
    if (batch.length > 1 && batch.length < (this.#options.worthwhile ?? 2)) {
      await Promise.all(batch.map(row => this.#rotate([row])))
      return
    }

    try {
      const outcomes = await this.#inTime(
        this.#options.rotateAll(batch.map(([first]) => first.attempt))
      )
      batch.forEach((row, i) => {
        this.#answer(row, outcomes[i] as RotationOutcome)
      })
    } catch (error) {
      if (batch.length > 1 && this.#options.isDataError(error)) {
        for (const row of batch) {
          await this.#rotate([row])
        }

        return
      }

      for (const [first, ...behind] of batch) {
        first.reject(error)
        this.#release(first.attempt.sessionId, behind)
      }
    }
  }

  #inTime<T> (work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const deadline = this.#deadlines.add(() => {
        reject(new Error('the database does not answer'))
      })
      work.then(resolve, reject).finally(() => {
        this.#deadlines.end(deadline)
      })
    })
  }

  // Those who waited when the batch was sent, with attempts that do not fit the row as it stands after it, are answered with
  // that row: whatever the database were asked, it would say the same. So a stampede costs one row of one statement.
  #answer ([first, ...behind]: Row, outcome: RotationOutcome): void {
    const { session } = outcome
    first.resolve(outcome)
    const fitting = behind.filter(({ attempt, resolve }) => {
      if (session !== null && canRotate(session, attempt)) {
        return true
      }

      resolve({ swapped: false, session })
      return false
    })
    this.#release(first.attempt.sessionId, fitting)
  }

  // What came meanwhile asks anew: the row may have changed since it was read.
  #release (sessionId: string, left: readonly Waiting[]): void {
    this.#underWay.delete(sessionId)
    const [first, ...others] = [...left, ...this.#waiting.get(sessionId) ?? []]

    if (first !== undefined) {
      this.#waiting.set(sessionId, [first, ...others])
    }
  }
}
