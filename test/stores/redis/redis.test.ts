import t from 'tap'
import { applyRotation } from '../../../src/domain/rotation.js'
import { DAY, HOUR, MINUTE } from '../../../src/lib/time.js'
import {
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession
} from '../../../src/stores/conformance/harness.js'
import { testTokenStore } from '../../../src/stores/conformance/token-store.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { RedisKeys } from '../../../src/stores/redis/keys.js'
import { deleteKeys, hooked, keysOf, whyNoRedis } from '../../helpers/databases/redis.js'
import type { Call } from '../../helpers/databases/redis.js'
import { connectRedisClients, planAttempt } from './redis-helpers.js'

const skip = await whyNoRedis()
const LATER = NOW + 60 * DAY

t.test('one server', { skip }, async t => {
  const { redis, nodeRedis, newPrefix } = await connectRedisClients(t)

  await t.test('passes the conformance suite with ioredis and node-redis', async t => {
    testTokenStore({
      test: (name, run) => t.test(name, run),
      open: () => {
        const prefix = newPrefix()

        return {
          store: new RedisStore(redis, { prefix }),
          other: new RedisStore(nodeRedis, { prefix }),
          close: () => deleteKeys(redis, prefix)
        }
      }
    })
  })

  /** Returns a store, and the calls that it sends. */
  function openRecorded (): { store: RedisStore, prefix: string, calls: Call[] } {
    const prefix = newPrefix()
    const calls: Call[] = []
    const client = hooked(redis, (call, send) => {
      calls.push(call)
      return send()
    })
    return { store: new RedisStore(client, { prefix }), prefix, calls }
  }

  await t.test('sessions and their users have a TTL, and a sweep deletes all keys', async t => {
    const prefix = newPrefix()
    const store = new RedisStore(nodeRedis, { prefix })
    const keys = new RedisKeys(prefix)
    const a = await saveSession(store)
    const b = await saveSession(store)
    const c = await saveSession(store, { userId: 'bob' })
    const kept = [
      ...[a, b, c].map(({ id }) => keys.session(id)),
      keys.user(REALM, 'ann'),
      keys.user(REALM, 'bob')
    ]
    await store.revoke({ realm: REALM, sessionId: a.id }, { at: NOW + 1, reason: 'logout' })
    await store.revoke({ realm: REALM, userId: 'bob' }, { at: NOW + 2, reason: 'logout-all' })
    await store.rotate(planAttempt(b, 0, NOW + 20 * DAY))

    for (const key of kept) {
      const timeToLive = await redis.pttl(key)
      t.ok(
        timeToLive > 31 * DAY - HOUR && timeToLive <= 31 * DAY,
        `${key}: 1 day after the absolute end`
      )
    }

    const names = (await keysOf(redis, prefix)).map(key => key.slice(prefix.length))
    t.ok(names.every(name => /^\{\d\d?\}:/.test(name)), 'each key has the hash tag of a shard')
    t.equal(await store.sweep({ endedBefore: LATER, limit: 100 }), 6)
    const left = await keysOf(redis, prefix)
    t.ok(left.every(key => key.endsWith(':feed')), 'a stream keeps its last ID')
    t.same(await Promise.all(left.map(key => redis.xlen(key))), left.map(() => 0))
  })

  await t.test('a rotation sends three scripts together and writes the session only', async t => {
    const { store, prefix, calls } = openRecorded()
    const keys = new RedisKeys(prefix)
    const session = await saveSession(store)
    const dumps = async (): Promise<Record<string, string | null>> =>
      Object.fromEntries(
        await Promise.all(
          (await keysOf(redis, prefix)).map(async key => [
            key,
            key === keys.session(session.id) ? null : String(await redis.dump(key))
          ])
        )
      )
    const before = await dumps()
    calls.length = 0
    const rotating = store.rotate(planAttempt(session, 0, NOW + 1))
    t.strictSame(calls.map(({ name }) => name), ['rotate', 'HGETALL', 'HGET'])
    t.equal((await rotating).swapped, true)
    t.equal(calls.length, 3)
    t.strictSame(await dumps(), before)
  })

  await t.test('null, empty strings and special characters are saved unchanged', async t => {
    const store = new RedisStore(redis, { prefix: newPrefix() })
    const device = { label: '', address: null, userAgent: '"\\\n{}🦊\0' }
    const rotatedBy = { address: '', userAgent: null }
    const names = ['', ' ', ':', 'a:b', '%3A', '{1}', '}{ "🦊"\n\\', '漢字']

    for (const realm of names) {
      for (const userId of names) {
        const session = makeSession({ realm, userId, device, rotatedBy })
        await store.create(session)
        t.strictSame(await store.find(realm, session.id), session)
        t.strictSame(await store.list(realm, userId, { now: NOW, limit: 9 }), [session])
      }
    }

    const revocation = { at: 7, reason: 'revoked' } as const
    t.equal(await store.revoke({ realm: '', userId: '' }, revocation), 1)
    const before = NOW
    t.strictSame((await readFeed(store)).entries, [{
      realm: '',
      at: 7,
      reason: 'revoked',
      userId: '',
      before
    }])
    const odd = await saveSession(store, { id: 's}{ "🦊"\n' })
    const sessionId = odd.id
    t.equal(await store.revoke({ realm: REALM, sessionId }, revocation), 1)
    t.equal(await store.sweep({ endedBefore: LATER, limit: 999 }), names.length ** 2 + 1 + 1 + 2)
  })

  await t.test('numbers up to Number.MAX_SAFE_INTEGER are saved unchanged', async t => {
    const store = new RedisStore(nodeRedis, { prefix: newPrefix() })
    const last = Number.MAX_SAFE_INTEGER
    const session = await saveSession(store, {
      id: 's',
      generation: last - 1,
      createdAt: last - 9,
      authenticatedAt: last - 9,
      rotatedAt: last - 9,
      graceFrom: last - 9,
      lastUsedAt: last - 9,
      expiresAt: last - 1,
      endsAt: last,
      replayRun: { generation: last - 1, length: last }
    })
    const lastAttempt = planAttempt(session, last - 1, last - 2)
    const rotated = applyRotation(session, lastAttempt)
    t.strictSame(await store.rotate(lastAttempt), { swapped: true, session: rotated })
    const ofUser = { realm: REALM, userId: 'ann' }
    t.equal(await store.revoke(ofUser, { at: last - 10, reason: 'logout' }), 1)
    t.strictSame((await readFeed(store)).entries, [
      { ...ofUser, at: last - 10, reason: 'logout', before: last - 9 }
    ])
    t.strictSame(await store.find(REALM, 's'), {
      ...rotated,
      revokedAt: last - 10,
      revokedFor: 'logout'
    })
    t.equal(await store.sweep({ endedBefore: last, limit: 9 }), 1, 'only the entry of the feed')
  })

  await t.test('a user can have more sessions than one page of the store', async t => {
    const { store, prefix, calls } = openRecorded()
    const sessions = Array.from({ length: 1203 }, () => makeSession())
    await Promise.all(sessions.map(session => store.create(session)))
    const list = async (limit: number): Promise<string[]> =>
      (await store.list(REALM, 'ann', { now: NOW, limit })).map(({ id }) => id)
    const ids = sessions.map(({ id }) => id).reverse()
    t.strictSame(await list(2000), ids)
    const keep = ids[700] as string
    const target = { realm: REALM, userId: 'ann', keep }
    t.equal(await store.revoke(target, { at: NOW, reason: 'revoked' }), 1202)
    calls.length = 0
    t.strictSame(await list(5), [keep])
    t.equal(calls.filter(({ name }) => name === 'find').length, 1, 'reads no revoked session')
    t.equal((await readFeed(store)).entries.length, 1)
    t.equal(await store.sweep({ endedBefore: LATER, limit: 1203 }), 1203)
    t.equal(await store.sweep({ endedBefore: LATER, limit: 1203 }), 2)
    t.equal(await store.sweep({ endedBefore: LATER, limit: 1203 }), 0)
    t.equal(await redis.exists(new RedisKeys(prefix).user(REALM, 'ann')), 0)
  })

  await t.test('a list reads little more than it returns', async t => {
    const { store, calls } = openRecorded()
    const sessions = Array.from({ length: 300 }, (_, i) => makeSession({ createdAt: NOW + i }))
    await Promise.all(sessions.map(session => store.create(session)))

    const countReads = async (limit: number): Promise<[returned: number, read: number]> => {
      calls.length = 0
      const { length } = await store.list(REALM, 'ann', { now: NOW, limit })
      return [length, calls.filter(({ name }) => name === 'find').length]
    }

    t.strictSame(await countReads(5), [5, 15])
    await store.revoke({ realm: REALM }, { at: NOW + 297, reason: 'revoked' })
    t.strictSame(await countReads(5), [2, 15], 'stops at the not-before of the realm')
  })

  await t.test('a rotation of a session that a not-before ends is undone', async t => {
    const { store, calls } = openRecorded()
    const session = await saveSession(store, { generation: 3, graceFrom: NOW - MINUTE })
    await store.revoke({ realm: REALM }, { at: NOW + 1, reason: 'revoked' })
    const ended = { ...session, revokedAt: NOW + 1, revokedFor: 'revoked' }
    const outcome = await store.rotate(planAttempt(session, 3, NOW + 2))
    t.strictSame(outcome, { swapped: false, session: ended })
    t.ok(calls.some(({ name }) => name === 'undoRotation'))
    t.strictSame(await store.find(REALM, session.id), ended)
  })
})
