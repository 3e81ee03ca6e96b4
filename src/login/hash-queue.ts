import { availableParallelism } from 'node:os'
import { assertConnected, createDisconnectError, TokenAuthError } from '../errors.js'
import { getNetwork, getSite } from '../lib/ip-network.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { FairQueue } from './fair-queue.js'
import type { GroupPath } from './fair-queue.js'

const DEFAULT_POOL_SIZE = 4
const DEFAULT_MAX_WAIT: Millis = 3 * SECOND

// Duration of a new hash on a usual server, until the first ones are measured.
const FIRST_DURATION: Millis = 14
const NEWEST_DURATION_WEIGHT = 1 / 8

/**
 * Lanes in the order in which they get a free place. A lane without waiting work is skipped.
 *
 * Known devices get every other place, so other logins delay them by one hash at most.
 */
const TURNS = ['known', 'app', 'known', 'other'] as const

/**
 * Lane of a hash.
 *
 * | lane | who waits there |
 * |---|---|
 * | `known` | logins from known devices, and the replacement of weak hashes after a login |
 * | `app` | the app's own calls of `hashPassword` and `verifyPassword` |
 * | `other` | all other logins |
 */
export type HashLane = typeof TURNS[number]

const LANES: readonly HashLane[] = ['known', 'app', 'other']

/** Place of a hash in the {@link HashQueue}. */
export interface HashRequest {
  readonly lane: HashLane
  /** Groups that share the lane equally, from the widest to the narrowest one. */
  readonly path: GroupPath
  /** Aborted when nobody waits for the result any more. */
  readonly signal?: AbortSignal | undefined
}

/** Settings of a {@link HashQueue}. */
export interface HashQueueSettings {
  /** Maximum number of concurrent hashes. As many as {@link defaultConcurrency} by default. */
  readonly places?: number
  /** Longest expected wait. A call that would wait longer is rejected. */
  readonly maxWait?: Millis
  /** Monotonic clock. */
  readonly now?: () => Millis
}

/** Password hashes that run and wait in this process. */
export interface HashLoad {
  /** Number of running hashes. */
  readonly running: number
  /** Number of waiting hashes. */
  readonly waiting: number
  /** Expected wait of a login from an unknown device, in milliseconds. */
  readonly expectedWait: Millis
}

interface Entry {
  start(): void
  reject(error: Error): void
}

/** Returns the number of cores, but always leaves one thread of Node's pool to other work. */
export function defaultConcurrency (): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE) || DEFAULT_POOL_SIZE
  return Math.max(1, Math.min(availableParallelism(), threads - 1))
}

/** Returns the request of a call that the app makes. */
export function requestForApp (): HashRequest {
  return { lane: 'app', path: [] }
}

/** Returns the request of a login whose user is known by a device token or the right password. */
export function requestForUser (userId: string, signal?: AbortSignal): HashRequest {
  return { lane: 'known', path: [userId], signal }
}

/** Returns the request of any other login. Networks share the lane equally. */
export function requestForAddress (address: string | null, signal?: AbortSignal): HashRequest {
  const given = address ?? ''
  return { lane: 'other', path: [getSite(given), getNetwork(given)], signal }
}

/**
 * Limits the number of concurrent password hashes.
 *
 * Without a limit, many concurrent logins occupy Node's thread pool. Then every file access and DNS
 * lookup of the process waits for them. Waiting calls are limited by their expected wait, which
 * follows from the measured time of recent hashes.
 */
export class HashQueue {
  readonly #places: number
  readonly #maxWait: Millis
  readonly #now: () => Millis
  readonly #lanes: Readonly<Record<HashLane, FairQueue<Entry>>> = {
    known: new FairQueue(),
    app: new FairQueue(),
    other: new FairQueue()
  }

  #running = 0
  #turn = 0
  #duration = FIRST_DURATION

  constructor (
    {
      places = defaultConcurrency(),
      maxWait = DEFAULT_MAX_WAIT,
      now = () => performance.now()
    }: HashQueueSettings
  ) {
    this.#places = places
    this.#maxWait = maxWait
    this.#now = now
  }

  /** Number of running and waiting hashes, and the wait of a login from an unknown device. */
  get load (): HashLoad {
    const { known, app, other } = this.#lanes

    return {
      running: this.#running,
      waiting: known.size + app.size + other.size,
      expectedWait: this.#isFree ? 0 : Math.round(this.#getExpectedWait('other'))
    }
  }

  /**
   * Checks whether a call would be accepted now, so that the caller can spare the work before it.
   *
   * @throws TokenAuthError `AUTH_BUSY` if the expected wait is too long.
   */
  assertCapacity ({ lane, path }: HashRequest): void {
    const isRejected = !this.#isFree && this.#isFull(lane) &&
      this.#lanes[lane].findLarger(path) === undefined

    if (isRejected) {
      throw this.#createBusyError(lane)
    }
  }

  /**
   * Runs `work` as soon as there is a free place.
   *
   * A lane that is full drops the newest call of the group with most calls, so that the other
   * groups are still served.
   *
   * @throws TokenAuthError `AUTH_BUSY` if the expected wait is too long. `AUTH_REQUEST_INVALID` if
   * the signal is aborted before the work starts. `work` has not started in both cases.
   */
  async run<T> (work: () => Promise<T>, request: HashRequest): Promise<T> {
    assertConnected(request.signal)

    if (this.#isFree) {
      this.#running++
    } else {
      await this.#waitForTurn(request)
    }

    const startedAt = this.#now()

    try {
      return await work()
    } finally {
      this.#duration += (this.#now() - startedAt - this.#duration) * NEWEST_DURATION_WEIGHT
      this.#passPlaceOn()
    }
  }

  get #isFree (): boolean {
    return this.#running < this.#places
  }

  #waitForTurn ({ lane, path, signal }: HashRequest): Promise<void> {
    const queue = this.#lanes[lane]

    if (this.#isFull(lane)) {
      const error = this.#createBusyError(lane)
      const larger = queue.findLarger(path)

      if (larger === undefined) {
        throw error
      }

      queue.removeNewest(larger)?.reject(error)
    }

    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        queue.remove(path, entry)
        entry.reject(createDisconnectError())
      }

      const entry: Entry = {
        start () {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
        reject (error) {
          signal?.removeEventListener('abort', onAbort)
          reject(error)
        }
      }
      queue.push(path, entry)
      signal?.addEventListener('abort', onAbort)
    })
  }

  /** The next call takes over the place of a finished one, so the count does not change. */
  #passPlaceOn (): void {
    const next = this.#takeNext()

    if (next === undefined) {
      this.#running--
    } else {
      next.start()
    }
  }

  #takeNext (): Entry | undefined {
    for (let skipped = 0; skipped < TURNS.length; skipped++) {
      const lane = TURNS[this.#turn] as HashLane
      this.#turn = (this.#turn + 1) % TURNS.length

      if (this.#lanes[lane].size > 0) {
        return this.#lanes[lane].shift()
      }
    }

    return undefined
  }

  // As many calls as there are places may always wait. Otherwise one slow hash would reject all
  // other calls.
  #isFull (lane: HashLane): boolean {
    return this.#lanes[lane].size >= this.#places && this.#getExpectedWait(lane) > this.#maxWait
  }

  #getExpectedWait (lane: HashLane): Millis {
    const own = this.#lanes[lane].size + 1
    const others = LANES.filter(other => other !== lane).map(other =>
      Math.min(this.#lanes[other].size, own * countTurns(other) / countTurns(lane))
    )
    const hashesBefore = others.reduce((sum, count) => sum + count, own)
    return hashesBefore * this.#duration / this.#places
  }

  #createBusyError (lane: HashLane): TokenAuthError {
    const retryAfter = Math.max(1, Math.ceil(this.#getExpectedWait(lane) / SECOND))
    return new TokenAuthError('AUTH_BUSY', { retryAfter })
  }
}

function countTurns (lane: HashLane): number {
  return TURNS.filter(turn => turn === lane).length
}
