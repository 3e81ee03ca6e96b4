import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import type { Faults, OddKind } from '../../src/testing/index.js'
import { calm, COUNTER_URL, createCounter } from './counter.js'
import type { Counter } from './counter.js'

const allKinds: readonly OddKind[] = [
  'odd-throw',
  'odd-undefined',
  'odd-object',
  'odd-status',
  'odd-headers',
  'odd-json',
  'odd-body'
]

interface Client {
  readonly faults: Faults
  readonly counter: Counter
  readonly wrapped: typeof fetch
}

function createClient (seed = 1): Client {
  const faults = createFaults({ seed, ...calm })
  const counter = createCounter(faults)
  return { faults, counter, wrapped: faults.wrap(counter.send) }
}

/** Sends a request that meets an odd answer. */
function sendOdd ({ faults, wrapped }: Client, kind: OddKind): Promise<Response> {
  faults.next(kind)
  return faults.clock.until(wrapped(COUNTER_URL))
}

t.test('odd-throw throws before there is a promise', async t => {
  const { faults, counter, wrapped } = createClient()
  faults.next('odd-throw')
  t.throws(() => {
    void wrapped(COUNTER_URL)
  }, new TypeError('Failed to fetch'))
  await faults.clock.run(1000)
  t.equal(counter.handledAt.length, 0)
})

t.test('odd-undefined resolves to undefined after the server has acted', async t => {
  const client = createClient()
  t.equal(await sendOdd(client, 'odd-undefined'), undefined)
  t.equal(client.counter.handledAt.length, 1)
})

t.test('odd-object has two members', async t => {
  const client = createClient()
  t.strictSame(await sendOdd(client, 'odd-object'), { ok: false, status: 500 })
  t.equal(client.counter.handledAt.length, 0)
})

t.test('odd-status has no status', async t => {
  const client = createClient()
  const response = await sendOdd(client, 'odd-status')
  t.strictSame([response.status, response.ok], [undefined, undefined])
  t.equal(response.headers.get('x-new-token'), null)
  t.strictSame(await response.json(), {})
  t.equal(client.counter.handledAt.length, 0)
})

t.test('odd-headers throws when headers are read, after the server has acted', async t => {
  const client = createClient()
  const response = await sendOdd(client, 'odd-headers')
  t.equal(response.status, 200)
  t.throws(() => response.headers, TypeError)
  t.equal(client.counter.handledAt.length, 1)
})

t.test('odd-json has a body that rejects', async t => {
  const client = createClient()
  const response = await sendOdd(client, 'odd-json')
  t.equal(response.status, 200)
  await t.rejects(response.json(), TypeError)
  t.equal(client.counter.handledAt.length, 1)
})

t.test('odd-body has a body that never settles', async t => {
  const client = createClient()
  const response = await sendOdd(client, 'odd-body')
  t.equal(response.status, 200)
  let hasSettled = false
  void response.json().finally(() => {
    hasSettled = true
  })
  await client.faults.clock.run(600_000)
  t.notOk(hasSettled)
})

t.test('odd is each of the kinds, and the log names it', async t => {
  const kinds = new Set<unknown>()

  for (let seed = 1; seed <= 60; seed++) {
    const { faults, wrapped } = createClient(seed)
    faults.next('odd')
    void (async () => wrapped(COUNTER_URL))().catch(() => {})
    await faults.clock.run(100)
    kinds.add(faults.log[0]?.fault)
  }

  t.strictSame([...kinds].sort(), [...allKinds].sort())
})
