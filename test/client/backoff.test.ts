import t from 'tap'
import { createAttemptLimit, createBackoff } from '../../src/client/backoff.js'
import type { Backoff } from '../../src/client/backoff.js'
import { AuthError } from '../../src/client/errors.js'
import { resolvePlatform } from '../../src/client/platform.js'
import { createFaults } from '../../src/testing/index.js'
import type { Clock } from '../../src/testing/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, credentials, reply } from './world.js'

function create (maxDelay = 10_000): { backoff: Backoff, clock: Clock } {
  const { clock } = createFaults()
  const platform = resolvePlatform({ now: clock.now, sleep: clock.sleep, random: () => 0 })
  return { backoff: createBackoff(platform, createAttemptLimit(platform), maxDelay), clock }
}

t.test('the delay doubles up to its maximum and starts again after a success', t => {
  const { backoff } = create(3000)
  const delays = [1, 2, 3, 4, 5].map(() => {
    backoff.fail(new AuthError('network'))
    return backoff.retryAt
  })
  t.strictSame(delays, [500, 1000, 2000, 3000, 3000])
  t.equal(backoff.lastError?.code, 'network')
  backoff.succeed()
  t.equal(backoff.retryAt, 0)
  t.equal(backoff.lastError, null)
  backoff.fail(new AuthError('network'))
  t.equal(backoff.retryAt, 500)
  t.end()
})

t.test('Retry-After of the server counts for an hour, that of others for a minute', t => {
  const cases = [
    ['AUTH_BUSY', 30, 30_000],
    ['AUTH_TOO_MANY_ATTEMPTS', 1200, 1_200_000],
    ['AUTH_TOO_MANY_ATTEMPTS', Infinity, 3_600_000],
    ['refused', 30, 30_000],
    ['refused', 3600, 60_000],
    ['refused', Infinity, 60_000]
  ] as const

  for (const [code, retryAfter, delay] of cases) {
    const { backoff } = create()
    backoff.fail(new AuthError(code, { retryAfter }))
    t.equal(backoff.retryAt, delay, `${code} ${retryAfter}`)
  }

  t.end()
})

t.test('a reset or an abort ends a wait', async t => {
  const { backoff, clock } = create()
  backoff.fail(new AuthError('refused', { retryAfter: 60 }))
  const waiting = backoff.wait(new AbortController().signal)
  await clock.run(1000)
  backoff.reset()
  await clock.until(waiting)
  t.equal(clock.now(), 1000)

  backoff.fail(new AuthError('refused', { retryAfter: 60 }))
  const abort = new AbortController()
  const aborted = backoff.wait(abort.signal)
  abort.abort()
  await clock.until(aborted)
  t.equal(clock.now(), 1000)
})

t.test('resets allow at most five attempts in 10 s', async t => {
  const { backoff, clock } = create()
  const starts: number[] = []
  const { signal } = new AbortController()

  while (clock.now() < 60_000) {
    backoff.reset()
    await clock.until(backoff.wait(signal))
    starts.push(clock.now())
    backoff.start()
    backoff.fail(new AuthError('network'))
    await clock.run(100)
  }

  for (const start of starts) {
    const count = starts.filter(other => other >= start && other < start + 10_000).length
    t.ok(count <= 5, `${count} attempts from ${start}`)
  }

  t.ok(starts.length > 20)
})

t.test('a client reads Retry-After as seconds or as a date', async t => {
  const date = 'Wed, 01 Jul 2026 10:00:00 GMT'
  const cases = [
    [{ 'retry-after': '7' }, 7],
    [{ 'retry-after': 'Wed, 01 Jul 2026 10:01:00 GMT', date }, 60],
    [{ 'retry-after': 'Wed, 01 Jul 2026 09:00:00 GMT', date }, 0],
    [{ 'retry-after': '-5' }, 0],
    [{ 'retry-after': 'soon' }, 0],
    [{}, 0]
  ] as const
  const world = await createWorld(t)
  const client = world.open()
  await world.until(client.ready)

  for (const [headers, retryAfter] of cases) {
    world.faults.next(() => reply(503, '', headers), '/login')
    await t.rejects(world.until(client.login(credentials())), { code: 'refused', retryAfter })
  }
})

for (const event of ['online', 'none'] as const) {
  const title = event === 'online' ? 'with events' : 'without events'
  t.test(`calls succeed soon after the network is back ${title}`, async t => {
    const world = await createWorld(t)
    const client = await world.openSignedIn({
      tab: { events: event === 'online' ? 'work' : 'none' }
    })
    world.skip(20 * MINUTE)
    world.faults.goOffline()

    for (let i = 0; i < 20; i++) {
      await t.rejects(world.until(client.fetch('/protected')))
      await world.run(2000)
    }

    world.faults.goOnline()
    const start = world.now()
    let status = 0

    while (status !== 200 && world.now() - start < MINUTE) {
      status = await world.until(
        client.fetch('/protected').then(response => response.status, () => 0)
      )
      await world.run(100)
    }

    const limit = event === 'online' ? 1000 : 13_000
    t.ok(world.now() - start <= limit, `${world.now() - start} ms`)
  })
}

t.test('a maintenance page blocks a client for a minute at most', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  world.faults.next(() => reply(503, '<h1>', { 'retry-after': '3600' }), '/refresh')
  await t.rejects(world.until(client.fetch('/protected')), { code: 'refused', retryAfter: 3600 })
  await world.run(76_000)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})
