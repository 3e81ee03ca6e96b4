import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import type { FaultKind } from '../../src/testing/index.js'
import { calm, COUNTER_URL, createCounter, send } from './counter.js'
import type { Result } from './counter.js'

const kinds: ReadonlyArray<
  readonly [kind: FaultKind, outcome: Result['outcome'], handled: number]
> = [
  ['unsent', 'TypeError', 0],
  ['drop', 'TypeError', 1],
  ['hang', null, 1],
  ['delay', 200, 1],
  ['duplicate', 200, 2],
  ['reorder', 200, 1],
  ['429', 429, 0],
  ['500', 500, 0],
  ['503', 503, 0],
  ['504', 504, 1],
  ['portal', 200, 0],
  ['cached', 200, 1],
  ['odd-throw', 'TypeError', 0],
  ['odd-json', 'TypeError', 1],
  ['kill', 200, 1]
]

for (const [kind, outcome, handled] of kinds) {
  t.test(`${kind} affects exactly one request`, async t => {
    for (let seed = 1; seed <= 10; seed++) {
      const faults = createFaults({ seed, ...calm })
      const { send: server, handledAt } = createCounter(faults)
      const device = faults.device()
      const tab = device.open()
      faults.next(kind)
      const result = await send(faults, tab.wrap(server), { credentials: 'include' })
      await faults.clock.run(20_000)
      t.equal(result.outcome, outcome)
      t.equal(handledAt.length, handled, 'number of handled requests')
      t.equal(tab.isAlive, kind !== 'kill')
      t.equal(
        device.cookies.entries().has('count'),
        handled > 0 && !['drop', 'hang', '504'].includes(kind),
        'a browser saves the cookies of responses that arrive'
      )
      t.equal(
        (await send(faults, device.open().wrap(server))).outcome,
        200,
        'the next request is not affected'
      )
      t.equal(
        faults.log.filter(({ event, fault }) => event === 'request' && fault === kind).length,
        1
      )

      if (kind === 'delay') {
        t.ok(result.duration > 10 && result.duration <= 10 + 5 * 4000, `${result.duration} ms`)
      }

      if (kind === 'portal') {
        t.match(result.body, '<!doctype html>')
      }
    }
  })
}

t.test('the next request overtakes a reordered one', async t => {
  const faults = createFaults(calm)
  const wrapped = faults.wrap(createCounter(faults).send)
  faults.next('reorder')
  const responses = await faults.clock.until(
    Promise.all([wrapped(COUNTER_URL), wrapped(COUNTER_URL)])
  )
  t.strictSame(
    await Promise.all(responses.map(response => response.text())),
    ['response 2', 'response 1']
  )
})

t.test('a 429 response has Retry-After from 1 to 30 s', async t => {
  const faults = createFaults(calm)
  faults.next('429')
  const wrapped = faults.wrap(createCounter(faults).send)
  const response = await faults.clock.until(wrapped(COUNTER_URL))
  t.match(response.headers.get('retry-after'), /^([1-9]|[12]\d|30)$/)
})

t.test('a planned fault affects the next requests to its path', async t => {
  const faults = createFaults(calm)
  const wrapped = faults.wrap(createCounter(faults).send)
  faults.next('500', '/others')
  faults.next('500', '/things', 2)
  const outcomes: unknown[] = []

  for (let i = 0; i < 3; i++) {
    outcomes.push((await send(faults, wrapped)).outcome)
  }

  t.strictSame(outcomes, [500, 500, 200])
})

t.test('a custom fault replaces, delays, rejects or passes a request', async t => {
  const faults = createFaults(calm)
  const { send: server, handledAt } = createCounter(faults)
  const wrapped = faults.wrap(server)
  const bodies: string[] = []
  faults.next(async request => {
    bodies.push(await request.text())
    return new Response('replaced', { status: 418 })
  })
  faults.next((_request, proceed) => faults.clock.sleep(500).then(proceed))
  faults.next(() => Promise.reject(new TypeError('broken')))
  faults.next(() => undefined)
  const results = [
    await send(faults, wrapped, { method: 'POST', body: 'sent' }),
    await send(faults, wrapped),
    await send(faults, wrapped),
    await send(faults, wrapped)
  ]
  t.strictSame(results, [
    { outcome: 418, body: 'replaced', duration: 10 },
    { outcome: 200, body: 'response 1', duration: 510 },
    { outcome: 'TypeError', body: 'broken', duration: 5 },
    { outcome: 200, body: 'response 2', duration: 10 }
  ])
  t.strictSame(bodies, ['sent'])
  t.equal(handledAt.length, 2)
  t.equal(
    faults.log.filter(({ event, fault }) => event === 'request' && fault === 'custom').length,
    4
  )
})

t.test('offline requests fail, including those in flight', async t => {
  const faults = createFaults({ rates: {}, latency: [100, 100] })
  const { send: server, handledAt } = createCounter(faults)
  const wrapped = faults.wrap(server)
  const lost = t.rejects(wrapped(COUNTER_URL), TypeError)
  await faults.clock.run(60)
  t.equal(handledAt.length, 1)
  faults.goOffline()
  await faults.clock.run(100)
  await lost
  t.equal((await send(faults, wrapped)).outcome, 'TypeError')
  t.equal(handledAt.length, 1)
  faults.goOnline()
  t.equal((await send(faults, wrapped)).outcome, 200)
  t.strictSame(
    faults.log.filter(({ source }) => source === 'network').map(({ event }) => event),
    ['offline', 'online']
  )
})

t.test('heal stops random faults and planned faults until resume', async t => {
  const faults = createFaults({
    rates: { 500: 1 },
    only: (_method, url) => !url.endsWith('/spared')
  })
  const wrapped = faults.wrap(createCounter(faults).send)
  t.equal((await send(faults, wrapped)).outcome, 500)
  t.equal((await faults.clock.until(wrapped('https://app.test/spared'))).status, 200)
  faults.goOffline()
  faults.next('503')
  faults.heal()
  t.equal((await send(faults, wrapped)).outcome, 200)
  faults.resume()
  t.equal((await send(faults, wrapped)).outcome, 500)
})

t.test('an aborted request does not reach the server', async t => {
  const faults = createFaults(calm)
  const { send: server, handledAt } = createCounter(faults)
  const wrapped = faults.wrap(server)
  const abort = new AbortController()
  const aborted = t.rejects(wrapped(COUNTER_URL, { signal: abort.signal }), { name: 'AbortError' })
  abort.abort()
  await aborted
  await faults.clock.run(100)
  t.equal(handledAt.length, 0)
  await t.rejects(wrapped(COUNTER_URL, { signal: abort.signal }), { name: 'AbortError' })
})

t.test('a request does not survive the sleep of its device', async t => {
  const faults = createFaults(calm)
  const lost = t.rejects(faults.wrap(createCounter(faults).send)(COUNTER_URL), TypeError)
  faults.clock.suspend(1000)
  await faults.clock.run(100)
  await lost
})
