import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster, RESP_TYPES } from 'redis'
import type { createClientPool, createSentinel } from 'redis'
import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { listenForRevocations, RedisStore } from '../../../src/stores/redis/index.js'
import type {
  IoredisSubscriber,
  NodeRedisSubscriber,
  RedisClient
} from '../../../src/stores/redis/index.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import { deleteKeys, hooked, redisUrl, whyNoRedis } from '../../helpers/databases/redis.js'
import { connectRedisClients, planAttempt, START } from './redis-helpers.js'

// The compiler checks that the store accepts each of these clients.
type Client<T extends RedisClient> = T
export type AcceptedClients = [
  Client<Redis>,
  Client<Cluster>,
  Client<ReturnType<typeof createClient>>,
  Client<ReturnType<typeof createCluster>>,
  Client<ReturnType<typeof createClientPool>>,
  Client<ReturnType<typeof createSentinel>>
]

type Subscriber<T extends IoredisSubscriber | NodeRedisSubscriber> = T
export type AcceptedSubscribers = [
  Subscriber<Redis>,
  Subscriber<Cluster>,
  Subscriber<ReturnType<typeof createClient>>,
  Subscriber<ReturnType<typeof createCluster>>
]

t.test('Redis clients', { skip: await whyNoRedis() }, async t => {
  const { redis, nodeRedis, newPrefix } = await connectRedisClients(t)

  await t.test('clients with unusual options work', async t => {
    const prefixed = new Redis(redisUrl, {
      keyPrefix: `${newPrefix()}outer:`,
      stringNumbers: true,
      enableAutoPipelining: true
    })
    const resp2 = createClient({ url: redisUrl, RESP: 2 })
    await resp2.connect()
    t.teardown(() => {
      prefixed.disconnect()
      resp2.destroy()
    })
    const clients: Record<string, RedisClient> = {
      'ioredis with a prefix, numbers as strings and automatic pipelines': prefixed,
      'node-redis with RESP2': resp2,
      'node-redis with buffers': nodeRedis.withTypeMapping({
        [RESP_TYPES.BLOB_STRING]: Buffer
      })
    }

    for (const [name, client] of Object.entries(clients)) {
      const store = new RedisStore(client, { prefix: newPrefix() })
      const session = makeSession('sa')
      await store.create(session)
      const first = planAttempt('sa', 0, NOW + 1)
      t.strictSame(
        await store.rotate(first),
        { swapped: true, session: applyRotation(session, first) },
        name
      )
      t.strictSame(
        await store.list('ann', { now: NOW, limit: 9 }),
        [applyRotation(session, first)],
        name
      )
      t.equal(await store.revoke({ userId: 'ann' }, { at: NOW, reason: 'logout-all' }), 1, name)
      t.strictSame(await store.revocations(START, 9), [{ at: NOW, sessionId: 'sa' }], name)
      t.equal(await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 9 }), 2, name)
    }
  })

  await t.test('scripts are sent again after SCRIPT FLUSH', async t => {
    for (const client of [redis, nodeRedis]) {
      const store = new RedisStore(client, { prefix: newPrefix() })
      await store.create(makeSession('sa'))

      for (let generation = 0; generation < 20; generation++) {
        const now = NOW + generation + 1
        const [, ...outcomes] = await Promise.all([
          redis.script('FLUSH'),
          ...Array.from({ length: 5 }, () => store.rotate(planAttempt('sa', generation, now)))
        ])
        t.equal(outcomes.filter(outcome => outcome.swapped).length, 1)
      }
    }
  })

  await t.test('a subscriber is notified of revocations until it unsubscribes', async t => {
    const prefixed = new Redis(redisUrl, { keyPrefix: 'outer:' })
    const ioredisSubscriber = prefixed.duplicate()
    const nodeSubscriber = nodeRedis.duplicate()
    await nodeSubscriber.connect()
    t.teardown(async () => {
      await deleteKeys(redis, 'outer:')
      prefixed.disconnect()
      ioredisSubscriber.disconnect()
      nodeSubscriber.destroy()
    })

    for (
      const [subscriber, client] of [[ioredisSubscriber, nodeRedis], [
        nodeSubscriber,
        prefixed
      ]] as const
    ) {
      const prefix = newPrefix()
      const store = new RedisStore(client, { prefix })

      for (const id of ['sa', 'sb', 'sc']) {
        await store.create(makeSession(id))
      }

      let notify = (): void => {}

      const notification = (): Promise<void> =>
        new Promise(resolve => {
          notify = resolve
        })
      const stop = await listenForRevocations(subscriber, { prefix })(() => {
        notify()
      })

      const first = notification()
      await store.revoke({ sessionId: 'sa' }, { at: NOW, reason: 'logout' })
      await first
      const second = notification()
      await store.revoke({ userId: 'ann', keep: 'sc' }, { at: NOW, reason: 'logout-all' })
      await second

      notify = () => {
        t.fail('the subscription has ended')
      }

      await stop()
      t.equal(await store.revoke({ sessionId: 'sc' }, { at: NOW, reason: 'logout' }), 1)
      t.equal(await redis.publish(`${prefix}revoked`, ''), 0)
    }
  })

  await t.test('a failed PUBLISH does not fail the revocation', async t => {
    const store = new RedisStore(
      hooked(redis, (call, send) => {
        if (call.name === 'publish') {
          throw new Error('NOPERM')
        }

        return send()
      }),
      { prefix: newPrefix() }
    )
    await store.create(makeSession('sa'))
    t.equal(await store.revoke({ sessionId: 'sa' }, { at: NOW, reason: 'logout' }), 1)
  })

  await t.test('other errors of Redis reach the caller', async t => {
    const prefix = newPrefix()
    await redis.set(`${prefix}s:{sa}`, 'not a hash')

    for (const client of [redis, nodeRedis]) {
      await t.rejects(new RedisStore(client, { prefix }).find('sa'), /WRONGTYPE/)
    }
  })

  await t.test('a creation that the driver sends twice succeeds', async t => {
    const prefix = newPrefix()
    const store = new RedisStore(
      hooked(redis, async (call, send) => {
        if (call.name === 'create') {
          await send()
        }

        return send()
      }),
      { prefix }
    )
    const session = makeSession('sa')
    await store.create(session)
    t.strictSame(await store.find('sa'), session)
    await t.rejects(store.create(session), new SessionRefusedError('id-taken'))
  })
})
