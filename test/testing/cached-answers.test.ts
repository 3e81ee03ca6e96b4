import t from 'tap'
import { createFaults } from '../../src/testing/index.js'
import type { Faults } from '../../src/testing/index.js'
import { calm } from './counter.js'

const URL = 'https://app.test/orders'

/** Server that says whose token it was shown, and renews it. */
const server: typeof fetch = async (_input, init) => {
  const token = new Headers(init?.headers).get('authorization')

  return new Response(token, {
    headers: { 'x-new-token': `next of ${token}`, 'set-cookie': `user=${token}` }
  })
}

interface Client {
  readonly get: (authorization: string | null, init?: RequestInit) => Promise<Response>
  readonly cookies: () => string[]
}

function createClient ({ device: createDevice, clock }: Faults, send = server): Client {
  const device = createDevice()
  const wrapped = device.open().wrap(send)

  return {
    get: (authorization, { method = 'GET', ...init } = {}) =>
      clock.until(
        wrapped(URL, { method, headers: authorization === null ? {} : { authorization }, ...init })
      ),
    cookies: () => [...device.cookies.entries().values()]
  }
}

t.test('a shared cache responds with the response of another device', async t => {
  const faults = createFaults(calm)
  const [ann, bob] = [createClient(faults), createClient(faults)]
  await ann.get('ann')
  await faults.clock.run(90_000)
  faults.next('cached')
  const response = await bob.get('bob', { credentials: 'include' })
  t.equal(response.status, 200)
  t.equal(await response.text(), 'ann')
  t.equal(response.headers.get('x-new-token'), 'next of ann')
  t.equal(response.headers.get('age'), '90')
  t.strictSame(bob.cookies(), [], 'no cookie of another user')
  t.equal(await (await bob.get('bob')).text(), 'bob', 'the next request is not affected')
})

t.test('a shared cache responds with the response to another token of a device', async t => {
  const faults = createFaults(calm)
  const client = createClient(faults)
  await client.get('ann')
  faults.next('cached')
  t.equal(await (await client.get('bob')).text(), 'ann')
})

t.test('a response can be read each time that the cache sends it', async t => {
  const faults = createFaults(calm)
  const [ann, bob] = [createClient(faults), createClient(faults)]
  await ann.get('ann')
  faults.next('cached', '', 2)
  t.equal(await (await bob.get('bob')).text(), 'ann')
  t.equal(await (await bob.get('bob')).text(), 'ann')
})

t.test('a request passes if the cache has no response for it', async t => {
  const faults = createFaults(calm)
  const [ann, bob] = [createClient(faults), createClient(faults)]
  faults.next('cached', '', Infinity)
  t.equal(await (await ann.get('ann')).text(), 'ann')
  t.equal(await (await ann.get('ann')).text(), 'ann', 'its own response')
  const post = await bob.get('bob', { method: 'POST' })
  t.equal(await post.text(), 'bob', 'another method')
})

t.test('the cache has no response to a POST and no error', async t => {
  const faults = createFaults(calm)
  const failing = createClient(faults, async () => new Response('', { status: 401 }))
  const client = createClient(faults)
  await failing.get('ann')
  await client.get('cyd', { method: 'POST' })
  faults.next('cached')
  t.equal(await (await client.get('bob')).text(), 'bob')
})
