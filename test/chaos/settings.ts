// All times are in milliseconds.

import { randomInt } from 'node:crypto'

export const SECONDS = Number(process.env.CHAOS_SECONDS ?? 20)
export const SEED = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))

/** Grace period. Short for frequent rotations, but longer than a request on a busy machine. */
export const GRACE = Number(process.env.CHAOS_GRACE ?? 2000)
/**
 * Store timeout, at most half of the grace period.
 *
 * Other tabs can then still use the previous token after a refresh that timed out.
 */
export const STORE_TIMEOUT = Number(process.env.CHAOS_STORE_TIMEOUT ?? GRACE / 2)
/** Timeout of clients, longer than the store timeout of a server. */
export const CLIENT_TIMEOUT = STORE_TIMEOUT + 2000
export const POLL_INTERVAL = 250
/** Maximum time until all servers know a logout: one poll, plus 1 s on a busy machine. */
export const PROPAGATION_LIMIT = POLL_INTERVAL + 1000
/** The same limit during disruptions: one poll fails, and another waits for a connection. */
export const DISRUPTED_PROPAGATION_LIMIT = PROPAGATION_LIMIT + 2 * STORE_TIMEOUT
/** Downtime of a restarted engine. Longer than the store timeout, so that clients receive 503. */
export const ENGINE_DOWNTIME = STORE_TIMEOUT + 500
/** Longer than a run, so that only the revocation feed can reject an access token. */
export const ACCESS_LIFETIME = '10m'

export const SERVERS = 3
/** 10 browsers with three tabs and 34 browsers with one tab are 64 clients. */
export const MULTI_TAB_BROWSERS = 10
export const SINGLE_TAB_BROWSERS = 34
/** Fewer users than browsers, so that some users have two sessions. */
export const USERS = 33
export const TABS = 3
/** Sessions that expired long ago, which the servers delete concurrently. */
export const STALE_SESSIONS = 600

/** Names of broken stores that the checks must detect. */
export const MUTANTS = ['check-then-write', 'forgets-revocations'] as const
export type Mutant = typeof MUTANTS[number]
