import type { FastifyInstance } from 'fastify'
import type { Events } from '../events.js'
import { RateLimit } from '../lib/rate-limit.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import { RevocationFeed } from '../revocations/feed.js'
import { RevocationReporter } from '../revocations/reporter.js'
import { RevokedSessions } from '../revocations/revoked.js'
import { SYSTEM_CLOCKS } from '../revocations/store-clock.js'
import type { StoreTime } from '../revocations/store-clock.js'
import { StoreStartup } from '../stores/startup.js'
import type { AccessTokenVerifier } from '../tokens/auth.js'
import type { ResolvedSync } from './options.js'
import { PendingNotes } from './pending-notes.js'
import type { RemoteToken } from './remote-token.js'
import { SyncClient } from './sync-client.js'
import { SyncedVerifier } from './synced-verifier.js'

const POLL_INTERVAL: Millis = SECOND
/** Minimum time between two lines of the log about failed requests. */
const LOG_INTERVAL: Millis = 10 * SECOND
/** Fixes of failures that only a change of the settings can end. */
const FIXES: Readonly<Record<string, string>> = {
  'status 401': '; check "sync.clientId" and "sync.clientSecret", and set "sync: true" for this ' +
    'client in "oauth.clients" of the issuer',
  'status 404': '; check "sync.uri", and set "sync: true" for a client in "oauth.clients" of the ' +
    'issuer'
}

/** Settings and collaborators of the exchange with the issuer. */
export interface SyncContext {
  readonly sync: ResolvedSync
  readonly name: string
  readonly timeout: Millis
  readonly events: Events
  readonly time: StoreTime
  readonly verifier: AccessTokenVerifier<RemoteToken>
}

/** Verifier that knows the revocations of the issuer. */
export interface Sync {
  readonly verifier: SyncedVerifier
  readonly revoked: RevokedSessions
}

/**
 * Starts the exchange with the issuer together with the app.
 *
 * The issuer replaces the store: the code that follows the feed of a database follows that of the
 * issuer here.
 */
export function addSync (app: FastifyInstance, context: SyncContext): Sync {
  const { sync, name, timeout, events, time, verifier } = context
  const { log: logger } = app
  const revoked = new RevokedSessions(0)
  const notes = new PendingNotes()
  const failures = new RateLimit(1, LOG_INTERVAL)
  const url = sync.uri.origin + sync.uri.pathname
  const client = new SyncClient({
    ...sync,
    timeout,
    realm: name,
    notes,
    revoked,
    onFailure (cause) {
      const skipped = failures.next()

      if (skipped !== null) {
        logger.error(
          { registration: name, url, cause, ...(skipped > 0 && { skipped }) },
          `failed to exchange revocations with the issuer${FIXES[cause] ?? ''}`
        )
      }
    }
  })
  const feed = new RevocationFeed({
    store: client,
    realm: name,
    reporter: new RevocationReporter({
      revoked,
      events,
      // Known after the first response.
      get retention () {
        return revoked.retention
      }
    }),
    events,
    logger,
    time,
    clocks: SYSTEM_CLOCKS,
    pollInterval: POLL_INTERVAL,
    // The issuer chooses the window.
    retention: 0,
    failAfter: sync.failAfter,
    subscribe: undefined
  })
  // Services may start in any order, so an issuer that is down does not fail the startup.
  const startup = new StoreStartup({
    stores: [],
    start: () => feed.start(),
    storeDown: 'serve',
    maxWait: 0,
    name,
    subject: 'the issuer',
    logger
  })
  app.addHook('onReady', () => startup.run())
  app.addHook('onClose', async () => {
    startup.stop()
    await feed.stop()
    await client.close()
  })

  return {
    revoked,
    verifier: new SyncedVerifier({
      verifier,
      revoked,
      notes,
      feed: {
        isOverdue: () => feed.isOverdue(),
        catchUp: () => feed.catchUp(),
        isStale: () => !startup.isReady || feed.isStale()
      }
    })
  }
}
