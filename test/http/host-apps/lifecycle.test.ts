import { setImmediate as turn } from 'node:timers/promises'
import { mock } from 'node:test'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { Auth, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, REALM, SECRET } from '../../helpers/app.js'
import { HOUR } from '../../helpers/clock.js'
import { form, getOptions, start, startEmpty } from './host-app.js'

t.test('app.close() saves pending confirmations and last uses', async t => {
  const { app, store, clock, login, refresh, get } = await createTestApp()
  const first = await login()
  clock.advance(HOUR)
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  clock.advance(1000)
  const { sessionId } = (await get('/protected', second.access_token)).json<Auth>()
  t.match(await store.find(REALM, sessionId), { generation: 1, confirmedGeneration: 0 })
  await app.close()
  t.match(await store.find(REALM, sessionId), {
    generation: 1,
    confirmedGeneration: 1,
    lastUsedAt: clock()
  })
})

t.test('app.close() stops the sweeper', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => {
    mock.timers.reset()
  })
  let sweeps = 0
  const { app } = await createTestApp({
    options: {
      sweep: { interval: '1h' },
      on: {
        sweep: () => {
          sweeps++
        }
      }
    }
  })

  const pass = async (): Promise<void> => {
    mock.timers.tick(1.1 * HOUR)

    for (let i = 0; i < 5; i++) {
      await turn()
    }
  }

  await pass()
  await pass()
  t.equal(sweeps, 2)
  await app.close()
  await pass()
  t.equal(sweeps, 2)
})

t.test('sweep rejects before app.ready(), because the time is not known', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    sweep: false,
    users: { findByLogin: () => null, findById: () => null }
  })
  await t.rejects(app.tokenAuth.sweep(), { code: 'AUTH_STORE_UNAVAILABLE' })
  await app.ready()
  t.equal(await app.tokenAuth.sweep(), 0)
})

t.test('the plugin adds only its documented decorators to the app', async t => {
  const traces = async (
    register: (app: FastifyInstance) => unknown
  ): Promise<Record<string, readonly string[]>> => {
    const app = startEmpty(t)
    await register(app)
    let traces = {}
    app.get('/', (request, reply) => {
      traces = { request: getMembers(request), reply: getMembers(reply) }
      return ''
    })
    await app.inject({ url: '/' })
    return { ...traces, app: getMembers(app), schemas: Object.keys(app.getSchemas()) }
  }

  const without = await traces(() => {})
  const beside = await traces(app => app.register(tokenAuth, getOptions()))
  const added = Object.fromEntries(
    Object.entries(beside).map(
      ([where, members]) => [where, members.filter(member => !without[where]?.includes(member))]
    )
  )
  t.strictSame(added, {
    app: ['authenticate', 'requireClaims', 'requireFresh', 'tokenAuth'],
    request: ['auth'],
    reply: [],
    schemas: []
  })
})

t.test('parsers and plugins of the child scope stay out of the app', async t => {
  const { app, post } = await start(t, {
    after: app => {
      app.post('/own', () => '')
    }
  })
  t.notOk(app.hasContentTypeParser('application/x-www-form-urlencoded'))
  t.equal((await post('/own', Buffer.from('a=1'), form)).statusCode, 415)
  t.notOk(app.hasPlugin('@fastify/jwt'))
  t.ok(app.hasPlugin('fastify-token-auth'))
  t.equal((await app.inject({ url: '/nowhere' })).headers['cache-control'], undefined)
})

/** Returns the names of own and inherited properties. */
function getMembers (object: object): string[] {
  const members = new Set<string>()

  for (
    let holder = object;
    holder !== null && holder !== Object.prototype;
    holder = Object.getPrototypeOf(holder)
  ) {
    for (const name of Object.getOwnPropertyNames(holder)) {
      members.add(name)
    }
  }

  return [...members].sort()
}
