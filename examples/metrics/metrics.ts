// What this package tells through node:diagnostics_channel, as metrics of prom-client, in a registry of its own. Labels are words
// of short lists, never ids, names or addresses: each value of a label is a series that is kept, and shown to whoever may look.

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventName, RevocationReason, TokenAuthEvents, TokenStore } from 'fastify-token-auth'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'

type Verb = keyof TokenStore
/** `refused`: the store works, and that session must not be. */
type Outcome = 'ok' | 'refused' | 'failed'
export type Observe = (verb: Verb, outcome: Outcome, seconds: number) => void

export interface TokenAuthMetrics {
  readonly registry: Registry
  /** For {@link timed}: the store's part. */
  readonly observe: Observe
  /** Hears no more. */
  readonly stop: () => void
}

const rejections: ReadonlyArray<TokenAuthEvents['login-rejected']['reason']> = [
  'unknown-user', 'wrong-password', 'disabled', 'no-password', 'malformed-hash', 'revoked-since'
]
const revocationReasons: readonly RevocationReason[] = [
  'logout', 'logout-all', 'revoked', 'reuse', 'user-gone', 'replaced', 'too-many', 'password-changed'
]

/** Call it once a process: it hears all registrations of the plugin, which events do not tell apart. */
export function collectMetrics (): TokenAuthMetrics {
  const registry = new Registry()
  const registers = [registry]
  const counter = (name: string, help: string): Counter => new Counter({ name: `token_auth_${name}_total`, help, registers })
  // From 0, since `increase()` does not see a series begin at 1.
  const counterBy = (label: string, values: readonly string[], name: string, help: string): Counter => {
    const by = new Counter({ name: `token_auth_${name}_total`, help, labelNames: [label], registers })
    for (const value of values) by.labels(value).inc(0)
    return by
  }
  const age = (name: string, help: string): { renew: () => void } => {
    let since = performance.now()
    const gauge = new Gauge({
      name: `token_auth_${name}`, help, registers, collect: () => { gauge.set((performance.now() - since) / 1000) }
    })
    return { renew: () => { since = performance.now() } }
  }

  const logins = counter('logins', 'Sessions that were opened')
  const rejected = counterBy('reason', rejections, 'logins_rejected', 'Logins that were refused')
  const refreshes = counterBy('kind', ['rotated', 'kept', 'replayed', 'recovered'], 'refreshes', 'Refreshes that were answered')
  const reuse = counterBy('kind', ['previous', 'older'], 'reuse', 'Sessions that ended since two parties held tokens of them')
  const revoked = counterBy('reason', revocationReasons, 'revoked', 'Sessions that were ended before their time')
  const rolledBack = counterBy('healed', ['true', 'false'], 'store_rolled_back', 'Tokens that were ahead of the store')
  const behind = counter('revocations_behind', 'Times that the revocations of other instances came out of reach')
  const skew = counter('clock_skew', 'Rows that were written by a clock ahead of this one')
  const sweeps = counter('sweeps', 'Sweeps that ended well')
  const deleted = counter('sweep_deleted', 'Records that were swept')
  const took = new Gauge({ name: 'token_auth_sweep_took_seconds', help: 'How long the last sweep took', registers })
  const sinceSweep = age('sweep_lag_seconds', 'Since the last sweep, or the start')
  const sinceRevocations = age('revocations_lag_seconds', 'Since revocations were read last, or the start')
  const latency = new Histogram({
    name: 'token_auth_store_seconds',
    help: 'How long the store took to answer',
    labelNames: ['verb', 'outcome'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers
  })

  const subscriptions = [
    hear('login', () => { logins.inc() }),
    hear('login-rejected', ({ reason }) => { rejected.labels(reason).inc() }),
    hear('refresh', ({ rotated }) => { refreshes.labels(rotated ? 'rotated' : 'kept').inc() }),
    hear('replay', () => { refreshes.labels('replayed').inc() }),
    hear('recovery', () => { refreshes.labels('recovered').inc() }),
    hear('reuse', ({ presented, rotated }) => {
      reuse.labels(rotated.generation - presented.generation === 1 ? 'previous' : 'older').inc()
    }),
    hear('revoke', ({ reason, count }) => { revoked.labels(reason).inc(count) }),
    hear('sweep', event => {
      sweeps.inc()
      deleted.inc(event.deleted)
      took.set(event.took / 1000)
      sinceSweep.renew()
    }),
    hear('store-rolled-back', ({ healed }) => { rolledBack.labels(String(healed)).inc() }),
    hear('revocations-behind', () => { behind.inc() }),
    hear('clock-skew', () => { skew.inc() })
  ]

  return {
    registry,
    observe (verb, outcome, seconds) {
      latency.labels(verb, outcome).observe(seconds)
      if (verb === 'revocations' && outcome === 'ok') sinceRevocations.renew()
    },
    stop () { for (const end of subscriptions) end() }
  }
}

// A subscriber that throws is an uncaught exception: so nothing is done here but counting.
function hear<Name extends EventName> (name: Name, listener: (event: TokenAuthEvents[Name]) => void): () => void {
  const channel = `fastify-token-auth:${name}`
  const onMessage = (event: unknown): void => { listener(event as TokenAuthEvents[Name]) }
  subscribe(channel, onMessage)
  return () => { unsubscribe(channel, onMessage) }
}

/** The same store, and `observe` is told how long it took: also where the plugin's `storeTimeout` has given up before. */
export function timed (store: TokenStore, observe: Observe): TokenStore {
  const time = async <Answer>(verb: Verb, answer: () => Promise<Answer>): Promise<Answer> => {
    const began = performance.now()
    const tell = (outcome: Outcome): void => { observe(verb, outcome, (performance.now() - began) / 1000) }
    try {
      const answered = await answer()
      tell('ok')
      return answered
    } catch (error) {
      tell(error instanceof Error && error.name === 'SessionRefusedError' ? 'refused' : 'failed')
      throw error
    }
  }
  return {
    create: session => time('create', () => store.create(session)),
    rotate: attempt => time('rotate', () => store.rotate(attempt)),
    find: sessionId => time('find', () => store.find(sessionId)),
    list: (userId, page) => time('list', () => store.list(userId, page)),
    revoke: (target, revocation) => time('revoke', () => store.revoke(target, revocation)),
    touch: batch => time('touch', () => store.touch(batch)),
    revocations: (after, limit) => time('revocations', () => store.revocations(after, limit)),
    sweep: batch => time('sweep', () => store.sweep(batch))
  }
}
