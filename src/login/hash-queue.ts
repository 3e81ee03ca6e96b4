// A bound on hashing. Without it a storm of logins fills Node's thread pool, and everything that reads a file or resolves a
// name waits behind it.

import { availableParallelism } from 'node:os'
import { TokenAuthError } from '../errors.js'

const MAX_WAITING = 256

/** As many at once as there are cores, but never all threads of the pool. */
export function defaultConcurrency (): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || 4
  return Math.max(1, Math.min(availableParallelism(), threads - 1))
}

/** */
export class HashQueue {
  readonly #concurrency: number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor (concurrency: number) {
    this.#concurrency = concurrency
  }

  /** How many hashes are being computed, and how many wait for their turn. */
  get load (): { readonly running: number, readonly waiting: number } {
    return { running: this.#running, waiting: this.#waiting.length }
  }

  /** @throws TokenAuthError AUTH_BUSY where too many wait already; the work has not begun then. */
  async run<T> (work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) {
      this.#running++
    } else {
      await this.#turn()
    }

    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()

      if (next === undefined) {
        this.#running--
      } else {
        next()
      }
    }
  }

  #turn (): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new TokenAuthError('AUTH_BUSY')
    }

    return new Promise(resolve => {
      this.#waiting.push(resolve)
    })
  }
}
