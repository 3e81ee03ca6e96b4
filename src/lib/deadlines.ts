// Many deadlines, all equally long, by one timer: to make and clear one each costs more than the
// work, where that is quick.

import type { Millis } from './time.js'

export interface Deadline {
  readonly at: number
  readonly miss: () => void
}

export interface DeadlineOptions {
  /** Milliseconds that only ever grow. */
  readonly now?: () => number
  /**
   * Whether a process that waits for nothing else stays until what is pending has ended, and no
   * longer.
   */
  readonly holds: boolean
}

/** Deadlines of one common timeout, which share one timer. */
export class Deadlines {
  readonly #timeout: Millis
  readonly #now: () => number
  readonly #holds: boolean
  // In the order in which they come.
  readonly #pending = new Set<Deadline>()
  #timer: NodeJS.Timeout | undefined

  constructor (timeout: Millis, { now = () => performance.now(), holds }: DeadlineOptions) {
    this.#timeout = timeout
    this.#now = now
    this.#holds = holds
  }

  add (miss: () => void): Deadline {
    const deadline = { at: this.#now() + this.#timeout, miss }
    this.#pending.add(deadline)
    this.#timer ??= this.#wait(this.#timeout)

    if (this.#holds && this.#pending.size === 1) {
      this.#timer.ref()
    }

    return deadline
  }

  /** @returns Whether it was met. */
  end (deadline: Deadline): boolean {
    const isMet = this.#pending.delete(deadline)

    if (this.#pending.size === 0) {
      this.#timer?.unref()
    }

    return isMet
  }

  #wait (ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timer = undefined

      for (const deadline of this.#pending) {
        const left = deadline.at - this.#now()

        if (left > 0) {
          this.#timer = this.#wait(Math.ceil(left))
          return
        }

        this.#pending.delete(deadline)
        deadline.miss()
      }
    }, ms)
    return this.#holds ? timer : timer.unref()
  }
}
