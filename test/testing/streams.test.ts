import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import { calm } from './counter.js'

async function* generate (): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode('who')
  yield new TextEncoder().encode('le')
}

/** Bodies of requests. Functions, because a stream is consumed once. */
const bodies: ReadonlyArray<readonly [name: string, create: () => unknown]> = [
  ['a string', () => 'whole'],
  ['a generator', generate],
  ['an async iterable', () => ({ [Symbol.asyncIterator]: generate })],
  ['a stream of Node', () => Readable.from([Buffer.from('whole')])],
  ['a ReadableStream', () => new Blob(['whole']).stream()]
]

const echoServer = createServer((request, response) => {
  void text(request).then(body => response.end(`got ${body}`))
})
await new Promise<void>(resolve => echoServer.listen(0, '127.0.0.1', resolve))
const root = `http://127.0.0.1:${(echoServer.address() as AddressInfo).port}/`
t.teardown(() => echoServer.close())

/** Returns the body that the server got, or the name of the error. */
async function send (fetch: typeof globalThis.fetch, init: object): Promise<string> {
  return fetch(root, init).then(response => response.text(), (error: Error) => error.name)
}

/** Sends requests through the network of a test, and lets its time pass. */
function createFaultyFetch (): typeof fetch {
  const faults = createFaults(calm)
  const wrapped = faults.wrap(fetch)
  return (...request) => faults.clock.until(wrapped(...request))
}

for (const [name, create] of bodies) {
  t.test(`${name} arrives, and is sent twice, as by the fetch of Node`, async t => {
    const [real, faulty] = [create(), create()]
    const wrapped = createFaultyFetch()
    const [first, second] = [
      await send(fetch, { method: 'POST', duplex: 'half', body: real }),
      await send(fetch, { method: 'POST', duplex: 'half', body: real })
    ]
    t.equal(first, 'got whole')
    t.equal(await send(wrapped, { method: 'POST', duplex: 'half', body: faulty }), first)
    t.equal(await send(wrapped, { method: 'POST', duplex: 'half', body: faulty }), second)
  })
}

t.test('a stream requires "duplex", as by the fetch of Node', async t => {
  for (const [name, create] of bodies) {
    const [real, faulty] = [
      await send(fetch, { method: 'POST', body: create() }),
      await send(createFaultyFetch(), { method: 'POST', body: create() })
    ]
    t.equal(faulty, real, name)
    t.equal(real, name === 'a string' ? 'got whole' : 'TypeError')
  }
})

t.test('a Request with a body is consumed by its first use', async t => {
  const wrapped = createFaultyFetch()
  const request = new Request(root, { method: 'POST', body: 'whole' })
  t.equal(await (await wrapped(request)).text(), 'got whole')
  t.ok(request.bodyUsed)
  await t.rejects(wrapped(request), TypeError)
})

t.test('a stream is consumed by a request that is lost', async t => {
  const faults = createFaults(calm)
  const wrapped = faults.wrap(fetch)
  const body = new Blob(['whole']).stream()
  const init = { method: 'POST', duplex: 'half', body } as RequestInit
  faults.next('unsent')
  await t.rejects(faults.clock.until(wrapped(root, init)), TypeError)
  await t.rejects(faults.clock.until(wrapped(root, init)), TypeError)
  t.equal(faults.log.filter(({ event }) => event === 'request').length, 1)
})
