import { Redis } from 'ioredis'
import t from 'tap'
import type { Session } from '../../../src/domain/session.js'
import { DAY, HOUR } from '../../../src/lib/time.js'
import {
  assertRefused,
  makeSession,
  NOW,
  readFeed,
  REALM,
  saveSession,
  saveSessions
} from '../../../src/stores/conformance/harness.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { RedisKeys } from '../../../src/stores/redis/keys.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
import type { RevocationDetails } from '../../../src/stores/token-store.js'
import {
  breaking,
  deleteKeys,
  hooked,
  keysOf,
  pausing,
  randomPrefix,
  redisUrl,
  whyNoRedis
} from '../../helpers/databases/redis.js'
import type { Hook } from '../../helpers/databases/redis.js'
import { planAttempt } from './redis-helpers.js'

const LATER = NOW + 60 * DAY
const ann = { realm: REALM, userId: 'ann' } as const
const page = { now: NOW, limit: 9 } as const
const logoutAll = (at: number): RevocationDetails => ({ at, reason: 'logout-all' })

// The store changes one shard per call, so another client can act between any two calls.
t.test('interleaved and interrupted calls', { skip: await whyNoRedis() }, async t => {
  const redis = new Redis(redisUrl)
  const prefixes: string[] = []
  t.teardown(async () => {
    for (const prefix of prefixes) {
      await deleteKeys(redis, prefix)
    }

    redis.disconnect()
  })

  /** Opens a store and creates further stores on the same data with hooks around their calls. */
  function open (): {
    keys: RedisKeys
    store: RedisStore
    withHooks: (...hooks: Hook[]) => RedisStore
    /** Lists the keys without empty streams, which keep the last ID. */
    listKeys: () => Promise<string[]>
  } {
    const prefix = randomPrefix()
    prefixes.push(prefix)

    return {
      keys: new RedisKeys(prefix),
      store: new RedisStore(redis, { prefix }),
      withHooks: (...hooks) => new RedisStore(hooks.reduce(hooked, redis), { prefix }),
      listKeys: async () => {
        const keys: string[] = []

        for (const key of await keysOf(redis, prefix)) {
          if (!key.endsWith(':feed') || await redis.xlen(key) > 0) {
            keys.push(key.slice(prefix.length))
          }
        }

        return keys
      }
    }
  }

  /** Matches the call with the given index. */
  function matchCall (index: number): () => boolean {
    let count = 0
    return () => count++ === index
  }

  /** Runs an operation once for each of its calls, and interrupts it before this call. */
  async function interrupt (
    run: (call: number, hook: Hook) => Promise<boolean>
  ): Promise<void> {
    for (let call = 0, isBroken = true; isBroken; call++) {
      isBroken = await run(call, breaking(matchCall(call)))
    }
  }

  /**
   * Pauses a creation before each of its calls. Lists the user's sessions, and revokes them during
   * or after the pause.
   *
   * @returns The orders of calls that leave a valid session, and those that leave a session which
   * is not marked.
   */
  async function findUnsafeOrders (
    creator: Hook = (_, send) => send()
  ): Promise<{ valid: string[], unmarked: string[] }> {
    const found = { valid: [] as string[], unmarked: [] as string[] }

    for (const when of ['during', 'after']) {
      for (let call = 0, isPaused = true; isPaused; call++) {
        const { keys, store, withHooks, listKeys } = open()
        const session = makeSession()
        const { hook, reached, release } = pausing(matchCall(call))
        const creating = withHooks(hook, creator).create(session).then(
          () => 'created',
          (error: unknown) => error instanceof SessionRefusedError ? error.reason : String(error)
        )
        isPaused = await Promise.race([reached.then(() => true), creating.then(() => false)])
        await store.list(REALM, 'ann', page)

        if (when === 'during') {
          await store.revoke(ann, logoutAll(NOW))
        }

        release()
        const result = await creating

        if (when === 'after') {
          await store.revoke(ann, logoutAll(NOW))
        }

        const order = `revoked ${when} the pause before call ${call}`
        const after = await store.find(REALM, session.id)

        if (after !== null && after.revokedAt === null) {
          found.valid.push(order)
        }

        if (after !== null && await redis.hget(keys.session(session.id), 'revokedAt') === null) {
          found.unmarked.push(order)
        }

        if (result === 'revoked-since') {
          const left = (await listKeys()).map(key => key.replace(/^\{\d+\}:/, '')).sort()
          const expected = ['feed', 'n:test:ann', 'not-befores']
          t.strictSame(left, expected, 'a rejected session leaves no keys')
        } else if (result !== 'created') {
          throw new Error(result)
        }
      }
    }

    return found
  }

  await t.test('no order of create and revoke leaves a valid session', async t => {
    t.strictSame(await findUnsafeOrders(), { valid: [], unmarked: [] })
  })

  await t.test('the test detects a create that reads the not-befores too early', async t => {
    const { unmarked } = await findUnsafeOrders(async (call, send) => {
      if (call.name !== 'addToUser') {
        return send()
      }

      const notBefores = await redis.hgetall(call.key.replace('}:u:', '}:n:'))
      await send()
      return Object.entries(notBefores).flat()
    })
    t.not(unmarked.length, 0)
  })

  await t.test('the feed has only the effective one of two concurrent revocations', async t => {
    const { store, withHooks } = open()
    const { id: sessionId } = await saveSession(store)
    const target = { realm: REALM, sessionId }
    const { hook, reached, release } = pausing(call => call.name === 'revoke')
    const first = withHooks(hook).revoke(target, { at: NOW + 1, reason: 'reuse' })
    await reached
    t.strictSame((await readFeed(store)).entries, [], 'the session is not revoked yet')
    t.equal(await store.revoke(target, { at: NOW + 2, reason: 'logout' }), 1)
    release()
    t.equal(await first, 0)
    t.strictSame((await readFeed(store)).entries, [
      { ...target, at: NOW + 2, reason: 'logout', userId: 'ann' }
    ])
    t.equal((await store.find(REALM, sessionId))?.revokedFor, 'logout')
  })

  await t.test('an interrupted create with a taken ID gives no access to that session', async t => {
    await interrupt(async (call, hook) => {
      const { store, withHooks } = open()
      const session = await saveSession(store)
      const again = makeSession({ id: session.id, userId: 'bob' })
      const error = await withHooks(hook).create(again).catch((error: unknown) => error)
      t.strictSame(await store.list(REALM, 'bob', page), [])
      t.equal(await store.revoke({ ...ann, userId: 'bob' }, logoutAll(NOW)), 0)
      t.strictSame(await store.find(REALM, session.id), session, `before call ${call}`)
      return !(error instanceof SessionRefusedError)
    })
  })

  await t.test('a list removes a session of another user from the index', async t => {
    const { keys, store } = open()
    const session = await saveSession(store)
    const index = keys.user(REALM, 'bob')
    await redis.zadd(index, NOW, session.id, NOW, 'gone')
    t.strictSame(await store.list(REALM, 'bob', page), [])
    t.equal(await redis.exists(index), 0)
  })

  await t.test('an interrupted revocation of a user leaves no valid session', async t => {
    await interrupt(async (call, hook) => {
      const { store, withHooks, listKeys } = open()
      const sessions = await saveSessions(store, {}, {}) as [Session, Session]
      const isBroken = await withHooks(hook).revoke(ann, logoutAll(NOW + 1))
        .then(() => false, () => true)
      const { entries } = await readFeed(store)
      t.equal(entries.length, call === 0 ? 0 : 1, 'the entry comes first')
      const expected = call === 0 ? null : NOW + 1

      for (const session of sessions) {
        t.equal((await store.find(REALM, session.id))?.revokedAt, expected, `before call ${call}`)

        if (call > 0) {
          const { swapped, session: after } = await store.rotate(planAttempt(session, 0, NOW + 9))
          t.strictSame([swapped, after?.revokedAt, after?.generation], [false, NOW + 1, 0])
        }
      }

      t.strictSame((await store.list(REALM, 'ann', page)).length, call === 0 ? 2 : 0)
      await store.revoke(ann, logoutAll(NOW + 2))

      for (const session of sessions) {
        const { revokedAt } = await store.find(REALM, session.id) as Session
        t.equal(revokedAt, expected ?? NOW + 2, 'the first revocation counts')
      }

      await store.sweep({ endedBefore: LATER, limit: 99 })
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
      return isBroken
    })
  })

  await t.test('a list repairs the index after an interrupted revocation', async t => {
    await interrupt(async (call, hook) => {
      const { keys, store, withHooks } = open()
      const { id: sessionId } = await saveSession(store)
      const target = { realm: REALM, sessionId }
      const result = await withHooks(hook).revoke(target, { at: NOW, reason: 'logout' })
        .catch(() => 'broken')
      const isRevoked = (await store.find(REALM, sessionId))?.revokedAt === NOW
      t.equal((await readFeed(store)).entries.length, isRevoked ? 1 : 0)
      t.equal(result, isRevoked ? 1 : 'broken', 'a failure means that nothing is revoked')
      t.equal((await store.list(REALM, 'ann', page)).length, isRevoked ? 0 : 1)
      const score = Number(await redis.zscore(keys.user(REALM, 'ann'), sessionId))
      t.equal(score, isRevoked ? -NOW - 1 : NOW)
      const isComplete = isRevoked && call === 4
      return !isComplete
    })
  })

  await t.test('a sweep deletes the keys of an interrupted creation', async t => {
    await interrupt(async (call, hook) => {
      const { store, withHooks, listKeys } = open()
      const session = makeSession({ revokedAt: NOW, revokedFor: 'logout' })
      const isBroken = await withHooks(hook).create(session).then(() => false, () => true)
      const written = await store.find(REALM, session.id) !== null
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), written ? 1 : 0)
      t.strictSame(await store.list(REALM, 'ann', { now: LATER, limit: 9 }), [])
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
      return isBroken
    })
  })

  await t.test('the next sweep completes an interrupted sweep without counting twice', async t => {
    await interrupt(async (call, hook) => {
      const { keys, store, withHooks, listKeys } = open()
      await saveSessions(store, { revokedAt: NOW, revokedFor: 'logout' }, {})
      await store.revoke(ann, logoutAll(NOW))
      const isBroken = await withHooks(hook).sweep({ endedBefore: LATER, limit: 99 })
        .then(() => false, () => true)
      const left = (await listKeys()).filter(key => /:(?:s:.*|n:.*|feed)$/.test(key)).length
      t.equal(await store.sweep({ endedBefore: LATER, limit: 99 }), left)
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
      t.equal(await redis.exists(keys.user(REALM, 'ann')), 0)
      return isBroken
    })
  })

  for (const step of ['findExpired', 'moveInUser', 'deleteExpired']) {
    await t.test(`a sweep keeps a session that is healed before the call ${step}`, async t => {
      const { store, withHooks } = open()
      const session = await saveSession(store, { expiresAt: NOW + 1 })
      const { hook, reached, release } = pausing(call => call.name === step)
      const sweeping = withHooks(hook).sweep({ endedBefore: NOW + 2, limit: 9 })
      await reached
      const attempt = { ...planAttempt(session, 0, NOW + HOUR), heals: true, to: 5 }
      const { swapped, session: healed } = await store.rotate(attempt)
      release()
      t.ok(swapped)
      t.equal(await sweeping, 0)
      t.strictSame(await store.list(REALM, 'ann', page), [healed])
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), 1)
    })
  }

  await t.test('a sweep keeps a not-before that is recorded during the sweep', async () => {
    const { store } = open()

    for (let round = 0; round < 100; round++) {
      const at = NOW + 2 * round
      await store.revoke(ann, logoutAll(at))
      await Promise.all([
        store.sweep({ endedBefore: at + 1, limit: 9 }),
        store.revoke(ann, logoutAll(at + 1))
      ])
      const early = makeSession({ authenticatedAt: at + 1 })
      await assertRefused('revoked-since', store.create(early), at + 1)
    }
  })

  await t.test('a sweep examines a not-before again only after a session has ended', async t => {
    const { store, withHooks } = open()
    await saveSession(store, { createdAt: NOW - 9 * DAY, expiresAt: NOW + DAY })
    await store.revoke(ann, logoutAll(NOW - 8 * DAY))
    let examined = 0
    const counting = withHooks((call, send) => {
      examined += call.name === 'sweepNotBefore' ? 1 : 0
      return send()
    })

    for (const [endedBefore, expected] of [[NOW, 1], [NOW + 1, 1], [NOW + DAY, 1]] as const) {
      await counting.sweep({ endedBefore, limit: 99 })
      t.equal(examined, expected)
    }

    t.equal(await counting.sweep({ endedBefore: NOW + DAY + 1, limit: 99 }), 2)
    t.equal(examined, 2)
  })
})
