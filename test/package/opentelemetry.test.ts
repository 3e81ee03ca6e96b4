// These tests run examples/metrics/opentelemetry.ts with an SDK that exports to memory.

import { channel } from 'node:diagnostics_channel'
import { context, diag, DiagLogLevel, SpanStatusCode, trace } from '@opentelemetry/api'
import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type {
  EventName,
  Health,
  TokenAuthEvents,
  TokenResponse,
  TokenStore
} from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { DAY, MINUTE, SECOND } from '../helpers/clock.js'
import { startTelemetrySdk, traceRequests } from '../helpers/telemetry-sdk.js'

type ObserveStore = (method: string, outcome: string, seconds: number) => void

interface OpenTelemetryModule {
  startTelemetry(): {
    observeStore: ObserveStore
    observeHealth(readHealth: () => Promise<Health>): void
    stop(): void
  }
}

interface SourcesModule {
  measureStore(store: TokenStore, observe: ObserveStore): TokenStore
}

// Loaded by URL, because the examples have the types of the built package.
const { startTelemetry } = await import(
  new URL('../../examples/metrics/opentelemetry.ts', import.meta.url).href
) as OpenTelemetryModule
const { measureStore } = await import(
  new URL('../../examples/metrics/sources.ts', import.meta.url).href
) as SourcesModule

interface Device {
  readonly remoteAddress: string
  readonly userAgent: string
}

const phone: Device = { remoteAddress: '192.0.2.1', userAgent: 'Phone/1' }
const attacker: Device = { remoteAddress: '198.51.100.66', userAgent: 'curl/8' }

const sdk = startTelemetrySdk(t)

t.test('telemetry counts all events of an app and adds them to spans', async t => {
  const startedAt = performance.now()
  const telemetry = startTelemetry()
  t.teardown(() => {
    telemetry.stop()
  })
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  breakStore('throws', ['list'])
  const { app, clock } = await createTestApp({
    store: measureStore(store, telemetry.observeStore),
    before: traceRequests,
    options: { throttle: {}, refreshToken: { replayDetection: 'revoke' } }
  })
  t.teardown(() => app.close())
  telemetry.observeHealth(() => app.tokenAuth.health())

  const secrets = new Set([PASSWORD])
  const sessions = new Set<string>()

  const post = async (
    url: string,
    payload: object,
    device = phone
  ): Promise<LightMyRequestResponse> => {
    const { remoteAddress, userAgent } = device
    const response = await app.inject({
      method: 'POST',
      url,
      remoteAddress,
      headers: { 'user-agent': userAgent },
      payload
    })
    const body = response.body === ''
      ? {}
      : response.json<Partial<TokenResponse> & { device_token?: string }>()
    const tokens = [body.access_token, body.refresh_token, body.device_token]

    for (const token of tokens) {
      if (token !== undefined) {
        secrets.add(token)
      }
    }

    return response
  }

  const login = async (username = 'ann'): Promise<TokenResponse> => {
    const response = await post('/auth/login', { username, password: PASSWORD })
    const tokens = response.json<TokenResponse>()
    sessions.add(getSessionId(tokens))
    return tokens
  }

  const refresh = async (
    token: string | undefined,
    device?: Device
  ): Promise<LightMyRequestResponse> => post('/auth/refresh', { refresh_token: token }, device)
  const rotate = async (
    token: string | undefined,
    device?: Device
  ): Promise<string | undefined> =>
    (await refresh(token, device)).json<TokenResponse>().refresh_token

  // Each event happens to a session of its own.
  t.equal((await post('/auth/login', { username: 'bob', password: 'wrong' })).statusCode, 401)

  for (let i = 0; i < 10; i++) {
    await post('/auth/login', { username: 'mallory', password: 'guess' })
  }

  t.equal((await post('/auth/login', { username: 'mallory', password: 'guess' })).statusCode, 429)

  const plain = await login()
  const [copied, copiedTwice, lost, replayed] = [
    await login(),
    await login(),
    await login(),
    await login()
  ]
  const newer = await rotate(copiedTwice.refresh_token)
  clock.advance(MINUTE)
  await rotate(newer)
  const second = await rotate(copied.refresh_token)
  t.equal(await rotate(copied.refresh_token), second, 'replayed')
  t.equal(await rotate(second), second, 'kept')
  await rotate(lost.refresh_token)
  clock.advance(MINUTE)
  t.equal((await refresh(lost.refresh_token)).statusCode, 200, 'recovered')
  t.equal((await refresh(copied.refresh_token)).statusCode, 401)
  t.equal((await refresh(copiedTwice.refresh_token)).statusCode, 401)
  let token = replayed.refresh_token

  for (let generation = 0; generation < 3; generation++) {
    const presented = token
    clock.advance(MINUTE)
    token = await rotate(presented)
    clock.advance(SECOND)
    t.equal((await refresh(presented, attacker)).statusCode, generation < 2 ? 200 : 401)
  }

  t.equal((await post('/auth/logout', { refresh_token: plain.refresh_token })).statusCode, 204)
  const { access_token: accessToken } = await login('cyd')
  const unlisted = await app.inject({
    url: '/auth/sessions',
    headers: { authorization: `Bearer ${accessToken}` }
  })
  t.equal(unlisted.statusCode, 503)
  t.equal(await app.tokenAuth.revokeUser('u-cyd'), 1)

  const before = await sdk.readMetrics()
  t.ok(Number(before['token_auth.sweep.lag']) <= (performance.now() - startedAt) / 1000)
  t.ok(Number(before['token_auth.sweep.lag']) > 0)
  clock.advance(9 * DAY)
  const sweptAt = performance.now()
  const deleted = await app.tokenAuth.sweep()
  const after = await sdk.readMetrics()
  t.ok(
    Number(after['token_auth.sweep.lag']) <= (performance.now() - sweptAt) / 1000,
    'a sweep resets the lag'
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
    'token_auth.suspicious_replays{revoked=true}': 1,
    'token_auth.suspicious_replays{revoked=false}': 0,
    'token_auth.revocations{reason=reuse}': 2,
    'token_auth.revocations{reason=suspicious-replay}': 1,
    'token_auth.revocations{reason=logout}': 1,
    'token_auth.revocations{reason=revoked}': 1,
    'token_auth.revocations{reason=logout-all}': 0,
    'token_auth.store.rolled_back': 0,
    'token_auth.sessions.missing': 0,
    'token_auth.clock_skew{source=store}': 0,
    'token_auth.revocations.stalled': 0,
    'token_auth.sweep.deleted': deleted,
    'token_auth.sweep.duration': 1,
    'token_auth.store{method=create,outcome=ok}': 6,
    'token_auth.store{method=list,outcome=failed}': 1,
    'token_auth.store{method=sweep,outcome=ok}': 1,
    'token_auth.hashes{state=running}': 0,
    'token_auth.hashes{state=waiting}': 0
  })
  t.ok(deleted >= 6, 'the sweep deletes all sessions')
  t.ok(Number(after['token_auth.store{method=rotate,outcome=ok}']) >= 14)
  t.ok(Number(after['token_auth.store{method=revocations,outcome=ok}']) >= 1)
  t.ok(Number(after['token_auth.revocations.lag']) >= 0)

  const strong = await app.tokenAuth.hashPassword(PASSWORD)
  const verifications = Array.from(
    { length: 12 },
    () => app.tokenAuth.verifyPassword(strong, PASSWORD)
  )
  const load = await sdk.readMetrics()
  t.ok(Number(load['token_auth.hashes{state=running}']) >= 1)
  t.ok(Number(load['token_auth.hashes{state=waiting}']) >= 1)
  t.notOk((await Promise.all(verifications)).includes(false))

  // Spans have the events of sessions, and the store calls of requests.
  const spans = sdk.readSpans()
  const getEvents = (session: TokenResponse): string[] =>
    spans.flatMap(({ events }) => events)
      .filter(({ attributes }) => attributes?.['session.id'] === getSessionId(session)).map((
        { name }
      ) => name.replace('token_auth.', ''))
  t.strictSame(getEvents(plain), ['login', 'session-ended'])
  t.strictSame(getEvents(copied), [
    'login',
    'refresh',
    'replay',
    'refresh',
    'session-ended',
    'reuse',
    'refresh-rejected'
  ])
  t.strictSame(getEvents(lost), ['login', 'refresh', 'recovery'])
  t.strictSame(getEvents(replayed), [
    'login',
    'refresh',
    'replay',
    'refresh',
    'replay',
    'refresh',
    'session-ended',
    'suspicious-replay',
    'refresh-rejected'
  ])
  const reuses = spans.flatMap(({ events }) => events).filter(({ name }) =>
    name === 'token_auth.reuse'
  )
  t.match(reuses, [
    { attributes: { 'session.id': getSessionId(copied), generation: 0, kind: 'previous' } },
    { attributes: { 'session.id': getSessionId(copiedTwice), generation: 0, kind: 'older' } }
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
  const storeSpans = spans.filter(({ name }) => name.startsWith('token_auth.store'))
  t.strictSame([...new Set(storeSpans.map(({ name }) => name))].sort(), [
    'token_auth.store create',
    'token_auth.store list',
    'token_auth.store revoke',
    'token_auth.store rotate'
  ], 'calls on a timer have no span')

  for (const span of storeSpans) {
    const parent = requests.get(span.parentSpanContext?.spanId ?? '')
    const isFailure = span.name.endsWith('list')

    if (!/^(POST|GET) \/auth/.test(parent?.name ?? '')) {
      t.fail(`${span.name} has no request as its parent`)
    }

    t.match(span, {
      attributes: { 'token_auth.outcome': isFailure ? 'failed' : 'ok' },
      status: { code: isFailure ? SpanStatusCode.ERROR : SpanStatusCode.UNSET }
    })
  }

  const [metricJson, spanJson] = [
    sdk.stringifyMetrics(),
    JSON.stringify(
      spans.map(({ name, attributes, events, status }) => ({ name, attributes, events, status }))
    )
  ]
  t.equal(sessions.size, 6)

  for (const id of sessions) {
    t.ok(spanJson.includes(id))
    t.notOk(metricJson.includes(id), 'metrics have no session ids')
  }

  t.ok(secrets.size > 20)

  for (
    const secret of [
      ...secrets,
      phone.remoteAddress,
      attacker.remoteAddress,
      phone.userAgent,
      'u-ann',
      'mallory'
    ]
  ) {
    t.notOk(metricJson.includes(secret))
    t.notOk(spanJson.includes(secret))
  }
})

t.test('telemetry adds no events to a span that has ended', async t => {
  const before = await sdk.readMetrics()
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

  const publishAll = (): void => {
    const event = { at: 0, sessionId: 's1', userId: 'u-1', address: null, userAgent: null }
    publish('store-rolled-back', { ...event, presented: 2, stored: 1 })
    publish('session-missing', event)
    publish('refresh-rejected', { ...event, reason: 'unknown', revokedFor: null, count: 1 })
    publish('revocations-stalled', { at: 0, since: 0 })
    publish('clock-skew', { at: 0, source: 'instance', ahead: 1500 })
  }

  const span = trace.getTracer('test').startSpan('a request')
  context.with(trace.setSpan(context.active(), span), () => {
    publishAll()
    telemetry.observeStore('rotate', 'rejected', 0.25)
    telemetry.observeStore('revocations', 'ok', 0.25)
    span.end()
    publishAll()
  })
  publishAll()
  telemetry.observeStore('rotate', 'rejected', 0.25)
  const after = await sdk.readMetrics()
  const getIncrease = (name: string): number => Number(after[name]) - (before[name] ?? 0)
  t.equal(getIncrease('token_auth.store.rolled_back'), 3)
  t.equal(getIncrease('token_auth.sessions.missing'), 3)
  t.equal(getIncrease('token_auth.refreshes.rejected{reason=unknown}'), 3)
  t.equal(getIncrease('token_auth.revocations.stalled'), 3)
  t.equal(getIncrease('token_auth.clock_skew{source=instance}'), 3)
  t.equal(getIncrease('token_auth.store{method=rotate,outcome=rejected}'), 2)

  const [storeSpan, request] = sdk.readSpans().slice(-2)
  t.match(request?.events, [
    {
      name: 'token_auth.store-rolled-back',
      attributes: { 'session.id': 's1', generation: 2 }
    },
    { name: 'token_auth.session-missing', attributes: { 'session.id': 's1' } },
    { name: 'token_auth.refresh-rejected', attributes: { reason: 'unknown' } }
  ], 'the ended span is unchanged')
  t.equal(request?.events.length, 3)
  t.strictSame(warnings, [])
  t.equal(storeSpan?.name, 'token_auth.store rotate')
  t.equal(storeSpan?.duration[1], 250_000_000, '250 ms')

  telemetry.stop()
  publishAll()
  t.equal(
    (await sdk.readMetrics())['token_auth.clock_skew{source=instance}'],
    after['token_auth.clock_skew{source=instance}'],
    'nothing is counted after stop'
  )
})

function publish<Name extends EventName> (
  name: Name,
  members: Omit<TokenAuthEvents[Name], 'realm' | 'actor'>
): void {
  channel(`fastify-token-auth:${name}`).publish({ realm: 'auth', actor: 'client', ...members })
}

function getSessionId ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    sid: string
  }).sid
}
