import { Cluster } from 'ioredis'
import { createCluster } from 'redis'
import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import { DAY, HOUR } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import {
  deleteKeys,
  hooked,
  keysOf,
  randomPrefix,
  startCluster,
  whyNoRedis
} from '../../helpers/databases/redis.js'
import { connectRedisClients, planAttempt, START } from './redis-helpers.js'

const skip = await whyNoRedis()

t.test('one server', { skip }, async t => {
  const { redis, nodeRedis, newPrefix } = await connectRedisClients(t)

  const pairs = [['ioredis and node-redis', redis, nodeRedis], [
    'node-redis and ioredis',
    nodeRedis,
    redis
  ]] as const

  for (const [pair, one, two] of pairs) {
    await t.test(`passes the conformance suite with ${pair}`, async t => {
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

  await t.test('keys of sessions have hash tags and a TTL, and a sweep deletes them', async t => {
    const prefix = newPrefix()
    const store = new RedisStore(nodeRedis, { prefix })

    for (const [id, userId] of [['sa', 'ann'], ['sb', 'ann'], ['sc', 'bob']] as const) {
      await store.create(makeSession(id, { userId }))
    }

    await store.revoke({ sessionId: 'sa' }, { at: NOW + 1, reason: 'logout' })
    await store.revoke({ userId: 'bob' }, { at: NOW + 2, reason: 'logout-all' })
    await store.rotate(planAttempt('sb', 0, NOW + 20 * DAY))
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
        `${name}: 1 day after the absolute end`
      )
    }

    t.equal(await store.sweep({ endedBefore: NOW + 60 * DAY, limit: 100 }), 4)
    t.strictSame(await keysOf(redis, prefix), [])
  })

  await t.test('a rotation changes only the key of the session', async t => {
    const prefix = newPrefix()
    const calls: string[] = []
    const store = new RedisStore(
      hooked(redis, (call, send) => {
        calls.push(`${call.name} ${call.key.slice(prefix.length)}`)
        return send()
      }),
      { prefix }
    )
    await store.create(makeSession('sa'))
    calls.length = 0
    await store.rotate(planAttempt('sa', 0, NOW + 1))
    await store.rotate(planAttempt('sa', 0, NOW + 2))
    t.strictSame(calls, ['rotate s:{sa}', 'rotate s:{sa}'])
  })

  await t.test('null, empty strings and special characters are saved unchanged', async t => {
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

  await t.test('numbers up to Number.MAX_SAFE_INTEGER are saved unchanged', async t => {
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
    const lastAttempt = planAttempt('s', last - 1, last - 2)
    t.strictSame(await store.rotate(lastAttempt), {
      swapped: true,
      session: applyRotation(session, lastAttempt)
    })
    await store.revoke({ sessionId: 's' }, { at: last - 1, reason: 'logout' })
    t.strictSame(await store.revocations({ at: last - 2, sessionId: 'z' }, 1), [{
      at: last - 1,
      sessionId: 's'
    }])
  })

  await t.test('a user can have more sessions than one page of the store', async t => {
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

t.test('a cluster of three servers passes the conformance suite', { skip }, async t => {
  const servers = await startCluster()

  if (servers === null) {
    t.comment('skipped: no redis-server found')
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
