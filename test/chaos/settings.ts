// What a run is made of. All times are milliseconds.

import { randomInt } from 'node:crypto'

export const SECONDS = Number(process.env.CHAOS_SECONDS ?? 20)
export const SEED = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31))

/** Short, so that sessions rotate often; yet longer than a busy machine keeps a request waiting. */
export const GRACE = Number(process.env.CHAOS_GRACE ?? 2000)
/**
 * Not longer than the grace: what is judged later than that may have been overtaken by two
 * rotations.
 */
export const STORE_TIMEOUT = Number(process.env.CHAOS_STORE_TIMEOUT ?? 2000)
/** Longer than a server takes to give up. */
export const CLIENT_TIMEOUT = STORE_TIMEOUT + 2000
export const POLL = 250
/**
 * How long after its answer a logout may be unknown to another server: a poll, and what a busy
 * machine takes for it.
 */
export const BOUND = POLL + 1000
/** The same while connections are cut: one poll is hung up on, another waits for a connection. */
export const TROUBLED_BOUND = BOUND + 2 * STORE_TIMEOUT
/**
 * How long an engine stays away when it is restarted. Longer than a server waits, so that clients
 * are told 503.
 */
export const ABSENCE = STORE_TIMEOUT + 500
/** Longer than a run: only the feed of revocations can refuse an access token then. */
export const ACCESS_LIFETIME = '10m'

export const SERVERS = 3
/** Browsers with three tabs that share a storage, and browsers with one: 64 clients. */
export const SHARED_BROWSERS = 10
export const LONE_BROWSERS = 34
/** Fewer than browsers, so that some users are signed in twice. */
export const USERS = 33
export const TABS = 3
/** Sessions that ended long ago, for the sweepers to compete for. */
export const STALE_SESSIONS = 600

/** Breaks the store of each server in a way that the checks must notice. */
export const MUTANTS = ['check-then-write', 'forgets-revocations'] as const
export type Mutant = typeof MUTANTS[number]
