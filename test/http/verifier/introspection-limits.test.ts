import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { RequestQueue } from '../../../src/verifier/request-queue.js'
import { createClock, SECOND } from '../../helpers/clock.js'
import { claims, createHeader, createToken, scope } from './jwks-setup.js'
import { waitUntil } from './sync-setup.js'

const createClaims = (sid: string): object => ({ ...claims, sid })
const sign = (sid: string): string => createToken('EdDSA', createHeader('EdDSA'), createClaims(sid))

/** Starts an issuer whose responses wait for the test. */
async function startIssuer (
  t: Test
): Promise<{ readonly uri: string, readonly waiting: ServerResponse[] }> {
  const waiting: ServerResponse[] = []
  const server = createServer((request, reply) => {
    request.resume().on('end', () => {
      waiting.push(reply)
    })
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => {
    server.once('listening', resolve)
  })
  t.teardown(() => {
    server.close().closeAllConnections()
  })
  return { uri: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, waiting }
}

async function startVerifier (
  t: Test,
  uri: string,
  maxAge = '10s'
): Promise<{ readonly app: FastifyInstance, readonly clock: ReturnType<typeof createClock> }> {
  const app = Fastify()
  const clock = createClock()
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    ...scope,
    clock,
    introspection: {
      uri,
      clientId: 'orders',
      clientSecret: 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0',
      maxAge
    }
  })
  app.get('/protected', { onRequest: [app.authenticate] }, () => 'in')
  return { app, clock }
}

async function getStatus (app: FastifyInstance, token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  return (await app.inject({ url: '/protected', headers })).statusCode
}

t.test('at most 64 requests to the issuer run at once, and 1,000 wait', async t => {
  const issuer = await startIssuer(t)
  const { app } = await startVerifier(t, issuer.uri)
  const statuses: number[] = []

  for (let i = 0; i < 64 + 1000; i++) {
    void getStatus(app, sign(`s${i}`)).then(status => statuses.push(status))
  }

  await waitUntil(() => issuer.waiting.length === 64)
  const response = await app.inject({
    url: '/protected',
    headers: { authorization: `Bearer ${sign('late')}` }
  })
  t.equal(response.statusCode, 503)
  t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
  t.equal(response.headers['retry-after'], '1')
  t.equal(issuer.waiting.length, 64)

  for (const reply of issuer.waiting.splice(0)) {
    reply.end('{"active":false}')
  }

  await waitUntil(() => issuer.waiting.length === 64)
  t.strictSame(statuses, Array(64).fill(401))
})

t.test('an inactive token is rejected for 3 s without another request', async t => {
  const issuer = await startIssuer(t)
  const { app, clock } = await startVerifier(t, issuer.uri)

  const ask = async (token: string): Promise<number> => {
    const status = getStatus(app, token)
    let isDone = false
    void status.then(() => {
      isDone = true
    })
    await waitUntil(() => isDone || issuer.waiting.length > 0)
    count += issuer.waiting.length
    issuer.waiting.shift()?.end('{"active":false}')
    return status
  }

  let count = 0
  const token = sign('s1')
  t.equal(await ask(token), 401)
  t.equal(await ask(token), 401)
  t.equal(count, 1)
  t.equal(await ask(sign('s2')), 401)
  t.equal(count, 2, 'another token')
  clock.advance(3 * SECOND - 1)
  t.equal(await ask(token), 401)
  t.equal(count, 2)
  clock.advance(1)
  t.equal(await ask(token), 401)
  t.equal(count, 3)
  clock.advance(-SECOND)
  t.equal(await ask(token), 401)
  t.equal(count, 4, 'a clock that was set back')
})

t.test('an inactive token is not remembered for longer than maxAge', async t => {
  for (const [maxAge, requests] of [['0s', 2], ['1s', 1]] as const) {
    const issuer = await startIssuer(t)
    const { app, clock } = await startVerifier(t, issuer.uri, maxAge)
    let count = 0
    const timer = setInterval(() => {
      count += issuer.waiting.length

      for (const reply of issuer.waiting.splice(0)) {
        reply.end('{"active":false}')
      }
    }, 5)
    t.teardown(() => {
      clearInterval(timer)
    })
    const token = sign('s1')
    await getStatus(app, token)
    await getStatus(app, token)
    t.equal(count, requests, maxAge)
    clock.advance(SECOND)
    await getStatus(app, token)
    t.equal(count, requests + 1, maxAge)
  }
})

t.test('a queue runs waiting requests in their order, also after failures', async t => {
  const queue = new RequestQueue(1, 2)
  const order: number[] = []
  const failing = queue.run(async () => {
    order.push(0)
    throw new Error('failed')
  })
  const rest = [1, 2].map(async i =>
    queue.run(async () => {
      order.push(i)
    })
  )
  t.equal(queue.isFull, true)
  await t.rejects(failing, { message: 'failed' })
  await Promise.all(rest)
  t.strictSame(order, [0, 1, 2])
  t.equal(queue.isFull, false)
  await queue.run(async () => order.push(3))
  t.strictSame(order, [0, 1, 2, 3])
})
