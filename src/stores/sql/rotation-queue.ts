import { AsyncResource } from 'node:async_hooks'
import { canRotate } from '../../domain/rotation.js'
import type { RotationAttempt, RotationOutcome } from '../../domain/rotation.js'
import { SafeError } from '../../lib/safe-error.js'
import type { Millis } from '../../lib/time.js'

/** Rotates several different sessions. Returns the outcomes in the order of the attempts. */
export type RotateAll = (attempts: readonly RotationAttempt[]) => Promise<RotationOutcome[]>

/** Settings of a {@link RotationQueue}. */
export interface RotationQueueOptions {
  readonly rotateAll: RotateAll
  /** Whether the values of one attempt caused an error, so that the others may succeed alone. */
  readonly isDataError: (error: unknown) => boolean
  /**
   * Minimum number of attempts to rotate in one statement. Fewer ones run separately, because a
   * transaction takes more round trips.
   *
   * @default 2
   */
  readonly minBatchSize?: number
}

const MAX_CONCURRENT_BATCHES = 2
const MAX_BATCH_SIZE = 500
// Bounds the memory while the database does not respond.
const MAX_PENDING = 10_000
// A lost connection must not block the other batches.
const BATCH_TIMEOUT: Millis = 30_000
const CLEANUP_INTERVAL: Millis = 1000

interface Waiting {
  readonly attempt: RotationAttempt
  readonly signal: AbortSignal | undefined
  readonly resolve: (outcome: RotationOutcome) => void
  readonly reject: (error: unknown) => void
}

/** Attempts for one session. The first one is sent, and its result may settle the others. */
type Row = readonly [Waiting, ...Waiting[]]

/**
 * Gathers concurrent rotations into one statement or transaction (group commit).
 *
 * A database runs thousands of statements per second, but updates tens of thousands of rows.
 */
export class RotationQueue {
  readonly #options: RotationQueueOptions
  readonly #waiting = new Map<string, Row>()
  // A session is in one batch at a time.
  readonly #running = new Set<string>()
  // A batch serves several requests, so it must not run in the async context of one of them.
  readonly #sendInOwnContext: () => void
  #inFlight = 0
  #pending = 0
  #scheduled = false
  #cleanup: NodeJS.Timeout | undefined

  constructor (options: RotationQueueOptions) {
    this.#options = options
    this.#sendInOwnContext = AsyncResource.bind(() => {
      void this.#send()
    })
  }

  /** Number of attempts that have no outcome yet. */
  get pending (): number {
    return this.#pending
  }

  /**
   * Rotates one session.
   *
   * @param signal - Aborted when the caller has given up. The attempt is not sent then.
   * @throws Error if too many attempts are pending, or if the signal was aborted before the attempt
   * was sent.
   */
  rotate (attempt: RotationAttempt, signal?: AbortSignal): Promise<RotationOutcome> {
    return new Promise((resolve, reject) => {
      if (this.#pending >= MAX_PENDING) {
        reject(new SafeError('too many rotations wait for the database'))
        return
      }

      this.#pending++
      const waiting: Waiting = {
        attempt,
        signal,
        resolve: outcome => {
          this.#pending--
          resolve(outcome)
        },
        reject: error => {
          this.#pending--
          reject(error)
        }
      }
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
    if (this.#waiting.size === 0) {
      return
    }

    this.#scheduleCleanup()

    if (this.#scheduled || this.#inFlight >= MAX_CONCURRENT_BATCHES) {
      return
    }

    this.#scheduled = true
    setImmediate(this.#sendInOwnContext)
  }

  // While the database does not respond, nothing is sent, and callers give up.
  #scheduleCleanup (): void {
    this.#cleanup ??= setTimeout(() => {
      this.#cleanup = undefined

      for (const [sessionId, row] of this.#waiting) {
        const [first, ...behind] = rejectAbandoned(row)

        if (first === undefined) {
          this.#waiting.delete(sessionId)
        } else if (behind.length + 1 < row.length) {
          this.#waiting.set(sessionId, [first, ...behind])
        }
      }

      this.#schedule()
    }, CLEANUP_INTERVAL).unref()
  }

  async #send (): Promise<void> {
    this.#scheduled = false
    const batch = this.#takeBatch()

    if (batch.length === 0) {
      return
    }

    this.#inFlight++
    this.#schedule()
    await this.#rotate(batch)
    this.#inFlight--
    this.#schedule()
  }

  /** Takes the attempts of the next sessions that are in no other batch. */
  #takeBatch (): Row[] {
    const batch: Row[] = []

    for (const [sessionId, row] of this.#waiting) {
      if (batch.length === MAX_BATCH_SIZE) {
        break
      }

      if (this.#running.has(sessionId)) {
        continue
      }

      this.#waiting.delete(sessionId)
      const [first, ...behind] = rejectAbandoned(row)

      if (first !== undefined) {
        this.#running.add(sessionId)
        batch.push([first, ...behind])
      }
    }

    return batch
  }

  async #rotate (batch: readonly Row[]): Promise<void> {
    if (batch.length > 1 && batch.length < (this.#options.minBatchSize ?? 2)) {
      await Promise.all(batch.map(row => this.#rotate([row])))
      return
    }

    try {
      const outcomes = await this.#inTime(
        this.#options.rotateAll(batch.map(([first]) => first.attempt))
      )
      batch.forEach((row, i) => {
        this.#settle(row, outcomes[i] as RotationOutcome)
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
      const timer = setTimeout(() => {
        reject(new SafeError('the database does not respond'))
      }, BATCH_TIMEOUT).unref()
      work.then(resolve, reject).finally(() => {
        clearTimeout(timer)
      })
    })
  }

  // Attempts that waited when the batch was sent and cannot rotate the new row get that row. The
  // database would return the same. So many concurrent attempts need one row of one statement.
  #settle ([first, ...behind]: Row, outcome: RotationOutcome): void {
    const { session } = outcome
    first.resolve(outcome)
    const fitting = behind.filter(({ attempt, resolve }) => {
      const isOtherRealm = attempt.realm !== first.attempt.realm

      if (isOtherRealm || (session !== null && canRotate(session, attempt))) {
        return true
      }

      resolve({ swapped: false, session })
      return false
    })
    this.#release(first.attempt.sessionId, fitting)
  }

  // Attempts that arrived in the meantime are sent again, because the row may have changed.
  #release (sessionId: string, left: readonly Waiting[]): void {
    this.#running.delete(sessionId)
    const [first, ...others] = [...left, ...this.#waiting.get(sessionId) ?? []]

    if (first !== undefined) {
      this.#waiting.set(sessionId, [first, ...others])
    }
  }
}

/** Rejects the attempts whose callers have given up, and returns the others. */
function rejectAbandoned (row: readonly Waiting[]): Waiting[] {
  return row.filter(({ signal, reject }) => {
    if (signal?.aborted === true) {
      reject(signal.reason)
      return false
    }

    return true
  })
}
