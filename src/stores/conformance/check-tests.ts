import assert from 'node:assert/strict'
import { StoreSetupError } from '../token-store.js'
import type { TokenStore } from '../token-store.js'
import { defineTest, NOW, readFeed, REALM, saveSessions } from './harness.js'
import type { ConformanceTest, HarnessOptions } from './harness.js'

/** Part of both interfaces. */
interface Checkable {
  check(): Promise<readonly string[]>
}

/** Registers the tests of `check` that both interfaces share. */
export function testCheck<Store extends Checkable> (options: HarnessOptions<Store>): void {
  const { test, openIncomplete } = options

  defineTest(options)('check: resolves with warnings, however often it is called', async (
    store,
    other
  ) => {
    const results = await Promise.all([store, other, store, other].map(store => store.check()))
    results.push(await store.check())

    for (const warnings of results) {
      assert.ok(Array.isArray(warnings), 'an array')
      assert.ok(
        warnings.every(warning => typeof warning === 'string' && warning.trim() !== ''),
        'one sentence each'
      )
    }
  })

  if (openIncomplete !== undefined) {
    defineTest({ test, open: openIncomplete })(
      'check: rejects with a StoreSetupError if something is missing',
      async store => {
        await assert.rejects(store.check(), (error: unknown) => {
          assert.ok(error instanceof StoreSetupError, 'a StoreSetupError')
          assert.ok(error.problems.length > 0, 'names what is missing')
          assert.ok(error.fix !== '', 'names the fix')
          return true
        })
      }
    )
  }
}

/** Registers the tests of `check` with sessions. */
export function testCheckOfSessions (test: ConformanceTest<TokenStore>): void {
  test('check: changes nothing', async store => {
    const [live, revoked] = await saveSessions(store, {}, { userId: 'bob' }, {
      createdAt: NOW - 1,
      expiresAt: NOW,
      endsAt: NOW
    })
    const sessionId = revoked?.id as string
    await store.revoke({ realm: REALM, sessionId }, { at: NOW, reason: 'logout' })
    const { cursor } = await readFeed(store)
    const readAll = async (): Promise<unknown[]> => [
      await store.find(REALM, live?.id as string),
      await store.find(REALM, sessionId),
      await store.list(REALM, 'ann', { now: 0, limit: 10 })
    ]
    const before = await readAll()
    await store.check()
    assert.deepEqual(await readAll(), before)
    assert.deepEqual((await readFeed(store, cursor)).entries, [], 'no entry of the feed')
  })
}
