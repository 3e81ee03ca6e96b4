import type { Millis } from '../lib/time.js'
import type { RevocationFeed } from '../revocations/feed.js'
import type { StoreTime } from '../revocations/store-clock.js'

/** Clocks that show when a request reached this instance. */
export interface ArrivalContext {
  readonly clock: () => Millis
  readonly time: Pick<StoreTime, 'monotonic'>
  readonly feed: Pick<RevocationFeed, 'isOverdue' | 'catchUp'>
}

/**
 * Returns the moment when a request reached this instance.
 *
 * While the machine was suspended, the clock by which tokens are judged may have stood still. An
 * old token would look like one that arrived within the grace period. So the first requests after
 * a standstill wait for the time of the database.
 *
 * @returns A promise only if the process may have stood still.
 */
export function readArrival ({ clock, time, feed }: ArrivalContext): Millis | Promise<Millis> {
  if (!feed.isOverdue()) {
    return clock()
  }

  const startedAt = time.monotonic()

  // The wait must not make a token look older.
  return feed.catchUp().then(() => clock() - Math.ceil(time.monotonic() - startedAt))
}
