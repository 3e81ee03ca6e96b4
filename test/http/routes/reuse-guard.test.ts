import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { MINUTE, SECOND } from '../../helpers/clock.js'

interface Reused extends TestApp {
  /** Refresh token whose successor was rotated. */
  readonly old: string
  /** Whether the session is still live. */
  isLive(): Promise<boolean>
}

async function start (t: Test, given: TestAppOptions): Promise<Reused> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  const { refresh_token: old = '' } = await test.login()
  const { refresh_token: second } = (await test.refresh(old)).json()
  test.clock.advance(MINUTE)
  t.equal((await test.refresh(second)).statusCode, 200)
  test.clock.advance(1)

  return {
    ...test,
    old,
    async isLive () {
      const live = await test.store.list(REALM, 'u-ann', { now: test.clock(), limit: 9 })
      return live.length === 1
    }
  }
}

async function assertReuse (t: Test, test: Reused): Promise<void> {
  t.equal((await test.refresh(test.old)).json().code, 'AUTH_REFRESH_REUSED')
  t.notOk(await test.isLive())
  t.match(test.events.at(-1), { name: 'reuse' })
}

t.test('a reuse by a client that has hung up results in 503 and revokes nothing', async t => {
  const inner = new MemoryStore()
  let isHeld = false

  let reached: () => void = () => {}

  let proceed: () => void = () => {}

  const store = new Proxy<TokenStore>(inner, {
    get: (target, verb: keyof TokenStore) => async (...args: unknown[]): Promise<unknown> => {
      if (verb === 'rotate' && isHeld) {
        await new Promise<void>(resolve => {
          proceed = resolve
          reached()
        })
      }

      return Reflect.apply(target[verb], target, args)
    }
  })
  const statuses: number[] = []
  const codes: unknown[] = []
  const closed: Array<Promise<unknown>> = []
  const test = await start(t, {
    store,
    before (app) {
      app.addHook('onRequest', async ({ raw }) => {
        closed.push(once(raw.socket, 'close'))
      })
      app.addHook('onSend', async (_request, reply, payload) => {
        statuses.push(reply.statusCode)
        codes.push(payload)
      })
    }
  })
  await test.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = test.app.server.address() as AddressInfo
  const options = {
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/auth/refresh',
    headers: { authorization: `Bearer ${test.old}` }
  }
  statuses.length = 0
  codes.length = 0

  isHeld = true
  const arrived = new Promise<void>(resolve => {
    reached = resolve
  })
  const sent = request(options)
  sent.on('error', () => {})
  sent.end()
  await arrived
  sent.destroy()
  await closed.at(-1)
  isHeld = false
  proceed()

  while (statuses.length === 0) {
    await sleep(5)
  }

  t.strictSame(statuses, [503])
  t.match(codes, [/AUTH_STORE_UNAVAILABLE/])
  t.ok(await test.isLive())
  t.notOk(test.events.some(({ name }) => name === 'reuse' || name === 'session-ended'))

  const again = request(options)
  again.end()
  const [response] = await once(again, 'response')
  response.resume()
  t.equal(response.statusCode, 401, 'a client that waits gets the verdict')
  t.notOk(await test.isLive())
  t.match(test.events.at(-1), { name: 'reuse' })
})

t.test('a reuse after a standstill of the process results in 503', async t => {
  const test = await start(t, { options: { refreshToken: { grace: '1s' } } })
  // A process that is blocked serves the requests that arrived meanwhile afterwards.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
  t.equal((await test.refresh(test.old)).json().code, 'AUTH_STORE_UNAVAILABLE')
  t.ok(await test.isLive())
  t.notOk(test.events.some(({ name }) => name === 'reuse' || name === 'session-ended'))
  await sleep(1.2 * SECOND)
  await assertReuse(t, test)
})

t.test('a suspicious recovery after a standstill revokes nothing', async t => {
  const test = await createTestApp({
    options: { refreshToken: { grace: '1s', replayDetection: 'revoke' } }
  })
  t.teardown(() => test.app.close())
  const { refresh_token: first } = await test.login()
  t.equal((await test.refresh(first)).statusCode, 200)
  test.clock.advance(MINUTE)
  const recover = async (): Promise<string> =>
    (await test.app.inject({
      method: 'POST',
      url: '/auth/refresh',
      remoteAddress: '198.51.100.7',
      headers: { 'user-agent': 'another' },
      payload: { refresh_token: first }
    })).json().code
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600)
  t.equal(await recover(), 'AUTH_STORE_UNAVAILABLE')
  t.notOk(test.events.some(({ name }) => name === 'suspicious-replay' || name === 'session-ended'))
  await sleep(1.2 * SECOND)
  t.equal(await recover(), 'AUTH_REFRESH_REUSED')
  t.match(test.events.at(-1), { name: 'suspicious-replay', revoked: true })
})

t.test('a reuse that cannot be revoked results in 503', async t => {
  const test = await start(t, {})
  const { revoke } = test.store
  test.store.revoke = () => Promise.reject(new Error('down'))
  t.equal((await test.refresh(test.old)).json().code, 'AUTH_STORE_UNAVAILABLE')
  t.ok(await test.isLive())
  t.notOk(test.events.some(({ name }) => name === 'reuse'))
  test.store.revoke = revoke
  await assertReuse(t, test)
})

t.test('a token that arrived before the last rotation is no reuse', async t => {
  const inner = new MemoryStore()

  let before: () => Promise<unknown> = async () => {}

  const store = new Proxy<TokenStore>(inner, {
    get: (target, verb: keyof TokenStore) => async (...args: unknown[]): Promise<unknown> => {
      if (verb === 'rotate') {
        const work = before

        before = async () => {}

        await work()
      }

      return Reflect.apply(target[verb], target, args)
    }
  })
  const here = await createTestApp({ store })
  t.teardown(() => here.app.close())
  const there = await createTestApp({ store: inner, clock: here.clock })
  t.teardown(() => there.app.close())
  const { refresh_token: first } = await here.login()

  // The request waits in this instance, while another one rotates twice.
  before = async () => {
    here.clock.advance(SECOND)
    const { refresh_token: second } = (await there.refresh(first)).json()
    here.clock.advance(MINUTE)
    t.equal((await there.refresh(second)).statusCode, 200)
  }

  t.equal((await here.refresh(first)).json().code, 'AUTH_STORE_UNAVAILABLE')
  t.equal((await here.app.tokenAuth.listSessions('u-ann')).length, 1)
  t.notOk(here.events.some(({ name }) => name === 'reuse'))
})
