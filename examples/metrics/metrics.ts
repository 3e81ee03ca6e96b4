// What this package tells through node:diagnostics_channel, as metrics of prom-client, in a registry of its own. Labels are words
// of short lists, never ids, names or addresses.

import { Counter, Gauge, Histogram, Registry } from 'prom-client'
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
import type { Observe } from './sources.js'

export interface TokenAuthMetrics {
  readonly registry: Registry
  /** For `timed` of sources.ts: the store's part. */
  readonly observe: Observe
  /** Hears no more. */
  readonly stop: () => void
}

/** Call it once a process: it hears all registrations of the plugin, which events do not tell apart. */
export function collectMetrics (): TokenAuthMetrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `token_auth_${name}_total`, help, registers })

  // From 0, since `increase()` does not see a series begin at 1.
  const counterBy = (
    label: string,
    values: readonly string[],
    name: string,
    help: string
  ): Counter => {
    const by = new Counter({
      name: `token_auth_${name}_total`,
      help,
      labelNames: [label],
      registers
    })

    for (const value of values) {
      by.labels(value).inc(0)
    }

    return by
  }

  const ageGauge = (name: string, help: string): Age => {
    const age = new Age()
    const gauge = new Gauge({
      name: `token_auth_${name}`,
      help,
      registers,
      collect: () => {
        gauge.set(age.seconds)
      }
    })
    return age
  }

  const logins = counter('logins', 'Sessions that were opened')
  const rejected = counterBy('reason', rejections, 'logins_rejected', 'Logins that were refused')
  const throttled = counterBy(
    'limit',
    limits,
    'logins_throttled',
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
    ['true', 'false'],
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
    ['true', 'false'],
    'store_rolled_back',
    'Tokens that were ahead of the store'
  )
  const behind = counter(
    'revocations_behind',
    'Times that the revocations of other instances came out of reach'
  )
  const skew = counter('clock_skew', 'Rows that were written by a clock ahead of this one')
  const sweeps = counter('sweeps', 'Sweeps that ended well')
  const deleted = counter('sweep_deleted', 'Records that were swept')
  const took = new Gauge({
    name: 'token_auth_sweep_took_seconds',
    help: 'How long the last sweep took',
    registers
  })
  const sinceSweep = ageGauge('sweep_lag_seconds', 'Since the last sweep, or the start')
  const sinceRevocations = ageGauge(
    'revocations_lag_seconds',
    'Since revocations were read last, or the start'
  )
  const latency = new Histogram({
    name: 'token_auth_store_seconds',
    help: 'How long the store took to answer',
    labelNames: ['verb', 'outcome'],
    buckets: storeBuckets,
    registers
  })

  const subscriptions = [
    hear('login', () => {
      logins.inc()
    }),
    hear('login-rejected', ({ reason }) => {
      rejected.labels(reason).inc()
    }),
    hear('login-throttled', ({ limit }) => {
      throttled.labels(limit).inc()
    }),
    hear('refresh', ({ rotated }) => {
      refreshes.labels(rotated ? 'rotated' : 'kept').inc()
    }),
    hear('replay', () => {
      refreshes.labels('replayed').inc()
    }),
    hear('recovery', () => {
      refreshes.labels('recovered').inc()
    }),
    hear('reuse', event => {
      reuse.labels(reuseKind(event)).inc()
    }),
    hear('suspicious-replay', ({ revoked }) => {
      shadows.labels(String(revoked)).inc()
    }),
    hear('revoke', ({ reason, count }) => {
      revoked.labels(reason).inc(count)
    }),
    hear('sweep', event => {
      sweeps.inc()
      deleted.inc(event.deleted)
      took.set(event.took / 1000)
      sinceSweep.renew()
    }),
    hear('store-rolled-back', ({ healed }) => {
      rolledBack.labels(String(healed)).inc()
    }),
    hear('revocations-stalled', () => {
      behind.inc()
    }),
    hear('clock-skew', () => {
      skew.inc()
    })
  ]

  return {
    registry,
    observe (verb, outcome, seconds) {
      latency.labels(verb, outcome).observe(seconds)

      if (verb === 'revocations' && outcome === 'ok') {
        sinceRevocations.renew()
      }
    },
    stop () {
      for (const end of subscriptions) {
        end()
      }
    }
  }
}
