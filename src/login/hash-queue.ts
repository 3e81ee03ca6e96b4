import { availableParallelism } from 'node:os'
import { TokenAuthError } from '../errors.js'

const MAX_WAITING = 256
const DEFAULT_POOL_SIZE = 4

/** Returns the number of cores, but always leaves one thread of Node's pool to other work. */
export function defaultConcurrency (): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || DEFAULT_POOL_SIZE
  return Math.max(1, Math.min(availableParallelism(), threads - 1))
}

/**
 * Limits the number of concurrent password hashes.
 *
 * Without a limit, many concurrent logins occupy Node's thread pool. Then every file access and DNS
 * lookup of the process waits for them.
 */
export class HashQueue {
  readonly #concurrency: number
  readonly #waiting: Array<() => void> = []
  #running = 0

  constructor (concurrency: number) {
    this.#concurrency = concurrency
  }

  /** Number of running and waiting hashes. */
  get load (): { readonly running: number, readonly waiting: number } {
    return { running: this.#running, waiting: this.#waiting.length }
  }

  /**
   * Runs `work` as soon as there is a free place, in the order of the calls.
   *
   * @throws TokenAuthError `AUTH_BUSY` if 256 calls are waiting. `work` has not started then.
   */
  async run<T> (work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) {
      this.#running++
    } else {
      await this.#waitForTurn()
    }

    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()

      // The next call takes over this place, so the count does not change.
      if (next === undefined) {
        this.#running--
      } else {
        next()
      }
    }
  }

  #waitForTurn (): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new TokenAuthError('AUTH_BUSY')
    }

    return new Promise(resolve => {
      this.#waiting.push(resolve)
    })
  }
}
