// How long to wait before the next try.

import type { AuthError } from './errors.js'
import type { Platform } from './platform.js'

const SHORTEST = 500
const LONGEST = 30_000
// Seconds. What asks for more is broken, or may be asked again anyway.
const MOST_OBEYED = 3600

/**
 * Milliseconds, twice as many after each failure, and never the same for all clients.
 *
 * @param failures How many there were before this one.
 */
export function backoff ({ random }: Platform, failures: number, { retryAfter }: AuthError): number {
  return Math.max(Math.min(LONGEST, SHORTEST * 2 ** failures), Math.min(retryAfter, MOST_OBEYED) * 1000) * (1 + random() / 4)
}
