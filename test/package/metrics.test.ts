// examples/metrics, as a process that people log in to: what it counts, and that it shows nobody. What such a short run does not
// meet (a store that lost writes, a clock that is ahead) is published by hand.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { EventName, TokenAuthEvents, TokenResponse, TokenStore } from '../../src/index.js'
import { SessionRefusedError } from '../../src/index.js'
import { testTokenStore } from '../../src/stores/conformance/token-store.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { childEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

type Observe = (verb: string, outcome: string, seconds: number) => void

interface Metrics {
  collectMetrics(): { registry: { metrics(): Promise<string> }, observe: Observe, stop: () => void }
}

interface Sources {
  timed(store: TokenStore, observe: Observe): TokenStore
}

// By their addresses, since their types are those of the package as it was built.
const { collectMetrics } = await import(
  new URL('../../examples/metrics/metrics.ts', import.meta.url).href
) as Metrics
const { timed } = await import(
  new URL('../../examples/metrics/sources.ts', import.meta.url).href
) as Sources

interface Answer {
  readonly status: number
  readonly body: Partial<TokenResponse> & { readonly code?: string }
}

const GRACE = 2000
const USERNAME = 'ann'
const PASSWORD = 'correct horse'

t.test('the app counts what happens, and names nobody', async t => {
  const { url, child, printed } = await start()
  t.teardown(() => {
    child.kill('SIGKILL')
  })
  const secrets = [PASSWORD, 'wrong horse', 'mallory']

  const post = async (path: string, body: object): Promise<Answer> => {
    const response = await fetch(`${url}/auth/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
    const text = await response.text()
    const answer = text === '' ? {} : JSON.parse(text) as Partial<TokenResponse>
    secrets.push(
      ...[answer.access_token, answer.refresh_token].filter(token => token !== undefined)
    )
    return { status: response.status, body: answer }
  }

  const login = (username: string, password: string): Promise<Answer> =>
    post('login', { username, password })
  const refresh = (token: string | undefined): Promise<Answer> =>
    post('refresh', { refresh_token: token })
  const scrape = async (): Promise<string> => (await fetch(`${url}/metrics`)).text()

  t.equal((await login(USERNAME, 'wrong horse')).status, 401)
  const guesses: number[] = []

  for (let i = 0; i < 11; i++) {
    guesses.push((await login('mallory', PASSWORD)).status)
  }

  t.strictSame(guesses, [...Array<number>(10).fill(401), 429])
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

  for (let tries = 0; tries < 100 && read(await scrape()).token_auth_sweeps_total === 0; tries++) {
    await sleep(100)
  }

  const response = await fetch(`${url}/metrics`)
  t.match(response.headers.get('content-type'), 'text/plain')
  const text = await response.text()
  const metrics = read(text)
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
    'token_auth_reuse_total{kind="previous"}': 1,
    'token_auth_reuse_total{kind="older"}': 0,
    'token_auth_shadows_total{ended="false"}': 0,
    'token_auth_revoked_total{reason="reuse"}': 1,
    'token_auth_revoked_total{reason="logout"}': 1,
    'token_auth_revoked_total{reason="logout-all"}': 0,
    token_auth_revocations_behind_total: 0,
    token_auth_sweep_deleted_total: 0,
    'token_auth_store_seconds_count{verb="create",outcome="ok"}': 2,
    'token_auth_store_seconds_count{verb="rotate",outcome="ok"}': 7
  })
  t.equal(metrics['token_auth_hashes{state="waiting"}'], 0)
  t.ok(Number(metrics.token_auth_sweeps_total) > 0)
  t.ok(Number(metrics.token_auth_sweep_lag_seconds) < 10)
  t.ok(Number(metrics.token_auth_revocations_lag_seconds) < 10, 'they are read every second')

  t.notMatch(text, new RegExp(`\\b(${USERNAME}|u-1)\\b`), 'neither a name nor an id')
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [0, null], 'it ends when it is told to')
  t.equal(secrets.length, 3 + 2 * 7)
  const output = [text, ...printed].join('\n')
  t.match(output, 'incoming request', 'its log was kept')

  for (const secret of secrets) {
    t.notOk(output.includes(secret), 'no token, no password')
  }

  t.notMatch(output, new RegExp(`\\b${USERNAME}\\b`))
})

t.test('what seldom happens', async t => {
  const { registry, observe, stop } = collectMetrics()
  const seen = { at: 0, sessionId: 's1', userId: 'u-1', address: null, userAgent: null }

  const publish = <Name extends EventName>(name: Name, event: TokenAuthEvents[Name]): void => {
    channel(`fastify-token-auth:${name}`).publish(event)
  }

  const sides = {
    presented: { at: 0, generation: 3, address: null, userAgent: null },
    rotated: { at: 0, generation: 5, address: null, userAgent: null }
  }

  const tell = (): void => {
    publish('login-throttled', {
      at: 0,
      userId: null,
      limit: 'address',
      until: 1000,
      address: null,
      userAgent: null
    })
    publish('reuse', { ...seen, ...sides })
    publish('suspicious-replay', { ...seen, ...sides, revoked: false })
    publish('suspicious-replay', { ...seen, ...sides, revoked: true })
    publish('revoke', {
      at: 0,
      sessionId: 's1',
      userId: null,
      count: 1,
      reason: 'suspicious-replay'
    })
    publish('revoke', { at: 0, sessionId: null, userId: 'u-1', count: 3, reason: 'logout-all' })
    publish('sweep', { at: 0, deleted: 700, took: 250 })
    publish('store-rolled-back', { ...seen, presented: 2, stored: 1, healed: true })
    publish('store-rolled-back', { ...seen, presented: 3, stored: 1, healed: false })
    publish('revocations-stalled', { at: 0, since: 0 })
    publish('clock-skew', { at: 0, sessionId: 's1', ahead: 1500 })
  }

  tell()
  observe('revocations', 'ok', 0.02)
  observe('revocations', 'failed', 5)
  const counted = {
    'token_auth_store_seconds_bucket{le="0.01",verb="revocations",outcome="ok"}': 0,
    'token_auth_store_seconds_bucket{le="0.025",verb="revocations",outcome="ok"}': 1,
    'token_auth_store_seconds_sum{verb="revocations",outcome="failed"}': 5,
    'token_auth_logins_throttled_total{limit="account"}': 0,
    'token_auth_logins_throttled_total{limit="address"}': 1,
    'token_auth_logins_throttled_total{limit="device"}': 0,
    'token_auth_reuse_total{kind="older"}': 1,
    'token_auth_shadows_total{ended="false"}': 1,
    'token_auth_shadows_total{ended="true"}': 1,
    'token_auth_revoked_total{reason="shadowed"}': 1,
    'token_auth_revoked_total{reason="logout-all"}': 3,
    token_auth_sweeps_total: 1,
    token_auth_sweep_deleted_total: 700,
    token_auth_sweep_took_seconds: 0.25,
    'token_auth_store_rolled_back_total{healed="true"}': 1,
    'token_auth_store_rolled_back_total{healed="false"}': 1,
    token_auth_revocations_behind_total: 1,
    token_auth_clock_skew_total: 1
  }
  t.match(read(await registry.metrics()), counted)
  stop()
  tell()
  t.match(read(await registry.metrics()), counted, 'it hears no more')
})

t.test('the time of a store is told, also where it fails', async t => {
  const observed: string[] = []
  const failing: Partial<TokenStore> = {
    create: async () => {
      throw new SessionRefusedError('id-taken')
    },
    find: async () => {
      await sleep(50)
      throw new Error('gone')
    },
    list: async () => []
  }
  const store = timed(failing as TokenStore, (verb, outcome, seconds) => {
    observed.push(`${verb} ${outcome}`)

    if (verb === 'find') {
      t.ok(seconds >= 0.04 && seconds < 5, 'in seconds')
    }
  })
  await t.rejects(store.create({} as never), SessionRefusedError)
  await t.rejects(store.find('s1'), { message: 'gone' })
  t.strictSame(await store.list('u-1', { now: 0, limit: 1 }), [])
  t.strictSame(observed, ['create refused', 'find failed', 'list ok'])
})

t.test('a timed store is a store', async t => {
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => ({ store: timed(new MemoryStore(), () => {}) })
  })
})

async function start (): Promise<{ url: string, child: ChildProcess, printed: string[] }> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'examples/metrics/app.ts'], {
    cwd: root,
    env: childEnv({ PORT: '0', REFRESH_GRACE: `${GRACE}ms`, SWEEP_INTERVAL: '1s' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const printed: string[] = []
  const lines = createInterface({ input: child.stdout })
  const url = await new Promise<string>((resolve, reject) => {
    lines.on('line', line => {
      printed.push(line)
      const listens = /listening at (http:[^"]+)/.exec(line)?.[1]

      if (listens !== undefined) {
        resolve(listens)
      }
    })
    child.once('exit', () => {
      reject(new Error(`the example did not start: ${printed.join('\n')}`))
    })
  })
  return { url, child, printed }
}

/** The values by their names, labels included. */
function read (text: string): Record<string, number> {
  return Object.fromEntries(
    text.split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .map(
        line => [
          line.slice(0, line.lastIndexOf(' ')),
          Number(line.slice(line.lastIndexOf(' ') + 1))
        ]
      )
  )
}
