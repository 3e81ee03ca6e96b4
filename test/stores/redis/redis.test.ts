import { Cluster, Redis } from 'ioredis'
import { createClient, createCluster, RESP_TYPES } from 'redis'
import type { createClientPool, createSentinel } from 'redis'
import t from 'tap'
import { applyRotation, planRotation } from '../../../src/domain/rotation.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { listenForRevocations, RedisStore } from '../../../src/stores/redis/index.js'
import type {
  IoredisSubscriber,
  NodeRedisSubscriber,
  RedisClient
} from '../../../src/stores/redis/index.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import {
  deleteKeys,
  hooked,
  keysOf,
  randomPrefix,
  redisUrl,
  startCluster,
  whyNoRedis
} from '../../helpers/databases/redis.js'
import { DAY, HOUR } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'

type Fits<T extends RedisClient> = T
export type FittingClients = [
  Fits<Redis>,
  Fits<Cluster>,
  Fits<ReturnType<typeof createClient>>,
  Fits<ReturnType<typeof createCluster>>,
  Fits<ReturnType<typeof createClientPool>>,
  Fits<ReturnType<typeof createSentinel>>
]

type Listens<T extends IoredisSubscriber | NodeRedisSubscriber> = T
export type FittingSubscribers = [
  Listens<Redis>,
  Listens<Cluster>,
  Listens<ReturnType<typeof createClient>>,
  Listens<ReturnType<typeof createCluster>>
]

const START = { at: 0, sessionId: '' }
const skip = await whyNoRedis()

function attempt (
  sessionId: string,
  generation: number,
  now: number
): ReturnType<typeof planRotation> {
  const by = { address: null, userAgent: '' }

  return planRotation({ sessionId, secretHash: `hash of ${sessionId}`, generation }, {
    now,
    lifetime: 7 * DAY,
    grace: 0,
    by
  })
}

t.test('on one server', { skip }, async t => {
  const redis = new Redis(redisUrl)
  const nodeRedis = createClient({ url: redisUrl })
  await nodeRedis.connect()
  const prefixes: string[] = []

  const newPrefix = (): string => {
    const prefix = randomPrefix()
    prefixes.push(prefix)
    return prefix
  }

  t.teardown(async () => {
    for (const prefix of prefixes) {
      await deleteKeys(redis, prefix)
    }

    redis.disconnect()
    nodeRedis.destroy()
  })

  const pairs = [['ioredis and node-redis', redis, nodeRedis], [
    'node-redis and ioredis',
    nodeRedis,
    redis
  ]] as const

  for (const [pair, one, two] of pairs) {
    await t.test(`the laws, over ${pair}`, async t => {
      testTokenStore({
        test: (name, run) => t.test(name, run),
        open: () => {
          const prefix = newPrefix()

          return {
            store: new RedisStore(one, { prefix }),
            other: new RedisStore(two, { prefix }),
            close: () => deleteKeys(redis, prefix)
          }
        }
      })
    })
  }

  await t.test('every session has a hash tag of its own and a time to live, and the sweep leaves nothing', async t => {
    const prefix = newPrefix()
    const store = new RedisStore(nodeRedis, { prefix })

    for (const [id, userId] of [['sa', 'ann'], ['sb', 'ann'], ['sc', 'bob']] as const) {
      await store.create(makeSession(id, { userId }))
    }

    await store.revoke({ sessionId: 'sa' }, { at: NOW + 1, reason: 'logout' })
    await store.revoke({ userId: 'bob' }, { at: NOW + 2, reason: 'logout-all' })
    await store.rotate(attempt('sb', 0, NOW + 20 * DAY))
    await store.touch([{ sessionId: 'sb', lastUsedAt: NOW + 21 * DAY, confirmedGeneration: 1 }])
    t.strictSame(
      await keysOf(redis, prefix),
      [
        'ends',
        'not-before',
        'revocations',
        's:{sa}',
        's:{sb}',
        's:{sc}',
        'u:{ann}',
        'u:{bob}'
      ].map(name => prefix + name)
    )

    for (const name of ['s:{sa}', 's:{sb}', 's:{sc}', 'u:{ann}', 'u:{bob}']) {
      const timeToLive = await redis.pttl(prefix + name)
      t.ok(
        timeToLive > 31 * DAY - HOUR && timeToLive <= 31 * DAY,
        `${name}: a day after the absolute end`
      )
    }

    t.equal(await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 100 }), 4)
    t.strictSame(await keysOf(redis, prefix), [])
  })

  await t.test('rotation moves no index', async t => {
    const prefix = newPrefix()
    const seen: string[] = []
    const store = new RedisStore(
      hooked(redis, (call, send) => {
        seen.push(`${call.name} ${call.key.slice(prefix.length)}`)
        return send()
      }),
      { prefix }
    )
    await store.create(makeSession('sa'))
    seen.length = 0
    await store.rotate(attempt('sa', 0, NOW + 1))
    await store.rotate(attempt('sa', 0, NOW + 2))
    t.strictSame(seen, ['rotate s:{sa}', 'rotate s:{sa}'])
  })

  await t.test('null is kept apart from an empty text, and odd texts stay', async t => {
    const store = new RedisStore(redis, { prefix: newPrefix() })
    const device = { label: '', address: null, userAgent: '"\\\n{}🦊\0' }
    const session = makeSession('s}{ "🦊"\n', {
      userId: '',
      device,
      rotatedBy: { address: '', userAgent: null }
    })
    await store.create(session)
    t.strictSame(await store.find(session.id), session)
    t.strictSame(await store.list('', { now: NOW, limit: 1 }), [session])
    t.equal(await store.revoke({ userId: '' }, { at: 7, reason: 'revoked' }), 1)
    t.strictSame(await store.revocations(START, 1), [{ at: 7, sessionId: session.id }])
    t.strictSame(await store.revocations({ at: -1, sessionId: 's' }, 1), [{
      at: 7,
      sessionId: session.id
    }])
  })

  await t.test('times up to the greatest whole number', async t => {
    const store = new RedisStore(nodeRedis, { prefix: newPrefix() })
    const last = Number.MAX_SAFE_INTEGER
    const session = makeSession('s', {
      generation: last - 1,
      createdAt: last - 9,
      authenticatedAt: last - 9,
      rotatedAt: last - 9,
      expiresAt: last - 1,
      endsAt: last
    })
    await store.create(session)
    const late = attempt('s', last - 1, last - 2)
    t.strictSame(await store.rotate(late), { swapped: true, session: applyRotation(session, late) })
    await store.revoke({ sessionId: 's' }, { at: last - 1, reason: 'logout' })
    t.strictSame(await store.revocations({ at: last - 2, sessionId: 'z' }, 1), [{
      at: last - 1,
      sessionId: 's'
    }])
  })

  await t.test('clients that are set up otherwise', async t => {
    const prefixed = new Redis(redisUrl, {
      keyPrefix: `${newPrefix()}outer:`,
      stringNumbers: true,
      enableAutoPipelining: true
    })
    const older = createClient({ url: redisUrl, RESP: 2 })
    await older.connect()
    t.teardown(() => {
      prefixed.disconnect()
      older.destroy()
    })
    const clients: Record<string, RedisClient> = {
      'ioredis with a prefix, numbers as text and automatic pipelines': prefixed,
      'node-redis that speaks RESP2': older,
      'node-redis that gives buffers': nodeRedis.withTypeMapping({
        [RESP_TYPES.BLOB_STRING]: Buffer
      })
    }

    for (const [name, client] of Object.entries(clients)) {
      const store = new RedisStore(client, { prefix: newPrefix() })
      const session = makeSession('sa')
      await store.create(session)
      const first = attempt('sa', 0, NOW + 1)
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

  await t.test('a server that has forgotten the scripts is given them again', async t => {
    for (const client of [redis, nodeRedis]) {
      const store = new RedisStore(client, { prefix: newPrefix() })
      await store.create(makeSession('sa'))

      for (let generation = 0; generation < 20; generation++) {
        const now = NOW + generation + 1
        const [, ...outcomes] = await Promise.all([
          redis.script('FLUSH'),
          ...Array.from({ length: 5 }, () => store.rotate(attempt('sa', generation, now)))
        ])
        t.equal(outcomes.filter(outcome => outcome.swapped).length, 1)
      }
    }
  })

  await t.test('whoever listens hears of a revocation at once, until it stops', async t => {
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

      let heard = (): void => {}

      const hears = (): Promise<void> =>
        new Promise(resolve => {
          heard = resolve
        })
      const stop = await listenForRevocations(subscriber, { prefix })(() => {
        heard()
      })

      const first = hears()
      await store.revoke({ sessionId: 'sa' }, { at: NOW, reason: 'logout' })
      await first
      const second = hears()
      await store.revoke({ userId: 'ann', keep: 'sc' }, { at: NOW, reason: 'logout-all' })
      await second

      heard = () => {
        t.fail('nobody listens any more')
      }

      await stop()
      t.equal(await store.revoke({ sessionId: 'sc' }, { at: NOW, reason: 'logout' }), 1)
      t.equal(await redis.publish(`${prefix}revoked`, ''), 0)
    }
  })

  await t.test('a hint that cannot be sent takes nothing from the revocation', async t => {
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

  await t.test('any other error is the caller\'s', async t => {
    const prefix = newPrefix()
    await redis.set(`${prefix}s:{sa}`, 'not a hash')

    for (const client of [redis, nodeRedis]) {
      await t.rejects(new RedisStore(client, { prefix }).find('sa'), /WRONGTYPE/)
    }
  })

  await t.test('a creation that a driver sends twice, its connection having been cut, succeeds', async t => {
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

  await t.test('a user of many sessions, page by page', async t => {
    const store = new RedisStore(nodeRedis, { prefix: newPrefix() })
    const ids = Array.from({ length: 1203 }, (_, i) => `s${String(i).padStart(5, '0')}`)
    await Promise.all(ids.map(id => store.create(makeSession(id))))
    t.equal((await store.list('ann', { now: NOW, limit: 2000 })).length, 1203)
    t.equal(
      await store.revoke({ userId: 'ann', keep: 's00700' }, { at: NOW, reason: 'revoked' }),
      1202
    )
    t.strictSame((await store.list('ann', { now: NOW, limit: 2000 })).map(({ id }) => id), [
      's00700'
    ])
    const expected = ids.filter(id => id !== 's00700').map(sessionId => ({ at: NOW, sessionId }))
    t.strictSame(await store.revocations(START, 5000), expected)
    t.strictSame(
      await store.revocations({ at: NOW, sessionId: 's00000' }, 700),
      expected.slice(1, 701)
    )
    t.equal(await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 1203 }), 1203)
    t.equal(await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 1203 }), 1)
  })
})

t.test('on a cluster of three', { skip }, async t => {
  const servers = await startCluster()

  if (servers === null) {
    t.comment('left out: there is no redis-server to start')
    return
  }

  const { ports, stop } = servers
  const ioredis = new Cluster(ports.map(port => ({ host: '127.0.0.1', port })))
  const nodeRedis = createCluster({
    rootNodes: ports.map(port => ({ url: `redis://127.0.0.1:${port}` }))
  })
  await nodeRedis.connect()
  t.teardown(async () => {
    ioredis.disconnect()
    nodeRedis.destroy()
    await stop()
  })
  testTokenStore({
    test: (name, run) => t.test(name, run),
    open: () => {
      const prefix = randomPrefix()

      return {
        store: new RedisStore(ioredis, { prefix }),
        other: new RedisStore(nodeRedis, { prefix })
      }
    }
  })
})
