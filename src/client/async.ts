/**
 * Timeout and queue for asynchronous work.
 *
 * @module
 */

import { AuthError } from './errors.js'
import type { Platform } from './platform.js'

/**
 * Runs work with a timeout.
 *
 * Rejects early if the caller's signal is aborted or the client is disposed. The signal that `run`
 * receives is aborted as soon as the result is settled. A Node process stays alive meanwhile.
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

/**
 * Creates the timeout function of a client.
 *
 * @param disposal - Aborted when the client is disposed.
 */
export function createWithTimeout ({ sleep }: Platform, disposal: AbortSignal): WithTimeout {
  // One listener for all calls, because Node warns of a leak above ten listeners.
  const stops = new Set<() => void>()
  disposal.addEventListener('abort', () => {
    for (const stop of stops) {
      stop()
    }
  })

  return async <Result>(
    outerSignal: AbortSignal | null | undefined,
    run: (signal: AbortSignal) => Promise<Result>,
    timeout = DEFAULT_TIMEOUT
  ) => {
    const controller = new AbortController()

    let stop = (): void => {}

    try {
      return await new Promise<Result>((resolve, reject) => {
        stop = () => {
          reject(outerSignal?.aborted ? getAbortReason(outerSignal) : new AuthError('disposed'))
        }

        outerSignal?.addEventListener('abort', stop)
        stops.add(stop)

        if (outerSignal?.aborted || disposal.aborted) {
          return stop()
        }

        void sleep(timeout, controller.signal, true).then(() => {
          reject(new AuthError('network', { cause: new Error(`no response within ${timeout} ms`) }))
        })
        // An async function, so that an exception of `run` is a rejection too.
        void (async () => run(controller.signal))().then(resolve, reject)
      })
    } finally {
      outerSignal?.removeEventListener('abort', stop)
      stops.delete(stop)
      controller.abort()
    }
  }
}

/** Older versions of React Native abort signals without a reason. */
function getAbortReason (signal: AbortSignal): unknown {
  return signal.reason ?? Object.assign(new Error('the call was aborted'), { name: 'AbortError' })
}

/** Creates an empty queue. */
export function createQueue (): Queue {
  let last: Promise<unknown> = Promise.resolve()

  return work => {
    const result = last.then(work)
    last = result.catch(ignore)
    return result
  }
}

/** Ignores a result or a failure that another place reports. */
export function ignore (): void {}
