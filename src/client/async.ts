// A time limit, and signals, on anything: also on what knows of neither.

import { AuthError } from './errors.js'
import type { Platform } from './platform.js'

/** What a caller waits for, in milliseconds. */
export const DEFAULT_TIMEOUT = 10_000
/** Days. Timers of more than three weeks would end at once. */
export const NO_TIMEOUT = 1e9

/**
 * What `run` gives, unless the signal is aborted, the client disposed of, or the time over before that. The signal that `run` is
 * handed tells it to stop.
 *
 * @param ms Milliseconds. @default 10 s
 * @throws AuthError `network` when the time is over, `disposed`; the reason of the signal; whatever `run` throws
 */
export type WithTimeout = <Result>(
  signal: AbortSignal | null | undefined,
  run: (signal: AbortSignal) => Promise<Result>,
  ms?: number
) => Promise<Result>

/** @param end Aborted when the client is disposed of. */
export function createWithTimeout ({ sleep }: Platform, end: AbortSignal): WithTimeout {
  // One listener for all calls: Node takes more than ten for a leak, and says so.
  const stops = new Set<() => void>()

  end.onabort = () => {
    for (const stop of stops) {
      stop()
    }
  }

  return <Result>(
    outer: AbortSignal | null | undefined,
    run: (signal: AbortSignal) => Promise<Result>,
    ms = DEFAULT_TIMEOUT
  ) => {
    const controller = new AbortController()
    let stop!: () => void

    return new Promise<Result>((resolve, reject) => {
      stop = () => reject(outer?.reason ?? new AuthError('disposed'))
      outer?.addEventListener('abort', stop)
      stops.add(stop)

      if (outer?.aborted || end.aborted) {
        return stop()
      }

      void sleep(ms, controller.signal).then(() => reject(new AuthError('network')))
      run(controller.signal).then(resolve, reject)
    }).finally(() => {
      outer?.removeEventListener('abort', stop)
      stops.delete(stop)
      controller.abort()
    })
  }
}

// How long to wait before the next try.

const SHORTEST = 500
const LONGEST = 30_000
// Seconds. What asks for more is broken, or may be asked again anyway.
const MOST_OBEYED = 3600

/**
 * Milliseconds, twice as many after each failure, and never the same for all clients.
 *
 * @param failures How many there were before this one.
 */
export function backoff (
  { random }: Platform,
  failures: number,
  { retryAfter }: AuthError
): number {
  return Math.max(
    Math.min(LONGEST, SHORTEST * 2 ** failures),
    Math.min(retryAfter, MOST_OBEYED) * 1000
  ) * (1 + random() / 4)
}

// One after the other.

/** Does its work when all that was asked for before is done, or has failed. */
export type Queue = <Result>(work: () => Promise<Result>) => Promise<Result>

/** */
export function createQueue (): Queue {
  let last: Promise<unknown> = Promise.resolve()
  return <Result>(work: () => Promise<Result>) => (last = last.then(work, work)) as Promise<Result>
}
