// The server of examples/metrics counts what happens to its users. A second test publishes events
// that a short run does not cause.

import { channel } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { EventName, TokenAuthEvents, TokenResponse, TokenStore } from '../../src/index.js'
import { SessionRefusedError } from '../../src/index.js'
import { testTokenStore } from '../../src/stores/conformance/token-store.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { DAY } from '../helpers/clock.js'
import { startExample } from '../helpers/example-process.js'

type ObserveStore = (method: string, outcome: string, seconds: number) => void

interface MetricsModule {
  collectMetrics(): {
    registry: { metrics(): Promise<string> }
    observeStore: ObserveStore
    stop: () => void
  }
}

interface SourcesModule {
  measureStore(store: TokenStore, observe: ObserveStore): TokenStore
}

// Loaded by URL, because the examples have the types of the built package.
const { collectMetrics } = await import(
  new URL('../../examples/metrics/metrics.ts', import.meta.url).href
) as MetricsModule
const { measureStore } = await import(
  new URL('../../examples/metrics/sources.ts', import.meta.url).href
) as SourcesModule

interface Result {
  readonly status: number
  readonly body: Partial<TokenResponse> & { readonly code?: string }
}

const GRACE = 2000
const USERNAME = 'ann'
const PASSWORD = 'correct horse'

t.test('the metrics server counts events and shows no user', async t => {
  const env = { REFRESH_GRACE: `${GRACE}ms`, SWEEP_INTERVAL: '1s' }
  const { url, output, stop } = await startExample(t, 'metrics/server.ts', env)
  const secrets = [PASSWORD, 'wrong horse', 'mallory']

  const post = async (path: string, body: object): Promise<Result> => {
    const response = await fetch(`${url}/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
    const json = await response.text()
    const parsed = json === '' ? {} : JSON.parse(json) as Partial<TokenResponse>
    secrets.push(
      ...[parsed.access_token, parsed.refresh_token].filter(token => token !== undefined)
    )
    return { status: response.status, body: parsed }
  }

  const login = (username: string, password: string): Promise<Result> =>
    post('login', { username, password })
  const refresh = (token: string | undefined): Promise<Result> =>
    post('refresh', { refresh_token: token })
  const scrape = async (): Promise<string> => (await fetch(`${url}/metrics`)).text()

  t.equal((await login(USERNAME, 'wrong horse')).status, 401)
  const guessStatuses: number[] = []

  for (let i = 0; i < 11; i++) {
    guessStatuses.push((await login('mallory', PASSWORD)).status)
  }

  t.strictSame(guessStatuses, [...Array<number>(10).fill(401), 429])
  const copied = (await login(USERNAME, PASSWORD)).body.refresh_token
  const lost = (await login(USERNAME, PASSWORD)).body.refresh_token
  t.equal((await refresh(lost)).status, 200)
  const next = (await refresh(copied)).body.refresh_token
  t.equal((await refresh(copied)).body.refresh_token, next, 'replayed')
  t.equal((await refresh(next)).body.refresh_token, next, 'kept')
  await sleep(GRACE + 100)
  const recovered = await refresh(lost)
  t.equal(recovered.status, 200)
  t.equal((await refresh(copied)).body.code, 'AUTH_REFRESH_REUSED')
  t.equal((await post('logout', { refresh_token: recovered.body.refresh_token })).status, 204)
  t.equal((await refresh(recovered.body.refresh_token)).status, 401)

  for (
    let tries = 0;
    tries < 100 && parseMetrics(await scrape()).token_auth_sweeps_total === 0;
    tries++
  ) {
    await sleep(100)
  }

  const response = await fetch(`${url}/metrics`)
  t.match(response.headers.get('content-type'), 'text/plain')
  const exposition = await response.text()
  const metrics = parseMetrics(exposition)
  t.match(metrics, {
    token_auth_logins_total: 2,
    'token_auth_logins_rejected_total{reason="wrong-password"}': 1,
    'token_auth_logins_rejected_total{reason="unknown-user"}': 10,
    'token_auth_logins_rejected_total{reason="disabled"}': 0,
    'token_auth_logins_throttled_total{limit="account"}': 1,
    'token_auth_logins_throttled_total{limit="address"}': 0,
    'token_auth_refreshes_total{kind="rotated"}': 2,
    'token_auth_refreshes_total{kind="replayed"}': 1,
    'token_auth_refreshes_total{kind="kept"}': 1,
    'token_auth_refreshes_total{kind="recovered"}': 1,
    'token_auth_refreshes_rejected_total{reason="reused"}': 1,
    'token_auth_refreshes_rejected_total{reason="revoked"}': 1,
    'token_auth_refreshes_rejected_total{reason="expired"}': 0,
    'token_auth_reuse_total{kind="previous"}': 1,
    'token_auth_reuse_total{kind="older"}': 0,
    'token_auth_suspicious_replays_total{revoked="false"}': 0,
    'token_auth_revocations_total{reason="reuse"}': 1,
    'token_auth_revocations_total{reason="logout"}': 1,
    'token_auth_revocations_total{reason="logout-all"}': 0,
    token_auth_revocations_stalled_total: 0,
    token_auth_sessions_missing_total: 0,
    'token_auth_clock_skew_total{source="store"}': 0,
    token_auth_sweep_deleted_total: 0,
    'token_auth_store_seconds_count{method="create",outcome="ok"}': 2,
    'token_auth_store_seconds_count{method="rotate",outcome="ok"}': 7
  })
  t.match(metrics, {
    'token_auth_hashes{state="waiting"}': 0,
    'token_auth_problems{code="store-failed"}': 0,
    'token_auth_problems{code="sweep-failed"}': 0
  })
  t.ok(Math.abs(Number(metrics.token_auth_clock_offset_seconds)) < 1)
  t.ok(Number(metrics.token_auth_usage_pending) >= 0)
  t.ok(Number(metrics.token_auth_sweeps_total) > 0)
  t.ok(Number(metrics.token_auth_sweep_lag_seconds) < 10)
  t.ok(Number(metrics.token_auth_revocations_lag_seconds) < 10)

  t.notMatch(exposition, new RegExp(`\\b(${USERNAME}|u-1)\\b`), 'no name and no id')
  t.strictSame(await stop(), [0, null], 'SIGTERM closes the server')
  t.equal(secrets.length, 3 + 2 * 7)
  const published = [exposition, ...output].join('\n')
  t.match(published, 'incoming request', 'the log is complete')

  for (const secret of secrets) {
    t.notOk(published.includes(secret), 'no token and no password')
  }

  t.notMatch(published, new RegExp(`\\b${USERNAME}\\b`))
})

t.test('collectMetrics counts rare events until it is stopped', async t => {
  const { registry, observeStore, stop } = collectMetrics()
  const event = { at: 0, sessionId: 's1', userId: 'u-1', address: null, userAgent: null }

  const publish = <Name extends EventName>(
    name: Name,
    members: Omit<TokenAuthEvents[Name], 'realm' | 'actor'>
  ): void => {
    channel(`fastify-token-auth:${name}`).publish({ realm: 'auth', actor: 'client', ...members })
  }

  const sides = {
    presented: { at: 0, generation: 3, address: null, userAgent: null },
    rotated: { at: 0, generation: 5, address: null, userAgent: null }
  }

  const publishAll = (): void => {
    publish('login-throttled', {
      at: 0,
      userId: null,
      limit: 'address',
      until: 1000,
      address: null,
      userAgent: null
    })
    publish('refresh-rejected', {
      ...event,
      sessionId: null,
      userId: null,
      reason: 'invalid',
      revokedFor: null,
      count: 40
    })
    publish('reuse', { ...event, ...sides })
    publish('suspicious-replay', { ...event, ...sides, revoked: false })
    publish('suspicious-replay', { ...event, ...sides, revoked: true })
    const ended = { at: 0, sessionId: null, userId: 'u-1' }
    publish('session-ended', {
      ...ended,
      sessionId: 's1',
      reason: 'suspicious-replay',
      local: true
    })
    publish('session-ended', { ...ended, reason: 'logout-all', local: true })
    publish('session-ended', { ...ended, at: Date.now(), reason: 'logout-all', local: false })
    publish('session-ended', { ...ended, reason: 'logout', local: false })
    publish('session-ended', { ...ended, at: Date.now() + DAY, reason: 'logout', local: false })
    publish('sweep', { at: 0, deleted: 700, took: 250 })
    publish('store-rolled-back', { ...event, presented: 2, stored: 1 })
    publish('store-rolled-back', { ...event, presented: 3, stored: 1 })
    publish('session-missing', event)
    publish('revocations-stalled', { at: 0, since: 0 })
    publish('sync-ignored', {
      at: 0,
      clientId: 'orders',
      count: 3,
      address: null,
      userAgent: null
    })
    publish('clock-skew', { at: 0, source: 'store', ahead: 1500 })
    publish('clock-skew', { at: 0, source: 'store', ahead: -1500 })
    publish('clock-skew', { at: 0, source: 'instance', ahead: 1500 })
  }

  publishAll()
  observeStore('revocations', 'ok', 0.02)
  observeStore('revocations', 'failed', 5)
  const expected = {
    'token_auth_store_seconds_bucket{le="0.01",method="revocations",outcome="ok"}': 0,
    'token_auth_store_seconds_bucket{le="0.025",method="revocations",outcome="ok"}': 1,
    'token_auth_store_seconds_sum{method="revocations",outcome="failed"}': 5,
    'token_auth_logins_throttled_total{limit="account"}': 0,
    'token_auth_logins_throttled_total{limit="address"}': 1,
    'token_auth_logins_throttled_total{limit="device"}': 0,
    'token_auth_refreshes_rejected_total{reason="invalid"}': 40,
    'token_auth_reuse_total{kind="older"}': 1,
    'token_auth_suspicious_replays_total{revoked="false"}': 1,
    'token_auth_suspicious_replays_total{revoked="true"}': 1,
    'token_auth_revocations_total{reason="suspicious-replay"}': 1,
    'token_auth_revocations_total{reason="logout-all"}': 1,
    'token_auth_revocation_delay_seconds_bucket{le="1"}': 2,
    'token_auth_revocation_delay_seconds_bucket{le="60"}': 2,
    token_auth_revocation_delay_seconds_count: 3,
    token_auth_sweeps_total: 1,
    token_auth_sweep_deleted_total: 700,
    token_auth_sweep_duration_seconds: 0.25,
    token_auth_store_rolled_back_total: 2,
    token_auth_sessions_missing_total: 1,
    token_auth_revocations_stalled_total: 1,
    token_auth_sync_ignored_total: 3,
    'token_auth_clock_skew_total{source="store"}': 2,
    'token_auth_clock_skew_total{source="instance"}': 1
  }
  t.match(parseMetrics(await registry.metrics()), expected)
  stop()
  publishAll()
  t.match(parseMetrics(await registry.metrics()), expected, 'nothing is counted after stop')
})

t.test('measureStore measures successful, rejected and failed calls', async t => {
  const observed: string[] = []
  const failing: Partial<TokenStore> = {
    create: async () => {
      throw new SessionRefusedError(null)
    },
    find: async () => {
      await sleep(50)
      throw new Error('gone')
    },
    list: async () => []
  }
  const store = measureStore(failing as TokenStore, (method, outcome, seconds) => {
    observed.push(`${method} ${outcome}`)

    if (method === 'find') {
      t.ok(seconds >= 0.04 && seconds < 5, 'in seconds')
    }
  })
  await t.rejects(store.create({} as never), SessionRefusedError)
  await t.rejects(store.find('auth', 's1'), { message: 'gone' })
  t.strictSame(await store.list('auth', 'u-1', { now: 0, limit: 1 }), [])
  t.strictSame(observed, ['create rejected', 'find failed', 'list ok'])
})

t.test('a measured store passes the conformance suite', async t => {
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => ({ store: measureStore(new MemoryStore(), () => {}) })
  })
})

/** Parses the Prometheus format into values by name and labels. */
function parseMetrics (exposition: string): Record<string, number> {
  const lines = exposition.split('\n').filter(line => line !== '' && !line.startsWith('#'))

  return Object.fromEntries(lines.map(line => {
    const space = line.lastIndexOf(' ')
    return [line.slice(0, space), Number(line.slice(space + 1))]
  }))
}
