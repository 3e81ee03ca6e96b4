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

// The store changes one key per call, so another client can act between any two calls.
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
    prefix: string
    store: RedisStore
    withHooks: (...hooks: Hook[]) => RedisStore
    listKeys: () => Promise<string[]>
  } {
    const prefix = randomPrefix()
    prefixes.push(prefix)

    return {
      prefix,
      store: new RedisStore(redis, { prefix }),
      withHooks: (...hooks) => new RedisStore(hooks.reduce(hooked, redis), { prefix }),
      listKeys: async () => (await keysOf(redis, prefix)).map(key => key.slice(prefix.length))
    }
  }

  /** Matches the call with the given index. */
  function matchCall (index: number): () => boolean {
    let count = 0
    return () => count++ === index
  }

  /**
   * Pauses a creation before each of its calls. Revokes the user's sessions during or after it.
   *
   * @returns The orders of calls that leave a valid session.
   */
  async function findUnsafeOrders (
    mutant: { creator?: () => Hook, lister?: () => Hook } = {}
  ): Promise<string[]> {
    const orders: string[] = []

    for (const when of ['during', 'after']) {
      for (let call = 0, isPaused = true; isPaused; call++) {
        const { store, withHooks, listKeys } = open()
        const { hook, reached, release } = pausing(matchCall(call))
        const creating = withHooks(hook, ...mutant.creator ? [mutant.creator()] : []).create(
          makeSession('sa')
        ).then(
          () => 'created',
          (error: unknown) => error instanceof SessionRefusedError ? error.reason : String(error)
        )
        isPaused = await Promise.race([reached.then(() => true), creating.then(() => false)])
        await withHooks(...mutant.lister ? [mutant.lister()] : []).list('ann', {
          now: NOW,
          limit: 1
        })

        if (when === 'during') {
          await store.revoke({ userId: 'ann' }, logoutAll(NOW))
        }

        release()
        const result = await creating

        if (when === 'after') {
          await store.revoke({ userId: 'ann' }, logoutAll(NOW))
        }

        const session = await store.find('sa')

        if (session !== null && session.revokedAt === null) {
          orders.push(`revoked ${when} the pause before call ${call}`)
        }

        if (result === 'revoked-since') {
          t.strictSame(await listKeys(), ['not-before'], 'a rejected session leaves no keys')
        }

        if (result !== 'created' && result !== 'revoked-since') {
          throw new Error(result)
        }
      }
    }

    return orders
  }

  await t.test('no order of create and revoke leaves a valid session', async t => {
    t.strictSame(await findUnsafeOrders(), [])
  })

  await t.test('the test detects every missing precaution', async t => {
    t.not(
      (await findUnsafeOrders({
        creator: () => async (call, send) => call.name === 'ZSCORE' ? null : send()
      })).length,
      0,
      'the not-before is not read after the session is written'
    )

    t.not(
      (await findUnsafeOrders({
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
      'the index is written last'
    )

    t.not(
      (await findUnsafeOrders({
        lister: () => async (call, send) => {
          const reply = await send()

          return call.values.includes('WITHSCORES')
            ? (reply as string[]).map((value, i) => i % 2 ? '0' : value)
            : reply
        }
      })).length,
      0,
      'list removes ids of sessions that are not written yet'
    )
  })

  await t.test('the feed has only the effective one of two concurrent revocations', async t => {
    const { prefix, store, withHooks } = open()
    await store.create(makeSession('sa'))
    const { hook, reached, release } = pausing(call => call.name === 'revoke')
    const first = withHooks(hook).revoke({ sessionId: 'sa' }, { at: NOW + 1, reason: 'reuse' })
    await reached
    t.strictSame(await store.revocations(START, 9), [], 'the session is not revoked yet')
    t.equal(await store.revoke({ sessionId: 'sa' }, { at: NOW + 2, reason: 'logout' }), 1)
    t.strictSame(await store.revocations(START, 9), [{ at: NOW + 2, sessionId: 'sa' }])
    release()
    t.equal(await first, 0)
    t.strictSame(await store.revocations(START, 9), [{ at: NOW + 2, sessionId: 'sa' }])
    t.equal((await store.find('sa'))?.revokedFor, 'logout')
    t.equal(await redis.zcard(`${prefix}revocations`), 1, 'the feed has one entry')
  })

  await t.test('an interrupted create with a taken id gives no access to that session', async t => {
    const { store, withHooks } = open()
    const session = makeSession('sa')
    await store.create(session)
    await t.rejects(
      withHooks(breaking(call => call.name === 'ZREM')).create(
        makeSession('sa', { userId: 'bob' })
      ),
      /broken/
    )
    t.strictSame(await store.list('bob', { now: NOW, limit: 9 }), [])
    t.equal(await store.revoke({ userId: 'bob' }, logoutAll(NOW)), 0)
    t.strictSame(await store.find('sa'), session)
  })

  await t.test('an interrupted revocation can be repeated', async t => {
    for (let call = 0, isBroken = true; isBroken; call++) {
      const { store, withHooks, listKeys } = open()
      await store.create(makeSession('sa'))
      await store.create(makeSession('sb'))
      isBroken = await withHooks(breaking(matchCall(call))).revoke(
        { userId: 'ann' },
        logoutAll(NOW + 1)
      ).then(
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
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
    }
  })

  await t.test('a sweep deletes the keys of an interrupted creation', async t => {
    for (let call = 0, isBroken = true; isBroken; call++) {
      const { store, withHooks, listKeys } = open()
      const result = withHooks(breaking(matchCall(call))).create(
        makeSession('sa', { revokedAt: NOW, revokedFor: 'logout' })
      )
      isBroken = await result.then(() => false, () => true)
      const written = await store.find('sa') !== null
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), written ? 1 : 0)
      t.strictSame(await store.list('ann', { now: LATER, limit: 9 }), [])
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
    }
  })

  await t.test('the next sweep completes an interrupted sweep without counting twice', async t => {
    for (let call = 0, isBroken = true; isBroken; call++) {
      const { store, withHooks, listKeys } = open()
      await store.create(makeSession('sa', { revokedAt: NOW, revokedFor: 'logout' }))
      await store.create(makeSession('sb'))
      isBroken = await withHooks(breaking(matchCall(call))).sweep({ endedBefore: LATER, limit: 9 })
        .then(
          () => false,
          () => true
        )
      const remaining = [await store.find('sa'), await store.find('sb')].filter(session =>
        session !== null
      ).length
      t.equal(await store.sweep({ endedBefore: LATER, limit: 9 }), remaining)
      t.strictSame(await store.list('ann', { now: LATER, limit: 9 }), [])
      t.strictSame(await listKeys(), [], `interrupted before call ${call}`)
    }
  })

  await t.test('a sweep keeps a session that is rotated during the sweep', async t => {
    const { store, withHooks } = open()
    const session = makeSession('sa', { expiresAt: NOW + 1 })
    await store.create(session)
    const { hook, reached, release } = pausing(call => call.name === 'sweep')
    const sweeping = withHooks(hook).sweep({ endedBefore: NOW + 2, limit: 9 })
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

  await t.test('a sweep keeps a not-before that moves forward during the sweep', async t => {
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
