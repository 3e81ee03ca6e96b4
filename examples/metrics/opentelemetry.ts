import { metrics, SpanStatusCode, trace } from '@opentelemetry/api'
import type {
  Attributes,
  Counter,
  Histogram,
  MetricOptions,
  ObservableResult
} from '@opentelemetry/api'
import type { EventName, Health } from 'fastify-token-auth'
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
import type { ObserveStore, StoreMethod } from './sources.js'

/** Metrics and spans of the plugin for OpenTelemetry. */
export interface Telemetry {
  /** Second argument for `measureStore`. */
  readonly observeStore: ObserveStore
  /** Reports the health of the instance. Call it after the plugin was registered. */
  readonly observeHealth: (readHealth: () => Promise<Health>) => void
  /** Unsubscribes from all events. */
  readonly stop: () => void
}

const SCOPE = 'fastify-token-auth'

// The plugin calls these on a timer. A span for each call would create a trace per second.
const BACKGROUND_METHODS: ReadonlySet<StoreMethod> = new Set<StoreMethod>([
  'touch',
  'revocations',
  'sweep'
])

/**
 * Counts the events of the plugin, and adds them to the span of the request that caused them.
 *
 * Uses `@opentelemetry/api` alone; the app starts the SDK before. Call it once per process: it
 * counts the events of all registrations of the plugin. Spans contain session ids, but no token,
 * user or address. Metrics contain no ids.
 */
export function startTelemetry (): Telemetry {
  const meter = metrics.getMeter(SCOPE)
  const tracer = trace.getTracer(SCOPE)
  const cleanups: Array<() => void> = []

  const createCounter = (
    name: string,
    description: string,
    series: readonly Attributes[] = [{}]
  ): Counter => {
    const counter = meter.createCounter(`token_auth.${name}`, { description })

    for (const attributes of series) {
      // An alert misses the first increment of a series that does not start at 0.
      counter.add(0, attributes)
    }

    return counter
  }

  const createLabeledCounter = (
    key: string,
    values: ReadonlyArray<string | boolean>,
    name: string,
    description: string
  ): Counter => createCounter(name, description, values.map(value => ({ [key]: value })))

  const createHistogram = (
    name: string,
    description: string,
    explicitBucketBoundaries: number[]
  ): Histogram =>
    meter.createHistogram(`token_auth.${name}`, {
      description,
      unit: 's',
      advice: { explicitBucketBoundaries }
    })

  const createGauge = (
    name: string,
    options: MetricOptions,
    read: (result: ObservableResult) => void | Promise<void>
  ): void => {
    const gauge = meter.createObservableGauge(`token_auth.${name}`, options)
    gauge.addCallback(read)
    cleanups.push(() => {
      gauge.removeCallback(read)
    })
  }

  const createStopwatch = (name: string, description: string): Stopwatch => {
    const stopwatch = new Stopwatch()
    createGauge(name, { description, unit: 's' }, result => {
      result.observe(stopwatch.seconds)
    })
    return stopwatch
  }

  const logins = createCounter('logins', 'Sessions that were opened')
  const rejectedLogins = createLabeledCounter(
    'reason',
    rejectionReasons,
    'logins.rejected',
    'Logins that were rejected'
  )
  const throttledLogins = createLabeledCounter(
    'limit',
    throttleLimits,
    'logins.throttled',
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
    'refreshes.rejected',
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
    [true, false],
    'suspicious_replays',
    'Sessions whose refresh tokens were repeatedly replayed by another client'
  )
  const revocations = createLabeledCounter(
    'reason',
    revocationReasons,
    'revocations',
    'Revocations of a session, of a user or of all users that this instance made'
  )
  const rollbacks = createCounter(
    'store.rolled_back',
    'Refresh tokens that were newer than their session in the store'
  )
  const missingSessions = createCounter(
    'sessions.missing',
    'Valid refresh tokens whose session the store does not have'
  )
  const stalledRevocations = createCounter(
    'revocations.stalled',
    'Times that revocations of other instances became unavailable'
  )
  const ignoredReports = createCounter(
    'sync.ignored',
    'Tokens that a service reported, and this app did not issue'
  )
  const clockSkews = createLabeledCounter(
    'source',
    clockSources,
    'clock_skew',
    'Times that a clock was found to be wrong'
  )
  const sweptRecords = createCounter('sweep.deleted', 'Records that sweeps deleted')
  const sweepDuration = createHistogram(
    'sweep.duration',
    'Duration of sweeps',
    [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60]
  )
  const sweepAge = createStopwatch('sweep.lag', 'Time since the last sweep')
  const revocationDelay = createHistogram(
    'revocation.delay',
    'Time until this instance knew a revocation of another instance',
    delayBuckets
  )
  const storeDuration = createHistogram('store', 'Duration of store calls', storeBuckets)

  const addSpanEvent = (name: EventName, attributes: Attributes): void => {
    const span = trace.getActiveSpan()

    // An event of a timer has no span, or one that has ended.
    if (span?.isRecording() === true) {
      span.addEvent(`token_auth.${name}`, attributes)
    }
  }

  const withSessionId = (id: string, attributes: Attributes = {}): Attributes => ({
    'session.id': id,
    ...attributes
  })

  cleanups.push(
    onEvent('login', ({ sessionId }) => {
      logins.add(1)
      addSpanEvent('login', withSessionId(sessionId))
    }),
    onEvent('login-rejected', ({ reason }) => {
      rejectedLogins.add(1, { reason })
      addSpanEvent('login-rejected', { reason })
    }),
    onEvent('login-throttled', ({ limit }) => {
      throttledLogins.add(1, { limit })
      addSpanEvent('login-throttled', { limit })
    }),
    onEvent('refresh', ({ sessionId, generation, rotated }) => {
      const kind = rotated ? 'rotated' : 'kept'
      refreshes.add(1, { kind })
      addSpanEvent('refresh', withSessionId(sessionId, { generation, kind }))
    }),
    onEvent('refresh-rejected', ({ sessionId, reason, count }) => {
      rejectedRefreshes.add(count, { reason })
      addSpanEvent(
        'refresh-rejected',
        sessionId === null ? { reason } : withSessionId(sessionId, { reason })
      )
    }),
    onEvent('replay', ({ sessionId, generation }) => {
      refreshes.add(1, { kind: 'replayed' })
      addSpanEvent('replay', withSessionId(sessionId, { generation }))
    }),
    onEvent('recovery', ({ sessionId, generation }) => {
      refreshes.add(1, { kind: 'recovered' })
      addSpanEvent('recovery', withSessionId(sessionId, { generation }))
    }),
    onEvent('reuse', event => {
      const kind = getReuseKind(event)
      const { generation } = event.presented
      reuses.add(1, { kind })
      addSpanEvent('reuse', withSessionId(event.sessionId, { generation, kind }))
    }),
    onEvent('suspicious-replay', ({ sessionId, presented, revoked }) => {
      const { generation } = presented
      suspiciousReplays.add(1, { revoked })
      addSpanEvent('suspicious-replay', withSessionId(sessionId, { generation, revoked }))
    }),
    onEvent('session-ended', event => {
      const { sessionId, reason, local } = event

      // Every instance emits the event, so only the instance that made the revocation counts it.
      if (local) {
        revocations.add(1, { reason })
        addSpanEvent(
          'session-ended',
          sessionId === null ? { reason } : withSessionId(sessionId, { reason })
        )
      } else {
        revocationDelay.record(getDelay(event))
      }
    }),
    onEvent('sweep', ({ deleted, took }) => {
      sweptRecords.add(deleted)
      sweepDuration.record(took / 1000)
      sweepAge.restart()
    }),
    onEvent('store-rolled-back', ({ sessionId, presented }) => {
      rollbacks.add(1)
      addSpanEvent('store-rolled-back', withSessionId(sessionId, { generation: presented }))
    }),
    onEvent('session-missing', ({ sessionId }) => {
      missingSessions.add(1)
      addSpanEvent('session-missing', withSessionId(sessionId))
    }),
    onEvent('revocations-stalled', () => {
      stalledRevocations.add(1)
    }),
    onEvent('sync-ignored', ({ count }) => {
      ignoredReports.add(count)
      addSpanEvent('sync-ignored', { count })
    }),
    onEvent('clock-skew', ({ source }) => {
      clockSkews.add(1, { source })
    })
  )

  return {
    observeStore (method, outcome, seconds) {
      storeDuration.record(seconds, { method, outcome })

      if (BACKGROUND_METHODS.has(method) || trace.getActiveSpan() === undefined) {
        return
      }

      const endTime = Date.now()
      const span = tracer.startSpan(`token_auth.store ${method}`, {
        startTime: endTime - seconds * 1000,
        attributes: { 'token_auth.outcome': outcome }
      })

      if (outcome === 'failed') {
        span.setStatus({ code: SpanStatusCode.ERROR })
      }

      span.end(endTime)
    },
    observeHealth (readHealth) {
      const createHealthGauge = (
        name: string,
        options: MetricOptions,
        observe: (result: ObservableResult, health: Health) => void
      ): void => {
        // All gauges share one look-up in the store.
        createGauge(name, options, async result => {
          observe(result, await readHealth())
        })
      }

      createHealthGauge('problems', { description: 'Whether the instance has a problem' }, (
        result,
        { reasons }
      ) => {
        for (const code of healthReasons) {
          result.observe(reasons.some(reason => reason.code === code) ? 1 : 0, { code })
        }
      })
      createHealthGauge(
        'hashes',
        { description: 'Passwords that are being hashed, or wait for it' },
        (result, { hashes: { running, waiting } }) => {
          result.observe(running, { state: 'running' })
          result.observe(waiting, { state: 'waiting' })
        }
      )
      createHealthGauge(
        'revocations.lag',
        { description: 'Time since revocations were read', unit: 's' },
        (result, { revocations }) => {
          result.observe((revocations?.age ?? 0) / 1000)
        }
      )
      createHealthGauge(
        'clock.offset',
        { description: 'Time of the store minus the own clock', unit: 's' },
        (result, { clock }) => {
          result.observe((clock.offset ?? 0) / 1000)
        }
      )
      createHealthGauge(
        'usage.pending',
        { description: 'Sessions whose last use is not written yet' },
        (result, { usage }) => {
          result.observe(usage.pending)
        }
      )
    },
    stop () {
      for (const cleanup of cleanups) {
        cleanup()
      }
    }
  }
}
