import { SafeError } from '../lib/safe-error.js'
import type { Cursor, FeedWindow, Revocation, RevocationPage } from './token-store.js'

/** Latest moment that a `Date` can hold. */
const MAX_TIME = 8.64e15

/**
 * Checks a page of the feed.
 *
 * A page without a valid time would stop the clock that tokens are judged by. An entry without a
 * valid moment would revoke nothing.
 *
 * @param after - Position that the page was read from. An incomplete page must be beyond it.
 * @throws SafeError if a member is malformed. The message names it.
 */
export function assertRevocationPage (
  page: RevocationPage,
  after: Cursor | FeedWindow
): asserts page is RevocationPage {
  const { now, cursor, complete, entries } = (page ?? {}) as Partial<RevocationPage>
  assert(isTime(now), 'now')
  assert(typeof complete === 'boolean', 'complete')
  // Otherwise a reader would read the same page forever.
  assert(typeof cursor === 'string' && (complete || cursor !== after), 'cursor')
  assert(Array.isArray(entries) && entries.every(isRevocation), 'entries')
}

function isRevocation (entry: Revocation | null | undefined): boolean {
  if (typeof entry?.realm !== 'string' || !isTime(entry.at)) {
    return false
  }

  return 'sessionId' in entry
    ? typeof entry.sessionId === 'string'
    : isTime(entry.before) && (!('userId' in entry) || typeof entry.userId === 'string')
}

function isTime (value: unknown): boolean {
  return Number.isFinite(value) && Math.abs(value as number) <= MAX_TIME
}

function assert (condition: boolean, member: string): void {
  if (!condition) {
    throw new SafeError(`the store returned revocations with a malformed "${member}"`)
  }
}
