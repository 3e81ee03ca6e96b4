/**
 * Timeout, retry delay and queue for asynchronous work.
 *
 * @module
 */

import { AuthError } from './errors.js'
import type { Platform } from './platform.js'

/**
 * Runs work with a timeout.
 *
 * Rejects early if the caller's signal is aborted or the client is disposed. The signal that `run`
 * receives is aborted as soon as the result is settled.
 *
 * @param timeout - Milliseconds. Defaults to {@link DEFAULT_TIMEOUT}.
 * @throws AuthError `network` on timeout, `disposed`; the reason of the signal; errors of `run`
 */
export type WithTimeout = <Result>(
  signal: AbortSignal | null | undefined,
  run: (signal: AbortSignal) => Promise<Result>,
  timeout?: number
) => Promise<Result>

/** Runs work after all earlier work has settled. */
export type Queue = <Result>(work: () => Promise<Result>) => Promise<Result>

/** Timeout of a call in milliseconds. */
export const DEFAULT_TIMEOUT = 10_000
/** About 12 days. `setTimeout` fires immediately for delays over 24.8 days. */
export const NO_TIMEOUT = 1e9

const MIN_RETRY_DELAY = 500
const MAX_RETRY_DELAY = 30_000
/** Seconds. A longer `Retry-After` is probably a mistake, and an early retry does no harm. */
const MAX_RETRY_AFTER = 3600

/**
 * Creates the timeout function of a client.
 *
 * @param disposal - Aborted when the client is disposed.
 */
export function createWithTimeout ({ sleep }: Platform, disposal: AbortSignal): WithTimeout {
  // One listener for all calls, because Node warns of a leak above ten listeners.
  const stops = new Set<() => void>()

  disposal.onabort = () => {
    for (const stop of stops) {
      stop()
    }
  }

  return <Result>(
    outerSignal: AbortSignal | null | undefined,
    run: (signal: AbortSignal) => Promise<Result>,
    timeout = DEFAULT_TIMEOUT
  ) => {
    const controller = new AbortController()
    let stop!: () => void

    return new Promise<Result>((resolve, reject) => {
      stop = () => reject(outerSignal?.reason ?? new AuthError('disposed'))
      outerSignal?.addEventListener('abort', stop)
      stops.add(stop)

      if (outerSignal?.aborted || disposal.aborted) {
        return stop()
      }

      void sleep(timeout, controller.signal).then(() => reject(new AuthError('network')))
      run(controller.signal).then(resolve, reject)
    }).finally(() => {
      outerSignal?.removeEventListener('abort', stop)
      stops.delete(stop)
      controller.abort()
    })
  }
}

/**
 * Computes the delay before the next attempt.
 *
 * The delay doubles with each failure and includes up to 25 % jitter, so that clients spread out.
 *
 * @param failures - Number of earlier failures in a row.
 * @returns Milliseconds.
 */
export function computeRetryDelay (
  { random }: Platform,
  failures: number,
  { retryAfter }: AuthError
): number {
  return Math.max(
    Math.min(MAX_RETRY_DELAY, MIN_RETRY_DELAY * 2 ** failures),
    Math.min(retryAfter, MAX_RETRY_AFTER) * 1000
  ) * (1 + random() / 4)
}

/** Creates an empty queue. */
export function createQueue (): Queue {
  let last: Promise<unknown> = Promise.resolve()
  return <Result>(work: () => Promise<Result>) => (last = last.then(work, work)) as Promise<Result>
}
