// No step of the Redis store covers two keys. Here one call is held, or the connection breaks, at
// each place in between.

import { Redis } from 'ioredis'
import t from 'tap'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { SessionRefusedError } from '../../../src/stores/token-store.js'
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
import { DAY } from '../../../src/lib/time.js'
import { makeSession, NOW } from '../../../src/stores/conformance/harness.js'
import type { Hook } from '../../helpers/databases/redis.js'

const START = { at: 0, sessionId: '' }
const LATER = NOW + 60 * DAY
const logoutAll = (at: number): { at: number, reason: 'logout-all' } => ({
  at,
  reason: 'logout-all'
})

t.test('orders of calls', { skip: await whyNoRedis() }, async t => {
  const redis = new Redis(redisUrl)
  const prefixes: string[] = []
  t.teardown(async () => {
    for (const prefix of prefixes) {
      await deleteKeys(redis, prefix)
    }

    redis.disconnect()
  })

  /**
   * Stores on the same data: one as it is, and others whose calls go through hooks, the first the
   * nearest to Redis.
   */
  function open (): {
    prefix: string
    store: RedisStore
    by: (...hooks: Hook[]) => RedisStore
    left: () => Promise<string[]>
  } {
    const prefix = randomPrefix()
    prefixes.push(prefix)

    return {
      prefix,
      store: new RedisStore(redis, { prefix }),
      by: (...hooks) => new RedisStore(hooks.reduce(hooked, redis), { prefix }),
      left: async () => (await keysOf(redis, prefix)).map(key => key.slice(prefix.length))
    }
  }

  function onCall (n: number): () => boolean {
    let seen = 0
    return () => seen++ === n
  }

  /**
   * Holds a creation before each of its calls, and lists and revokes the user's sessions meanwhile
   * or afterwards.
   * @returns The orders that leave a session alive.
   */
  async function outliving (
    mutant: { creator?: () => Hook, lister?: () => Hook } = {}
  ): Promise<string[]> {
    const orders: string[] = []

    for (const when of ['meanwhile', 'afterwards']) {
      for (let call = 0, held = true; held; call++) {
        const { store, by, left } = open()
        const { hook, reached, release } = pausing(onCall(call))
        const creating = by(hook, ...mutant.creator ? [mutant.creator()] : []).create(
          makeSession('sa')
        ).then(
          () => 'created',
          (error: unknown) => error instanceof SessionRefusedError ? error.reason : String(error)
        )
        held = await Promise.race([reached.then(() => true), creating.then(() => false)])
        await by(...mutant.lister ? [mutant.lister()] : []).list('ann', { now: NOW, limit: 1 })

        if (when === 'meanwhile') {
          await store.revoke({ userId: 'ann' }, logoutAll(NOW))
        }

        release()
        const result = await creating

        if (when === 'afterwards') {
          await store.revoke({ userId: 'ann' }, logoutAll(NOW))
        }

        const alive = await store.find('sa')

        if (alive !== null && alive.revokedAt === null) {
          orders.push(`${when}, before call ${call}`)
        }

        if (result === 'revoked-since') {
          t.strictSame(await left(), ['not-before'], 'a refused session leaves nothing')
        }

        if (result !== 'created' && result !== 'revoked-since') {
          throw new Error(result)
        }
      }
    }

    return orders
  }

  await t.test('create and revoke of the user: no session of before outlives it, wherever one is held', async t => {
    t.strictSame(await outliving(), [])
  })

  await t.test('the same without one of the precautions: it is seen', async t => {
    t.not(
      (await outliving({
        creator: () => async (call, send) => call.name === 'ZSCORE' ? null : send()
      })).length,
      0,
      'not reading the not-before after the session is written'
    )

    t.not(
      (await outliving({
        creator: () => {
          let index: (() => Promise<unknown>) | undefined

          return async (call, send) => {
            if (call.name === 'index') {
              index = send
              return 1
            }

            const reply = await send()

            if (call.name === 'ZSCORE') {
              await index?.()
            }

            return reply
          }
        }
      })).length,
      0,
      'writing the index last'
    )

    t.not(
      (await outliving({
        lister: () => async (call, send) => {
          const reply = await send()

          return call.values.includes('WITHSCORES')
            ? (reply as string[]).map((text, i) => i % 2 ? '0' : text)
            : reply
        }
      })).length,
      0,
      'removing ids from the index whose session is not there yet'
    )
  })

  await t.test('two revocations at different moments: the feed shows the one that stands, and it alone', async t => {
    const { prefix, store, by } = open()
    await store.create(makeSession('sa'))
    const { hook, reached, release } = pausing(call => call.name === 'revoke')
    const first = by(hook).revoke({ sessionId: 'sa' }, { at: NOW + 1, reason: 'reuse' })
    await reached
    t.strictSame(await store.revocations(START, 9), [], 'not before the session is revoked')
    t.equal(await store.revoke({ sessionId: 'sa' }, { at: NOW + 2, reason: 'logout' }), 1)
    t.strictSame(await store.revocations(START, 9), [{ at: NOW + 2, sessionId: 'sa' }])
    release()
    t.equal(await first, 0)
    t.strictSame(await store.revocations(START, 9), [{ at: NOW + 2, sessionId: 'sa' }])
    t.equal((await store.find('sa'))?.revokedFor, 'logout')
    t.equal(await redis.zcard(`${prefix}revocations`), 1, 'and nothing else is left in it')
  })

  await t.test('an id of another user that is refused and breaks off gives no power over that session', async t => {
    const { store, by } = open()
    const session = makeSession('sa')
    await store.create(session)
    await t.rejects(
      by(breaking(call => call.name === 'ZREM')).create(makeSession('sa', { userId: 'bob' })),
      /broken/
    )
    t.strictSame(await store.list('bob', { now: NOW, limit: 9 }), [])
    t.equal(await store.revoke({ userId: 'bob' }, logoutAll(NOW)), 0)
    t.strictSame(await store.find('sa'), session)
  })

  await t.test('a revocation that breaks off, once before each of its calls, can be repeated', async t => {
    for (let call = 0, broke = true; broke; call++) {
      const { store, by, left } = open()
      await store.create(makeSession('sa'))
      await store.create(makeSession('sb'))
      broke = await by(breaking(onCall(call))).revoke({ userId: 'ann' }, logoutAll(NOW + 1)).then(
        () => false,
        () => true
      )

      for (const revocation of await store.revocations(START, 9)) {
        t.equal((await store.find(revocation.sessionId))?.revokedAt, revocation.at)
      }

      await store.revoke({ userId: 'ann' }, logoutAll(NOW + 2))
      t.strictSame((await store.revocations(START, 9)).map(({ sessionId }) => sessionId).sort(), [
        'sa',
        'sb'
      ])
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), 3)
      t.strictSame(await left(), [], `broken off before call ${call}`)
    }
  })

  await t.test('a creation that breaks off leaves nothing for long', async t => {
    for (let call = 0, broke = true; broke; call++) {
      const { store, by, left } = open()
      const result = by(breaking(onCall(call))).create(
        makeSession('sa', { revokedAt: NOW, revokedFor: 'logout' })
      )
      broke = await result.then(() => false, () => true)
      const written = await store.find('sa') !== null
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), written ? 1 : 0)
      t.strictSame(await store.list('ann', { now: LATER, limit: 9 }), [])
      t.strictSame(await left(), [], `broken off before call ${call}`)
    }
  })

  await t.test('a sweep that breaks off counts nothing twice and is finished by the next', async t => {
    for (let call = 0, broke = true; broke; call++) {
      const { store, by, left } = open()
      await store.create(makeSession('sa', { revokedAt: NOW, revokedFor: 'logout' }))
      await store.create(makeSession('sb'))
      broke = await by(breaking(onCall(call))).sweep({ endedBefore: LATER, limit: 9 }).then(
        () => false,
        () => true
      )
      const there = [await store.find('sa'), await store.find('sb')].filter(session =>
        session !== null
      ).length
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), there)
      t.strictSame(await store.list('ann', { now: LATER, limit: 9 }), [])
      t.strictSame(await left(), [], `broken off before call ${call}`)
    }
  })

  await t.test('a sweep meets a session that rotates meanwhile: it stays', async t => {
    const { store, by } = open()
    const session = makeSession('sa', { expiresAt: NOW + 1 })
    await store.create(session)
    const { hook, reached, release } = pausing(call => call.name === 'sweep')
    const sweeping = by(hook).sweep({ endedBefore: NOW + 2, limit: 9 })
    await reached
    const { swapped } = await store.rotate({
      sessionId: 'sa',
      secretHash: session.secretHash,
      generation: 0,
      now: NOW,
      expiresAt: NOW + DAY,
      rotatedBefore: NOW,
      rotatedAfter: NOW,
      by: session.rotatedBy
    })
    release()
    t.ok(swapped)
    t.equal(await sweeping, 0)
    t.equal(await store.revoke({ userId: 'ann' }, logoutAll(NOW)), 1)
  })

  await t.test('a not-before that moves forward while it is swept stays', async t => {
    const { store } = open()

    for (let round = 0; round < 100; round++) {
      const at = NOW + 2 * round
      await store.revoke({ userId: 'ann' }, logoutAll(at))
      await Promise.all([
        store.sweep({ endedBefore: at + 1, limit: 9 }),
        store.revoke({ userId: 'ann' }, logoutAll(at + 1))
      ])
      await t.rejects(
        store.create(makeSession('sa', { authenticatedAt: at + 1 })),
        new SessionRefusedError('revoked-since')
      )
    }
  })
})
