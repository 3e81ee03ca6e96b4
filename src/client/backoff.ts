/**
 * Delays between repeated attempts, so that a client does not flood a server that fails.
 *
 * @module
 */

import type { AuthError } from './errors.js'
import type { Platform } from './platform.js'

/** Limits the attempts of all parts of a client while they fail. */
export interface AttemptLimit {
  /** Time on the monotonic clock at which the next attempt may start. */
  readonly nextAt: number
  /** Counts an attempt that starts now. */
  add(): void
  /** Resets the count, because an attempt has succeeded. */
  clear(): void
}

/** Delay of one kind of attempt. It grows with each failure. */
export interface Backoff {
  /** Time on the monotonic clock at which the next attempt may start. */
  readonly retryAt: number
  /** Error of the last failure; `null` if the last attempt succeeded. */
  readonly lastError: AuthError | null
  /** Waits until the next attempt may start, or the signal is aborted. */
  wait(signal: AbortSignal): Promise<void>
  /** Must be called when an attempt starts. */
  start(): void
  succeed(): void
  fail(error: AuthError): void
  /** Ends the delay, because the server may be reachable again. */
  reset(): void
}

/** Attempts that one client may make within {@link LIMIT_WINDOW} while they fail. */
const MAX_ATTEMPTS = 5
/** Milliseconds. */
const LIMIT_WINDOW = 10_000
/** Delay after the first failure, in milliseconds. */
const MIN_DELAY = 500
/** Seconds that the plugin may ask a client to wait. */
const MAX_RETRY_AFTER = 3600
/** Seconds. A proxy may send the header long after a maintenance has ended. */
const MAX_PROXY_RETRY_AFTER = 60

/** Creates the limit of a client. It holds even if events of the platform end each delay. */
export function createAttemptLimit ({ now }: Platform): AttemptLimit {
  let attempts: number[] = []

  return {
    get nextAt () {
      const [oldest] = attempts
      return oldest === undefined || attempts.length < MAX_ATTEMPTS ? 0 : oldest + LIMIT_WINDOW
    },
    add () {
      attempts = [...attempts, now()].slice(-MAX_ATTEMPTS)
    },
    clear () {
      attempts = []
    }
  }
}

/**
 * Creates a backoff without a delay.
 *
 * @param maxDelay - Maximum delay without a `Retry-After` header, in milliseconds.
 */
export function createBackoff (
  platform: Platform,
  limit: AttemptLimit,
  maxDelay: number
): Backoff {
  const { now, sleep } = platform
  const wakeUps = new Set<() => void>()
  let failures = 0
  let delayedUntil = 0
  let lastError: AuthError | null = null

  function setDelay (until: number): void {
    delayedUntil = until

    for (const wakeUp of wakeUps) {
      wakeUp()
    }
  }

  const backoff: Backoff = {
    get retryAt () {
      return Math.max(delayedUntil, limit.nextAt)
    },
    get lastError () {
      return lastError
    },

    async wait (signal) {
      while (!signal.aborted && backoff.retryAt > now()) {
        const controller = new AbortController()

        const wakeUp = (): void => {
          controller.abort()
        }

        wakeUps.add(wakeUp)
        signal.addEventListener('abort', wakeUp)
        // At least 1 ms: a timer may fire slightly before the time it was set for.
        await sleep(Math.ceil(backoff.retryAt - now()), controller.signal)
        signal.removeEventListener('abort', wakeUp)
        wakeUps.delete(wakeUp)
      }
    },

    start: limit.add,

    succeed () {
      failures = 0
      lastError = null
      limit.clear()
      setDelay(0)
    },

    fail (error) {
      lastError = error
      setDelay(now() + computeDelay(platform, failures++, error, maxDelay))
    },

    reset () {
      failures = 0
      setDelay(0)
    }
  }
  return backoff
}

/**
 * Computes the delay before the next attempt.
 *
 * The delay doubles with each failure and includes up to 25 % jitter, so that clients spread out.
 *
 * @param failures - Number of earlier failures in a row.
 * @returns Milliseconds.
 */
function computeDelay (
  { random }: Platform,
  failures: number,
  { code, retryAfter }: AuthError,
  maxDelay: number
): number {
  const maxRetryAfter = code.startsWith('AUTH_') ? MAX_RETRY_AFTER : MAX_PROXY_RETRY_AFTER
  const delay = Math.max(
    Math.min(maxDelay, MIN_DELAY * 2 ** failures),
    Math.min(retryAfter, maxRetryAfter) * 1000
  )
  return delay * (1 + random() / 4)
}
