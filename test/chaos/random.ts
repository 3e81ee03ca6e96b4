import { setTimeout as sleep } from 'node:timers/promises'

/** A seeded source of chance (mulberry32). */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** Another source, so that what one client draws does not depend on when the others do. */
  fork (): Random {
    return new Random(this.#next())
  }

  chance (probability: number): boolean {
    return this.#next() / 2 ** 32 < probability
  }

  between (from: number, to: number): number {
    return from + this.#next() % (to - from + 1)
  }

  pick<T> (choices: readonly T[]): T {
    return choices[this.#next() % choices.length] as T
  }

  async pause (from: number, to: number): Promise<void> {
    await sleep(this.between(from, to))
  }

  #next (): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}
