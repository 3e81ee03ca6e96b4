import t from 'tap'
import type { FaultKind, Interceptor } from '../../src/testing/index.js'
import { DAY, MINUTE } from '../helpers/clock.js'
import { createWorld, reply } from './world.js'

const modes = ['cookie', 'memory', 'keychain'] as const

/** Faults that say nothing about the session. */
const faults: ReadonlyArray<readonly [name: string, fault: FaultKind | Interceptor]> = [
  ['a lost response', 'drop'],
  ['a lost request', 'unsent'],
  ['a 429 response', () => reply(429, '', { 'retry-after': '2' })],
  ['a 503 response', () => reply(503, { code: 'AUTH_STORE_UNAVAILABLE' })],
  ['a 401 response of a proxy', () => reply(401, 'who are you?')],
  ['a 401 response with an unknown code', () => reply(401, { code: 'FST_JWT' })],
  ['the page of a captive portal', () => reply(200, '<html>')],
  ['a response without a token', () => reply(200, { expires_in: 'soon' })]
]

for (const mode of modes) {
  for (const [name, fault] of faults) {
    t.test(`${mode}: ${name} does not sign the user out`, async t => {
      const world = await createWorld(t)
      const client = await world.openSignedIn({ storage: mode })
      world.skip(20 * MINUTE)
      world.faults.next(fault, '/refresh', 2)
      const responses = await world.until(
        Promise.all([client.fetch('/protected'), client.fetch('/protected')])
      )
      t.strictSame(responses.map(({ status }) => status), [200, 200])
      t.equal(client.state.status, 'signed-in')
      t.equal(world.count('/auth/refresh'), 3)
      t.notOk(world.server.events.some(event => event.name === 'reuse'))
    })
  }
}

t.test('a client recovers from a lost response after the grace period', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn({ storage: 'keychain' })
  world.skip(20 * MINUTE)
  world.faults.next('drop', '/refresh')
  const abort = new AbortController()
  const aborted = t.rejects(client.getAccessToken({ signal: abort.signal }))
  await world.run(100)
  abort.abort()
  await aborted
  world.skip(DAY)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('a call rejects after 10 s if the refresh hangs', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.next('hang', '/refresh')
  const start = world.now()
  await t.rejects(world.until(client.fetch('/protected')), { name: 'AuthError', code: 'network' })
  t.equal(world.now() - start, 10_000)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('offline calls reject within 10 s with few requests', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.goOffline()
  const start = world.now()
  const calls = Array.from(
    { length: 5 },
    () => client.fetch('/protected').then(() => 'response', error => error.code)
  )
  t.strictSame(await world.until(Promise.all(calls)), Array(5).fill('network'))
  t.ok(world.now() - start <= 10_000)
  t.ok(world.count('/auth/refresh') <= 6, `${world.count('/auth/refresh')} refreshes`)
  t.equal(world.count('/protected'), 0)
  const before = world.sent.length

  for (let i = 0; i < 50; i++) {
    await t.rejects(world.until(client.getAccessToken()))
  }

  const seconds = (world.now() - start) / 1000
  t.ok(
    world.sent.length - before < seconds / 5 + 3,
    `${world.sent.length - before} requests in ${seconds} s`
  )
  t.equal(client.state.status, 'signed-in')
  world.faults.goOnline()
  await world.run(40_000)
  const idle = world.sent.length
  await world.run(600_000)
  t.equal(world.sent.length, idle, 'an idle client sends no requests')
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('a client waits as long as Retry-After says', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.next(
    () => reply(429, { code: 'AUTH_TOO_MANY_ATTEMPTS' }, { 'retry-after': '60' }),
    '/refresh'
  )
  await t.rejects(world.until(client.fetch('/protected')), {
    code: 'AUTH_TOO_MANY_ATTEMPTS',
    status: 429,
    retryAfter: 60
  })
  const calledAt = world.now()
  await t.rejects(world.until(client.fetch('/protected')), { code: 'AUTH_TOO_MANY_ATTEMPTS' })
  t.equal(world.now(), calledAt, 'the call does not wait')
  world.skip(49_000)
  await t.rejects(world.until(client.fetch('/protected'), 100), { code: 'AUTH_TOO_MANY_ATTEMPTS' })
  t.equal(world.count('/auth/refresh'), 1)
  world.skip(26_000)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('a client limits a huge, negative or malformed Retry-After', async t => {
  const cases = [
    ['1e999', 76],
    ['99999999999', 76],
    ['-60', 1],
    ['Wed, 21 Oct 2055 07:28:00 GMT', 1]
  ] as const

  for (const [value, minutes] of cases) {
    const world = await createWorld(t)
    const client = await world.openSignedIn()
    world.skip(20 * MINUTE)
    world.faults.next(() => reply(503, '', { 'retry-after': value }), '/refresh')
    await world.until(client.fetch('/protected')).catch(() => {})
    world.skip(minutes * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200, value)
  }
})

t.test('aborting one call does not affect another', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  const abort = new AbortController()
  const aborted = client.fetch('/protected', { signal: abort.signal })
  const other = client.fetch('/protected')
  const check = t.rejects(aborted, { name: 'AbortError' })
  setImmediate(() => {
    abort.abort()
  })
  t.equal((await world.until(other)).status, 200)
  await check
  t.equal(world.count('/auth/refresh'), 1)
})

t.test('a wrong wall clock has no effect', async t => {
  for (const error of [-DAY, DAY]) {
    const real = Date.now
    Date.now = () => real() + error
    t.teardown(() => {
      Date.now = real
    })
    const world = await createWorld(t)
    const client = await world.openSignedIn()
    world.skip(10 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    t.equal(world.count('/auth/refresh'), 0)
    world.skip(6 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    t.equal(world.count('/auth/refresh'), 1)
    Date.now = real
  }
})

t.test('a client uses a token while it refreshes ahead of expiry', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const token = await world.until(client.getAccessToken())
  world.skip(13.4 * MINUTE)
  t.equal(await client.getAccessToken(), token, 'not due yet')
  await world.run()
  t.equal(world.count('/auth/refresh'), 0)
  world.skip(0.5 * MINUTE)
  t.strictSame(await Promise.all([client.getAccessToken(), client.getAccessToken()]), [
    token,
    token
  ])
  await world.run()
  t.equal(world.count('/auth/refresh'), 1)
  t.not(await client.getAccessToken(), token)
})

t.test('a failed refresh ahead of expiry does not affect calls', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(14 * MINUTE)
  world.faults.next('unsent', '/refresh')
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  await world.run(1000)
  t.equal(world.count('/auth/refresh'), 1)
})

t.test('a client keeps the refresh token of a server without rotation', async t => {
  const world = await createWorld(t, { options: { rotation: false } })
  const client = await world.openSignedIn({ storage: 'keychain' })
  const { stored } = world.device
  world.skip(20 * MINUTE)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  t.type(stored, 'string')
  t.equal(world.device.stored, stored)
})

t.test('a client refreshes an access token in a cookie', async t => {
  const world = await createWorld(t, {
    options: { cookie: { accessToken: true }, refreshToken: { transport: 'both' } }
  })
  const client = await world.openSignedIn()
  t.equal(await client.getAccessToken(), null)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  world.skip(20 * MINUTE)
  const responses = await world.until(
    Promise.all([client.fetch('/protected'), client.fetch('/protected')])
  )
  t.strictSame(responses.map(({ status }) => status), [200, 200])
  t.equal(world.count('/auth/refresh'), 1)

  world.device.cookies.delete('__Host-auth-access')
  t.equal(world.device.cookies.entries().size, 1)
  const repeated = await world.until(
    Promise.all([client.fetch('/protected'), client.fetch('/protected')])
  )
  t.strictSame(repeated.map(({ status }) => status), [200, 200])
  t.equal(world.count('/auth/refresh'), 2)
})
