import type { Health } from 'fastify-token-auth'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import {
  clockSources,
  delayBuckets,
  getDelay,
  getReuseKind,
  healthReasons,
  onEvent,
  refreshKinds,
  refreshRejections,
  rejectionReasons,
  reuseKinds,
  revocationReasons,
  Stopwatch,
  storeBuckets,
  throttleLimits
} from './sources.js'
import type { ObserveStore } from './sources.js'

/** Metrics of the plugin for Prometheus. */
export interface TokenAuthMetrics {
  readonly registry: Registry
  /** Second argument for `measureStore`. */
  readonly observeStore: ObserveStore
  /** Reports the health of the instance. Call it after the plugin was registered. */
  readonly observeHealth: (readHealth: () => Promise<Health>) => void
  /** Unsubscribes from all events. */
  readonly stop: () => void
}

/**
 * Counts the events of the plugin with prom-client, in a registry of its own.
 *
 * Call it once per process: it counts the events of all registrations of the plugin. No label
 * contains an id, a name or an address.
 */
export function collectMetrics (): TokenAuthMetrics {
  const registry = new Registry()
  const registers = [registry]
  const createCounter = (name: string, help: string): Counter =>
    new Counter({ name: `token_auth_${name}_total`, help, registers })

  const createLabeledCounter = (
    label: string,
    values: readonly string[],
    name: string,
    help: string
  ): Counter => {
    const counter = new Counter({
      name: `token_auth_${name}_total`,
      help,
      labelNames: [label],
      registers
    })

    for (const value of values) {
      // `increase()` ignores the first value of a series, so that a series must start at 0.
      counter.labels(value).inc(0)
    }

    return counter
  }

  const createStopwatch = (name: string, help: string): Stopwatch => {
    const stopwatch = new Stopwatch()
    const gauge = new Gauge({
      name: `token_auth_${name}`,
      help,
      registers,
      collect: () => {
        gauge.set(stopwatch.seconds)
      }
    })
    return stopwatch
  }

  const logins = createCounter('logins', 'Sessions that were opened')
  const rejectedLogins = createLabeledCounter(
    'reason',
    rejectionReasons,
    'logins_rejected',
    'Logins that were rejected'
  )
  const throttledLogins = createLabeledCounter(
    'limit',
    throttleLimits,
    'logins_throttled',
    'Logins that were rejected before their password was verified'
  )
  const refreshes = createLabeledCounter(
    'kind',
    refreshKinds,
    'refreshes',
    'Refreshes that succeeded'
  )
  const rejectedRefreshes = createLabeledCounter(
    'reason',
    refreshRejections,
    'refreshes_rejected',
    'Refresh tokens that were rejected'
  )
  const reuses = createLabeledCounter(
    'kind',
    reuseKinds,
    'reuse',
    'Sessions that were revoked because an outdated refresh token was presented'
  )
  const suspiciousReplays = createLabeledCounter(
    'revoked',
    ['true', 'false'],
    'suspicious_replays',
    'Sessions whose refresh tokens were repeatedly replayed by another client'
  )
  const revocations = createLabeledCounter(
    'reason',
    revocationReasons,
    'revocations',
    'Revocations of a session, of a user or of all users that this instance made'
  )
  const revocationDelay = new Histogram({
    name: 'token_auth_revocation_delay_seconds',
    help: 'Time until this instance knew a revocation of another instance',
    buckets: delayBuckets,
    registers
  })
  const rollbacks = createCounter(
    'store_rolled_back',
    'Refresh tokens that were newer than their session in the store'
  )
  const missingSessions = createCounter(
    'sessions_missing',
    'Valid refresh tokens whose session the store does not have'
  )
  const stalledRevocations = createCounter(
    'revocations_stalled',
    'Times that revocations of other instances became unavailable'
  )
  const ignoredReports = createCounter(
    'sync_ignored',
    'Tokens that a service reported, and this app did not issue'
  )
  const clockSkews = createLabeledCounter(
    'source',
    clockSources,
    'clock_skew',
    'Times that a clock was found to be wrong'
  )
  const sweeps = createCounter('sweeps', 'Sweeps that succeeded')
  const sweptRecords = createCounter('sweep_deleted', 'Records that sweeps deleted')
  const sweepDuration = new Gauge({
    name: 'token_auth_sweep_duration_seconds',
    help: 'Duration of the last sweep',
    registers
  })
  const sweepAge = createStopwatch('sweep_lag_seconds', 'Time since the last sweep')
  const storeDuration = new Histogram({
    name: 'token_auth_store_seconds',
    help: 'Duration of store calls',
    labelNames: ['method', 'outcome'],
    buckets: storeBuckets,
    registers
  })

  const unsubscribers = [
    onEvent('login', () => {
      logins.inc()
    }),
    onEvent('login-rejected', ({ reason }) => {
      rejectedLogins.labels(reason).inc()
    }),
    onEvent('login-throttled', ({ limit }) => {
      throttledLogins.labels(limit).inc()
    }),
    onEvent('refresh', ({ rotated }) => {
      refreshes.labels(rotated ? 'rotated' : 'kept').inc()
    }),
    onEvent('refresh-rejected', ({ reason, count }) => {
      rejectedRefreshes.labels(reason).inc(count)
    }),
    onEvent('replay', () => {
      refreshes.labels('replayed').inc()
    }),
    onEvent('recovery', () => {
      refreshes.labels('recovered').inc()
    }),
    onEvent('reuse', event => {
      reuses.labels(getReuseKind(event)).inc()
    }),
    onEvent('suspicious-replay', ({ revoked }) => {
      suspiciousReplays.labels(String(revoked)).inc()
    }),
    onEvent('session-ended', event => {
      // Every instance emits the event, so only the instance that made the revocation counts it.
      if (event.local) {
        revocations.labels(event.reason).inc()
      } else {
        revocationDelay.observe(getDelay(event))
      }
    }),
    onEvent('sweep', ({ deleted, took }) => {
      sweeps.inc()
      sweptRecords.inc(deleted)
      sweepDuration.set(took / 1000)
      sweepAge.restart()
    }),
    onEvent('store-rolled-back', () => {
      rollbacks.inc()
    }),
    onEvent('session-missing', () => {
      missingSessions.inc()
    }),
    onEvent('revocations-stalled', () => {
      stalledRevocations.inc()
    }),
    onEvent('sync-ignored', ({ count }) => {
      ignoredReports.inc(count)
    }),
    onEvent('clock-skew', ({ source }) => {
      clockSkews.labels(source).inc()
    })
  ]

  return {
    registry,
    observeStore (method, outcome, seconds) {
      storeDuration.labels(method, outcome).observe(seconds)
    },
    observeHealth (readHealth) {
      const createHealthGauge = (
        name: string,
        help: string,
        labelNames: string[],
        set: (gauge: Gauge, health: Health) => void
      ): void => {
        const gauge = new Gauge({
          name: `token_auth_${name}`,
          help,
          labelNames,
          registers,
          // All gauges share one look-up in the store.
          collect: async () => {
            set(gauge, await readHealth())
          }
        })
      }

      createHealthGauge('problems', 'Whether the instance has a problem', ['code'], (
        gauge,
        { reasons }
      ) => {
        for (const code of healthReasons) {
          gauge.labels(code).set(reasons.some(reason => reason.code === code) ? 1 : 0)
        }
      })
      createHealthGauge('hashes', 'Passwords that are being hashed, or wait for it', ['state'], (
        gauge,
        { hashes: { running, waiting } }
      ) => {
        gauge.labels('running').set(running)
        gauge.labels('waiting').set(waiting)
      })
      createHealthGauge('revocations_lag_seconds', 'Time since revocations were read', [], (
        gauge,
        { revocations }
      ) => {
        gauge.set((revocations?.age ?? 0) / 1000)
      })
      createHealthGauge('clock_offset_seconds', 'Time of the store minus the own clock', [], (
        gauge,
        { clock }
      ) => {
        gauge.set((clock.offset ?? 0) / 1000)
      })
      createHealthGauge('usage_pending', 'Sessions whose last use is not written yet', [], (
        gauge,
        { usage }
      ) => {
        gauge.set(usage.pending)
      })
    },
    stop () {
      for (const unsubscribe of unsubscribers) {
        unsubscribe()
      }
    }
  }
}
