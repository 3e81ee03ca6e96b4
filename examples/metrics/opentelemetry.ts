// The same as metrics.ts by OpenTelemetry: metrics, and what happened to a session on the span of the request in which it did.
// By @opentelemetry/api alone: the app brings its SDK. Session ids are on spans only, tokens and addresses nowhere.

import { metrics, SpanStatusCode, trace } from '@opentelemetry/api'
import type {
  Attributes,
  Counter,
  Histogram,
  MetricOptions,
  ObservableResult
} from '@opentelemetry/api'
import type { EventName } from 'fastify-token-auth'
import {
  Age,
  hear,
  limits,
  refreshKinds,
  rejections,
  reuseKind,
  reuseKinds,
  revocationReasons,
  storeBuckets
} from './sources.js'
import type { Observe, Verb } from './sources.js'

/** What `app.tokenAuth.hashLoad()` gives. */
type HashLoad = Readonly<Record<'running' | 'waiting', number>>

export interface Telemetry {
  /** For `timed` of sources.ts: the store's part. */
  readonly observe: Observe
  /** For `() => app.tokenAuth.hashLoad()`, once the plugin is there. */
  readonly watchHashes: (hashLoad: () => HashLoad) => void
  /** Hears no more. */
  readonly stop: () => void
}

const scope = 'fastify-token-auth'
// The clock calls for these, not a request: a span for each would be a trace a second.
const background: ReadonlySet<Verb> = new Set<Verb>(['touch', 'revocations', 'sweep'])

/** Call it once a process, when the SDK has started: it hears all registrations of the plugin, which events do not tell apart. */
export function startTelemetry (): Telemetry {
  const meter = metrics.getMeter(scope)
  const tracer = trace.getTracer(scope)
  const ends: Array<() => void> = []

  // From 0, since a rise is not seen in a series that begins at 1.
  const counter = (
    name: string,
    description: string,
    series: readonly Attributes[] = [{}]
  ): Counter => {
    const made = meter.createCounter(`token_auth.${name}`, { description })

    for (const attributes of series) {
      made.add(0, attributes)
    }

    return made
  }

  const counterBy = (
    key: string,
    words: ReadonlyArray<string | boolean>,
    name: string,
    description: string
  ): Counter => counter(name, description, words.map(word => ({ [key]: word })))
  const histogram = (
    name: string,
    description: string,
    explicitBucketBoundaries: number[]
  ): Histogram =>
    meter.createHistogram(`token_auth.${name}`, {
      description,
      unit: 's',
      advice: { explicitBucketBoundaries }
    })

  const gauge = (
    name: string,
    options: MetricOptions,
    read: (result: ObservableResult) => void
  ): void => {
    const observable = meter.createObservableGauge(`token_auth.${name}`, options)
    observable.addCallback(read)
    ends.push(() => {
      observable.removeCallback(read)
    })
  }

  const ageGauge = (name: string, description: string): Age => {
    const age = new Age()
    gauge(name, { description, unit: 's' }, result => {
      result.observe(age.seconds)
    })
    return age
  }

  const logins = counter('logins', 'Sessions that were opened')
  const rejected = counterBy('reason', rejections, 'logins.rejected', 'Logins that were refused')
  const throttled = counterBy(
    'limit',
    limits,
    'logins.throttled',
    'Logins refused unseen, after too many wrong ones'
  )
  const refreshes = counterBy('kind', refreshKinds, 'refreshes', 'Refreshes that were answered')
  const reuse = counterBy(
    'kind',
    reuseKinds,
    'reuse',
    'Sessions that ended since two parties held tokens of them'
  )
  const shadows = counterBy(
    'ended',
    [true, false],
    'shadows',
    'Replays by somebody who follows a session'
  )
  const revoked = counterBy(
    'reason',
    revocationReasons,
    'revoked',
    'Sessions that were ended before their time'
  )
  const rolledBack = counterBy(
    'healed',
    [true, false],
    'store.rolled_back',
    'Tokens that were ahead of the store'
  )
  const behind = counter(
    'revocations.behind',
    'Times that the revocations of other instances came out of reach'
  )
  const skew = counter('clock_skew', 'Rows that were written by a clock ahead of this one')
  const deleted = counter('sweep.deleted', 'Records that were swept')
  const took = histogram('sweep.took', 'How long sweeps took', [
    0.01,
    0.05,
    0.1,
    0.5,
    1,
    5,
    10,
    30,
    60
  ])
  const sinceSweep = ageGauge('sweep.lag', 'Since the last sweep, or the start')
  const sinceRevocations = ageGauge(
    'revocations.lag',
    'Since revocations were read last, or the start'
  )
  const latency = histogram('store', 'How long the store took to answer', storeBuckets)

  // An event that no request brought about comes without a span, or with one that is over.
  const note = (name: EventName, attributes: Attributes): void => {
    const span = trace.getActiveSpan()

    if (span?.isRecording() === true) {
      span.addEvent(`token_auth.${name}`, attributes)
    }
  }

  const ofSession = (id: string, more: Attributes = {}): Attributes => ({
    'session.id': id,
    ...more
  })

  ends.push(
    hear('login', ({ sessionId }) => {
      logins.add(1)
      note('login', ofSession(sessionId))
    }),
    hear('login-rejected', ({ reason }) => {
      rejected.add(1, { reason })
      note('login-rejected', { reason })
    }),
    hear('login-throttled', ({ limit }) => {
      throttled.add(1, { limit })
      note('login-throttled', { limit })
    }),
    hear('refresh', ({ sessionId, generation, rotated }) => {
      const kind = rotated ? 'rotated' : 'kept'
      refreshes.add(1, { kind })
      note('refresh', ofSession(sessionId, { generation, kind }))
    }),
    hear('replay', ({ sessionId, generation }) => {
      refreshes.add(1, { kind: 'replayed' })
      note('replay', ofSession(sessionId, { generation }))
    }),
    hear('recovery', ({ sessionId, generation }) => {
      refreshes.add(1, { kind: 'recovered' })
      note('recovery', ofSession(sessionId, { generation }))
    }),
    hear('reuse', event => {
      const kind = reuseKind(event)
      reuse.add(1, { kind })
      note('reuse', ofSession(event.sessionId, { generation: event.presented.generation, kind }))
    }),
    hear('suspicious-replay', ({ sessionId, presented, revoked }) => {
      shadows.add(1, { revoked })
      note('suspicious-replay', ofSession(sessionId, { generation: presented.generation, revoked }))
    }),
    hear('revoke', ({ sessionId, reason, count }) => {
      revoked.add(count, { reason })
      note('revoke', sessionId === null ? { reason, count } : ofSession(sessionId, { reason }))
    }),
    hear('sweep', event => {
      deleted.add(event.deleted)
      took.record(event.took / 1000)
      sinceSweep.renew()
    }),
    hear('store-rolled-back', ({ sessionId, presented, healed }) => {
      rolledBack.add(1, { healed })
      note('store-rolled-back', ofSession(sessionId, { generation: presented, healed }))
    }),
    hear('revocations-stalled', () => {
      behind.add(1)
    }),
    hear('clock-skew', ({ sessionId, ahead }) => {
      skew.add(1)
      note('clock-skew', ofSession(sessionId, { ahead }))
    })
  )

  return {
    observe (verb, outcome, seconds) {
      latency.record(seconds, { verb, outcome })

      if (verb === 'revocations' && outcome === 'ok') {
        sinceRevocations.renew()
      }

      if (background.has(verb) || trace.getActiveSpan() === undefined) {
        return
      }

      const end = Date.now()
      const attributes = { 'token_auth.outcome': outcome }
      const span = tracer.startSpan(`token_auth.store ${verb}`, {
        startTime: end - seconds * 1000,
        attributes
      })

      if (outcome === 'failed') {
        span.setStatus({ code: SpanStatusCode.ERROR })
      }

      span.end(end)
    },
    watchHashes (hashLoad) {
      gauge(
        'hashes',
        { description: 'Passwords that are being hashed, or wait for it' },
        result => {
          for (const [state, count] of Object.entries(hashLoad())) {
            result.observe(count, { state })
          }
        }
      )
    },
    stop () {
      for (const end of ends) {
        end()
      }
    }
  }
}
