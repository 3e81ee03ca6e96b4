// examples/metrics/opentelemetry.ts in an app that has an SDK: what is counted, what is on the spans of requests, and that
// neither holds what it must not.

import { AsyncLocalStorage } from 'node:async_hooks'
import { channel } from 'node:diagnostics_channel'
import {
  context,
  diag,
  DiagLogLevel,
  metrics,
  ROOT_CONTEXT,
  SpanStatusCode,
  trace
} from '@opentelemetry/api'
import type { Context, ContextManager, Span } from '@opentelemetry/api'
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { ReadableSpan } from '@opentelemetry/sdk-trace'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { EventName, TokenAuthEvents, TokenResponse, TokenStore } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { DAY, HOUR, MINUTE, SECOND } from '../helpers/clock.js'

type Observe = (verb: string, outcome: string, seconds: number) => void

interface Example {
  startTelemetry(): {
    observe: Observe
    watchHashes(hashLoad: () => { running: number, waiting: number }): void
    stop(): void
  }
}

interface Sources {
  timed(store: TokenStore, observe: Observe): TokenStore
}

// By their addresses, since their types are those of the package as it was built.
const { startTelemetry } = await import(
  new URL('../../examples/metrics/opentelemetry.ts', import.meta.url).href
) as Example
const { timed } = await import(
  new URL('../../examples/metrics/sources.ts', import.meta.url).href
) as Sources

interface Party {
  readonly remoteAddress: string
  readonly userAgent: string
}

const client: Party = { remoteAddress: '192.0.2.1', userAgent: 'Phone/1' }
const other: Party = { remoteAddress: '198.51.100.66', userAgent: 'curl/8' }

const sdk = startSdk()

t.test('an app, from the first login to the last sweep', async t => {
  const began = performance.now()
  const telemetry = startTelemetry()
  t.teardown(() => {
    telemetry.stop()
  })
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  breakStore('throws', ['list'])
  const { app, clock } = await createTestApp({
    store: timed(store, telemetry.observe),
    before: traceRequests,
    options: { throttle: {}, refreshToken: { replayDetection: 'revoke' } }
  })
  t.teardown(() => app.close())
  telemetry.watchHashes(() => app.tokenAuth.hashLoad())

  const secrets = new Set([PASSWORD])
  const sessions = new Set<string>()

  const post = async (
    url: string,
    payload: object,
    by = client
  ): Promise<LightMyRequestResponse> => {
    const { remoteAddress, userAgent } = by
    const response = await app.inject({
      method: 'POST',
      url,
      remoteAddress,
      headers: { 'user-agent': userAgent },
      payload
    })
    const answer = response.body === ''
      ? {}
      : response.json<Partial<TokenResponse> & { device_token?: string }>()
    const tokens = [answer.access_token, answer.refresh_token, answer.device_token]

    for (const token of tokens) {
      if (token !== undefined) {
        secrets.add(token)
      }
    }

    return response
  }

  const login = async (username = 'ann'): Promise<TokenResponse> => {
    const answer = (await post('/auth/login', { username, password: PASSWORD })).json<
      TokenResponse
    >()
    sessions.add(sessionOf(answer))
    return answer
  }

  const refresh = async (token: string | undefined, by?: Party): Promise<LightMyRequestResponse> =>
    post('/auth/refresh', { refresh_token: token }, by)
  const next = async (token: string | undefined, by?: Party): Promise<string | undefined> =>
    (await refresh(token, by)).json<TokenResponse>().refresh_token

  // Everything that may happen to a session, each on one of its own.
  t.equal((await post('/auth/login', { username: 'bob', password: 'wrong' })).statusCode, 401)

  for (let i = 0; i < 10; i++) {
    await post('/auth/login', { username: 'mallory', password: 'guess' })
  }

  t.equal((await post('/auth/login', { username: 'mallory', password: 'guess' })).statusCode, 429)

  const plain = await login()
  const [copied, copiedTwice, lost, followed] = [
    await login(),
    await login(),
    await login(),
    await login()
  ]
  const newer = await next(copiedTwice.refresh_token)
  clock.advance(MINUTE)
  await next(newer)
  const second = await next(copied.refresh_token)
  t.equal(await next(copied.refresh_token), second, 'replayed')
  t.equal(await next(second), second, 'kept')
  await next(lost.refresh_token)
  clock.advance(MINUTE)
  t.equal((await refresh(lost.refresh_token)).statusCode, 200, 'recovered')
  t.equal((await refresh(copied.refresh_token)).statusCode, 401)
  t.equal((await refresh(copiedTwice.refresh_token)).statusCode, 401)
  let token = followed.refresh_token

  for (let generation = 0; generation < 3; generation++) {
    const presented = token
    clock.advance(MINUTE)
    token = await next(presented)
    clock.advance(SECOND)
    t.equal((await refresh(presented, other)).statusCode, generation < 2 ? 200 : 401)
  }

  t.equal((await post('/auth/logout', { refresh_token: plain.refresh_token })).statusCode, 204)
  const { access_token: accessToken } = await login('cyd')
  const unlisted = await app.inject({
    url: '/auth/sessions',
    headers: { authorization: `Bearer ${accessToken}` }
  })
  t.equal(unlisted.statusCode, 503)
  t.equal(await app.tokenAuth.revokeUser('u-cyd'), 1)

  const before = await sdk.read()
  t.ok(Number(before['token_auth.sweep.lag']) <= (performance.now() - began) / 1000)
  t.ok(Number(before['token_auth.sweep.lag']) > 0)
  clock.advance(8 * DAY)
  const swept = performance.now()
  const deleted = await app.tokenAuth.sweep()
  const after = await sdk.read()
  t.ok(
    Number(after['token_auth.sweep.lag']) <= (performance.now() - swept) / 1000,
    'it begins anew'
  )

  t.match(after, {
    'token_auth.logins': 6,
    'token_auth.logins.rejected{reason=wrong-password}': 1,
    'token_auth.logins.rejected{reason=unknown-user}': 10,
    'token_auth.logins.rejected{reason=disabled}': 0,
    'token_auth.logins.throttled{limit=account}': 1,
    'token_auth.logins.throttled{limit=address}': 0,
    'token_auth.refreshes{kind=rotated}': 7,
    'token_auth.refreshes{kind=kept}': 1,
    'token_auth.refreshes{kind=replayed}': 3,
    'token_auth.refreshes{kind=recovered}': 1,
    'token_auth.reuse{kind=previous}': 1,
    'token_auth.reuse{kind=older}': 1,
    'token_auth.shadows{ended=true}': 1,
    'token_auth.shadows{ended=false}': 0,
    'token_auth.revoked{reason=reuse}': 2,
    'token_auth.revoked{reason=shadowed}': 1,
    'token_auth.revoked{reason=logout}': 1,
    'token_auth.revoked{reason=revoked}': 1,
    'token_auth.revoked{reason=logout-all}': 0,
    'token_auth.store.rolled_back{healed=true}': 0,
    'token_auth.revocations.behind': 0,
    'token_auth.sweep.deleted': deleted,
    'token_auth.sweep.took': 1,
    'token_auth.store{verb=create,outcome=ok}': 6,
    'token_auth.store{verb=list,outcome=failed}': 1,
    'token_auth.store{verb=sweep,outcome=ok}': 1,
    'token_auth.hashes{state=running}': 0,
    'token_auth.hashes{state=waiting}': 0
  })
  t.ok(deleted >= 6, 'all sessions')
  t.ok(Number(after['token_auth.store{verb=rotate,outcome=ok}']) >= 14)
  t.ok(Number(after['token_auth.store{verb=revocations,outcome=ok}']) >= 1)
  t.ok(Number(after['token_auth.revocations.lag']) >= 0)

  const strong = await app.tokenAuth.hashPassword(PASSWORD)
  const checks = Array.from({ length: 12 }, () => app.tokenAuth.verifyPassword(strong, PASSWORD))
  const load = await sdk.read()
  t.ok(Number(load['token_auth.hashes{state=running}']) >= 1)
  t.ok(Number(load['token_auth.hashes{state=waiting}']) >= 1)
  t.notOk((await Promise.all(checks)).includes(false))

  // On spans: the sessions, and how long the store took in which request.
  const spans = sdk.spans()
  const eventsOf = (session: TokenResponse): string[] =>
    spans.flatMap(({ events }) => events)
      .filter(({ attributes }) => attributes?.['session.id'] === sessionOf(session)).map((
        { name }
      ) => name.replace('token_auth.', ''))
  t.strictSame(eventsOf(plain), ['login', 'revoke'])
  t.strictSame(eventsOf(copied), ['login', 'refresh', 'replay', 'refresh', 'revoke', 'reuse'])
  t.strictSame(eventsOf(lost), ['login', 'refresh', 'recovery'])
  t.strictSame(eventsOf(followed), [
    'login',
    'refresh',
    'replay',
    'refresh',
    'replay',
    'refresh',
    'revoke',
    'suspicious-replay'
  ])
  const reuses = spans.flatMap(({ events }) => events).filter(({ name }) =>
    name === 'token_auth.reuse'
  )
  t.match(reuses, [
    { attributes: { 'session.id': sessionOf(copied), generation: 0, kind: 'previous' } },
    { attributes: { 'session.id': sessionOf(copiedTwice), generation: 0, kind: 'older' } }
  ])
  t.match(
    spans.flatMap(({ events }) => events).find(({ name }) => name === 'token_auth.login-throttled')
      ?.attributes,
    {
      limit: 'account'
    }
  )

  const requests = new Map(
    spans.filter(({ name }) => name.startsWith('POST') || name.startsWith('GET'))
      .map(span => [span.spanContext().spanId, span])
  )
  const ofStore = spans.filter(({ name }) => name.startsWith('token_auth.store'))
  t.strictSame([...new Set(ofStore.map(({ name }) => name))].sort(), [
    'token_auth.store create',
    'token_auth.store list',
    'token_auth.store revoke',
    'token_auth.store rotate'
  ], 'none for what the clock calls for, nor without a request')

  for (const span of ofStore) {
    const parent = requests.get(span.parentSpanContext?.spanId ?? '')
    const [failed, of] = [span.name.endsWith('list'), parent?.name ?? '']

    if (!/^(POST|GET) \/auth/.test(of)) {
      t.fail(`${span.name} is of no request`)
    }

    t.match(span, {
      attributes: { 'token_auth.outcome': failed ? 'failed' : 'ok' },
      status: { code: failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET }
    })
  }

  const [metricText, spanText] = [
    sdk.metricText(),
    JSON.stringify(
      spans.map(({ name, attributes, events, status }) => ({ name, attributes, events, status }))
    )
  ]
  t.equal(sessions.size, 6)

  for (const id of sessions) {
    t.ok(spanText.includes(id))
    t.notOk(metricText.includes(id), 'ids are on spans alone')
  }

  t.ok(secrets.size > 20)

  for (
    const secret of [
      ...secrets,
      client.remoteAddress,
      other.remoteAddress,
      client.userAgent,
      'u-ann',
      'mallory'
    ]
  ) {
    t.notOk(metricText.includes(secret))
    t.notOk(spanText.includes(secret))
  }
})

t.test('what seldom happens, within a request and without one', async t => {
  const was = await sdk.read()
  const warnings: string[] = []
  const logger = {
    verbose () {},
    debug () {},
    info () {},
    error () {},
    warn (text: string) {
      warnings.push(text)
    }
  }
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
  t.teardown(() => {
    diag.disable()
  })
  const telemetry = startTelemetry()

  const tell = (): void => {
    const seen = { at: 0, sessionId: 's1', userId: 'u-1', address: null, userAgent: null }
    publish('store-rolled-back', { ...seen, presented: 2, stored: 1, healed: true })
    publish('revocations-stalled', { at: 0, since: 0 })
    publish('clock-skew', { at: 0, sessionId: 's1', ahead: 1500 })
  }

  const span = trace.getTracer('test').startSpan('a request')
  context.with(trace.setSpan(context.active(), span), () => {
    tell()
    telemetry.observe('rotate', 'refused', 0.25)
    telemetry.observe('revocations', 'ok', 0.25)
    span.end()
    tell()
  })
  tell()
  telemetry.observe('rotate', 'refused', 0.25)
  const now = await sdk.read()
  const risen = (name: string): number => Number(now[name]) - (was[name] ?? 0)
  t.equal(risen('token_auth.store.rolled_back{healed=true}'), 3)
  t.equal(risen('token_auth.revocations.behind'), 3)
  t.equal(risen('token_auth.clock_skew'), 3)
  t.equal(risen('token_auth.store{verb=rotate,outcome=refused}'), 2)

  const [ofStore, request] = sdk.spans().slice(-2)
  t.match(request?.events, [
    {
      name: 'token_auth.store-rolled-back',
      attributes: { 'session.id': 's1', generation: 2, healed: true }
    },
    { name: 'token_auth.clock-skew', attributes: { 'session.id': 's1', ahead: 1500 } }
  ], 'one that is over is let alone')
  t.equal(request?.events.length, 2)
  t.strictSame(warnings, [], 'of spans that are over')
  t.equal(ofStore?.name, 'token_auth.store rotate')
  t.equal(ofStore?.duration[1], 250_000_000, 'as long as it took')

  telemetry.stop()
  tell()
  t.equal(
    (await sdk.read())['token_auth.clock_skew'],
    now['token_auth.clock_skew'],
    'it hears no more'
  )
})

function publish<Name extends EventName> (name: Name, event: TokenAuthEvents[Name]): void {
  channel(`fastify-token-auth:${name}`).publish(event)
}

function sessionOf ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    sid: string
  }).sid
}

// What `@fastify/otel`, or the instrumentation of http, does for an app.
function traceRequests (app: FastifyInstance): void {
  const spans = new WeakMap<object, Span>()
  app.addHook('onRequest', (request, _reply, done) => {
    const span = trace.getTracer('http').startSpan(`${request.method} ${request.url}`)
    spans.set(request, span)
    context.with(trace.setSpan(context.active(), span), done)
  })
  app.addHook('onResponse', async request => {
    spans.get(request)?.end()
  })
}

/** The SDK that an app brings, all in memory. */
function startSdk (): {
  /** Counts, values and, of histograms, how many there were. */
  read(): Promise<Record<string, number>>
  metricText(): string
  spans(): ReadableSpan[]
} {
  context.setGlobalContextManager(asyncContexts())
  const exported = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(
    new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: exported })] })
  )
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const meters = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })]
  })
  metrics.setGlobalMeterProvider(meters)
  t.teardown(() => meters.shutdown())
  const last = () =>
    exporter.getMetrics().at(-1)?.scopeMetrics.flatMap(scope => scope.metrics) ?? []

  return {
    async read () {
      await meters.forceFlush()
      const values: Record<string, number> = {}

      for (const { descriptor, dataPointType, dataPoints } of last()) {
        for (const { attributes, value } of dataPoints) {
          const labels = Object.entries(attributes).map(([key, value]) => `${key}=${String(value)}`)
            .join()
          values[descriptor.name + (labels === '' ? '' : `{${labels}}`)] =
            dataPointType === DataPointType.HISTOGRAM
              ? (value as { count: number }).count
              : value as number
        }
      }

      return values
    },
    metricText: () => JSON.stringify(last()),
    spans: () => exported.getFinishedSpans()
  }
}

// That of the SDK is the package @opentelemetry/context-async-hooks.
function asyncContexts (): ContextManager {
  const storage = new AsyncLocalStorage<Context>()
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (active, run, self, ...args) =>
      storage.run(active, () => run.call(self as ThisParameterType<typeof run>, ...args)),
    bind: (_active, target) => target,
    enable: () => manager,
    disable: () => manager
  }
  return manager
}
