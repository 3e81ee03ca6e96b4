import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster, RESP_TYPES } from 'redis'
import type { createClientPool, createSentinel } from 'redis'
import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import type { Session } from '../../../src/domain/session.js'
import { DAY } from '../../../src/lib/time.js'
import {
  assertRefused,
  NOW,
  readFeed,
  REALM,
  saveSession,
  saveSessions,
  sortEntries
} from '../../../src/stores/conformance/harness.js'
import { listenForRevocations, RedisStore } from '../../../src/stores/redis/index.js'
import type {
  IoredisClient,
  IoredisSubscriber,
  NodeRedisSubscriber,
  RedisClient
} from '../../../src/stores/redis/index.js'
import { RedisKeys } from '../../../src/stores/redis/keys.js'
import { scripts } from '../../../src/stores/redis/scripts.js'
import { deleteKeys, hooked, redisUrl, whyNoRedis } from '../../helpers/databases/redis.js'
import { connectRedisClients, planAttempt } from './redis-helpers.js'

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
      const session = await saveSession(store)
      const first = planAttempt(session, 0, NOW + 1)
      const rotated = applyRotation(session, first)
      t.strictSame(await store.rotate(first), { swapped: true, session: rotated }, name)
      t.strictSame(await store.list(REALM, 'ann', { now: NOW, limit: 9 }), [rotated], name)
      const target = { realm: REALM, userId: 'ann' }
      t.equal(await store.revoke(target, { at: NOW, reason: 'logout-all' }), 1, name)
      await store.revoke({ realm: REALM }, { at: NOW + 1, reason: 'revoked' })
      const { entries, cursor } = await readFeed(store)
      const ofUser = { realm: REALM, at: NOW, reason: 'logout-all', userId: 'ann', before: NOW }
      const ofRealm = { realm: REALM, at: NOW + 1, reason: 'revoked', before: NOW + 1 }
      t.strictSame(sortEntries(entries), [ofUser, ofRealm, ofRealm], name)
      t.strictSame((await readFeed(store, cursor)).entries, [], name)
      t.equal(
        await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 9 }),
        4,
        `${name}: the session, the not-before of the user and two entries of the feed`
      )
    }
  })

  await t.test('scripts are sent again after SCRIPT FLUSH', async t => {
    for (const client of [redis, nodeRedis]) {
      const store = new RedisStore(client, { prefix: newPrefix() })
      const session = await saveSession(store)

      for (let generation = 0; generation < 20; generation++) {
        const now = NOW + generation + 1
        const [, ...outcomes] = await Promise.all([
          redis.script('FLUSH'),
          ...Array.from(
            { length: 5 },
            () => store.rotate(planAttempt(session, generation, now))
          )
        ])
        t.equal(outcomes.filter(outcome => outcome.swapped).length, 1)
      }
    }
  })

  await t.test('a subscriber is notified of revocations until it unsubscribes', async t => {
    const prefixed = new Redis(redisUrl, { keyPrefix: 'outer:' })
    t.teardown(async () => {
      await deleteKeys(redis, 'outer:')
      prefixed.disconnect()
    })

    for (
      const [open, client] of [
        [() => prefixed.duplicate(), nodeRedis],
        [() => prefixed.duplicate({ lazyConnect: true, enableOfflineQueue: false }), nodeRedis],
        [() => nodeRedis.duplicate(), prefixed]
      ] as const
    ) {
      const prefix = newPrefix()
      const store = new RedisStore(client, { prefix })
      const [a, , c] = await saveSessions(store, {}, {}, {}) as [Session, Session, Session]

      let notify = (): void => {}

      const notification = (): Promise<void> =>
        new Promise(resolve => {
          notify = resolve
        })

      const fail = (_facts: object, message: string): void => {
        t.fail(message)
      }

      const stop = await listenForRevocations(open, { prefix })(() => {
        notify()
      }, { warn: fail, info: fail })
      const targets = [
        { realm: REALM, sessionId: a.id },
        { realm: REALM, userId: 'ann', keep: c.id },
        { realm: REALM, userId: 'unknown' },
        { realm: 'other' }
      ]

      for (const target of targets) {
        const notified = notification()
        await store.revoke(target, { at: NOW, reason: 'revoked' })
        await notified
      }

      notify = () => {
        t.fail('the subscription has ended')
      }

      stop()

      while (await redis.publish(`${prefix}revoked`, '') > 0) {
        await sleep(5)
      }

      const last = { realm: REALM, sessionId: c.id }
      t.equal(await store.revoke(last, { at: NOW, reason: 'logout' }), 1)
      t.equal(await redis.publish(`${prefix}revoked`, ''), 0)
    }
  })

  await t.test('a failed PUBLISH does not fail the revocation', async t => {
    const prefix = newPrefix()
    const username = `token-auth-test-${randomBytes(6).toString('hex')}`
    await redis.acl('SETUSER', username, 'on', '>secret', '~*', '+@all', 'resetchannels')
    const restricted = redis.duplicate({ username, password: 'secret' })
    t.teardown(async () => {
      restricted.disconnect()
      await redis.acl('DELUSER', username)
    })
    await t.rejects(restricted.publish(`${prefix}revoked`, ''), /NOPERM/)
    const store = new RedisStore(restricted, { prefix })
    const { id: sessionId } = await saveSession(store)
    const details = { at: NOW, reason: 'logout' } as const
    t.equal(await store.revoke({ realm: REALM, sessionId }, details), 1)
    await store.revoke({ realm: REALM, userId: 'ann' }, details)
    await store.revoke({ realm: 'other' }, details)
    t.equal((await readFeed(store)).entries.length, 4, 'a window shows the realm twice')
  })

  await t.test('other errors of Redis reach the caller', async t => {
    const prefix = newPrefix()
    await redis.set(new RedisKeys(prefix).session('sa'), 'not a hash')

    for (const client of [redis, nodeRedis]) {
      await t.rejects(new RedisStore(client, { prefix }).find(REALM, 'sa'), /WRONGTYPE/)
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
    const session = await saveSession(store)
    t.strictSame(await store.find(REALM, session.id), session)
    await assertRefused('id-taken', store.create(session))
  })

  await t.test('a rotation is not sent after its caller has given up', async t => {
    const prefix = newPrefix()
    const store = new RedisStore(redis, { prefix })
    const session = await saveSession(store)
    const attempt = planAttempt(session, 0, NOW + 1)
    const signal = AbortSignal.abort(new Error('too late'))
    await t.rejects(store.rotate(attempt, { signal }), /too late/)
    const controller = new AbortController()
    const restarted: IoredisClient = {
      async evalsha (sha, keyCount, ...input) {
        if (sha === scripts.rotate.sha) {
          controller.abort(new Error('too late'))
          throw new Error('NOSCRIPT')
        }

        return redis.evalsha(sha, keyCount, ...input)
      },
      eval: (text, keyCount, ...input) => redis.eval(text, keyCount, ...input)
    }
    const other = new RedisStore(restarted, { prefix })
    await t.rejects(other.rotate(attempt, controller), /too late/)
    t.strictSame(await store.find(REALM, session.id), session)
    t.equal((await store.rotate(attempt, new AbortController())).swapped, true)
  })
})
