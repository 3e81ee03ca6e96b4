import { Redis } from 'ioredis'
import t from 'tap'
import { DAY, HOUR, SECOND } from '../../../src/lib/time.js'
import {
  NOW,
  readFeed,
  REALM,
  saveSession,
  saveSessions
} from '../../../src/stores/conformance/harness.js'
import { RedisStore } from '../../../src/stores/redis/index.js'
import { getShard, RedisKeys, SHARDS } from '../../../src/stores/redis/keys.js'
import type { Revocation } from '../../../src/stores/token-store.js'
import {
  deleteKeys,
  hooked,
  pausing,
  randomPrefix,
  redisUrl,
  whyNoRedis
} from '../../helpers/databases/redis.js'
import type { Hook } from '../../helpers/databases/redis.js'

const details = { at: NOW, reason: 'logout' } as const

t.test('the feed of the Redis store', { skip: await whyNoRedis() }, async t => {
  const redis = new Redis(redisUrl)
  const prefixes: string[] = []
  t.teardown(async () => {
    for (const prefix of prefixes) {
      await deleteKeys(redis, prefix)
    }

    redis.disconnect()
  })

  function open (): {
    keys: RedisKeys
    store: RedisStore
    withHook: (hook: Hook) => RedisStore
    /** Adds an entry with a given ID, as at a given time of the server. */
    addEntry: (shard: number, id: string, sessionId: string) => Promise<unknown>
  } {
    const prefix = randomPrefix()
    const keys = new RedisKeys(prefix)
    prefixes.push(prefix)

    return {
      keys,
      store: new RedisStore(redis, { prefix }),
      withHook: hook => new RedisStore(hooked(redis, hook), { prefix }),
      addEntry: (shard, id, sessionId) => {
        const entry = { realm: REALM, ...details, sessionId, userId: 'ann' }
        return redis.xadd(keys.feed(shard), id, 'e', JSON.stringify(entry))
      }
    }
  }

  function getIds (entries: readonly Revocation[]): string[] {
    return entries.map(entry => 'sessionId' in entry ? entry.sessionId : 'none').sort()
  }

  for (const limit of [1, 100]) {
    await t.test(`a reader sees an entry that is written late (pages of ${limit})`, async t => {
      const { store, withHook } = open()
      const [a, b] = await saveSessions(store, {}, {})
      const ids = [a?.id as string, b?.id as string]
      const { cursor: early } = await readFeed(store, { within: SECOND }, limit)
      const { hook, reached, release } = pausing(call => call.name === 'revoke')
      const revoking = withHook(hook).revoke({ realm: REALM, sessionId: ids[0] as string }, details)
      await reached
      await store.revoke({ realm: REALM, sessionId: ids[1] as string }, details)
      const first = await readFeed(store, early, limit)
      const started = await readFeed(store, { within: DAY }, limit)
      t.strictSame(getIds(first.entries), [ids[1]])
      t.strictSame(getIds(started.entries), [ids[1]])
      release()
      await revoking
      t.strictSame(getIds((await readFeed(store, first.cursor, limit)).entries), [ids[0]])
      t.strictSame(getIds((await readFeed(store, started.cursor, limit)).entries), [ids[0]])
      t.strictSame(getIds((await readFeed(store, early, limit)).entries), ids)
    })
  }

  await t.test('a reader sees entries of one shard in pages of 1', async t => {
    const { store, addEntry } = open()
    const now = Date.now()
    const ids = Array.from({ length: 40 }, (_, i) => `s${String(i).padStart(2, '0')}`)

    for (const [i, id] of ids.entries()) {
      await addEntry(3, `${now}-${i + 1}`, id)
    }

    const { entries, cursor } = await readFeed(store, { within: HOUR }, 1)
    t.strictSame(getIds(entries), ids)
    t.strictSame((await readFeed(store, cursor, 1)).entries, [])
  })

  await t.test('a window starts at the time of the server', async t => {
    const { store, addEntry } = open()
    const now = Date.now()
    await addEntry(0, `${now - 2 * HOUR}-0`, 'old')
    await addEntry(0, `${now - HOUR / 2}-0`, 'new')
    const start = await store.revocations({ within: HOUR }, 10)
    t.strictSame(getIds(start.entries), ['new'])
    t.equal(start.complete, true)
    const empty = await readFeed(store, { within: SECOND })
    t.strictSame(empty.entries, [])
    t.strictSame((await readFeed(store, empty.cursor)).entries, [], 'the old ones stay unread')
    await addEntry(0, '*', 'next')
    t.strictSame(getIds((await readFeed(store, empty.cursor)).entries), ['next'])
    const all = await readFeed(store, { within: Number.MAX_SAFE_INTEGER })
    t.strictSame(getIds(all.entries), ['new', 'next', 'old'])
  })

  await t.test('a page that is full of one shard does not skip the window of another', async t => {
    const { store, addEntry } = open()
    const now = Date.now()
    await addEntry(9, `${now - 2 * HOUR}-0`, 'old')
    await addEntry(0, `${now}-1`, 'a')
    await addEntry(9, `${now}-2`, 'b')
    const first = await store.revocations({ within: HOUR }, 1)
    t.strictSame([getIds(first.entries), first.complete], [['a'], false])
    const second = await store.revocations(first.cursor, 1)
    t.strictSame([getIds(second.entries), second.complete], [['b'], true])
  })

  await t.test('a shard that lost the last seen entry starts again with a window', async t => {
    const { keys, store, addEntry } = open()
    const now = Date.now()
    await addEntry(5, `${now - 40 * HOUR}-0`, 'older than the window')
    await addEntry(5, `${now - 3 * SECOND}-0`, 'a')
    await addEntry(5, `${now}-0`, 'b')
    await addEntry(6, `${now}-0`, 'c')
    await store.revoke({ realm: REALM }, details)
    const { cursor } = await readFeed(store)
    await redis.xdel(keys.feed(5), `${now}-0`)
    const { entries, cursor: next } = await readFeed(store, cursor)
    const realms = getShard(REALM) === 5 ? ['none'] : []
    t.strictSame(getIds(entries), ['a', ...realms])
    t.strictSame((await readFeed(store, next)).entries, [])
  })

  await t.test('a reader detects another entry that got the ID of the last seen one', async t => {
    const { keys, store, addEntry } = open()
    const id = `${Date.now()}-0`
    await addEntry(5, id, 'lost')
    const { cursor } = await readFeed(store)
    await redis.del(keys.feed(5))
    await addEntry(5, id, 'another')
    t.strictSame(getIds((await readFeed(store, cursor)).entries), ['another'])
  })

  await t.test('a reader continues after all entries that it has seen were swept', async t => {
    const { keys, store } = open()
    const { id: sessionId } = await saveSession(store)
    await store.revoke({ realm: REALM, sessionId }, details)
    await store.revoke({ realm: REALM }, { at: NOW - DAY, reason: 'revoked' })
    const { cursor, now } = await readFeed(store)
    t.equal(await store.sweep({ endedBefore: now + DAY, limit: 9 }), 2)
    t.equal(await redis.xlen(keys.feed(getShard(sessionId))), 0)
    const again = await readFeed(store, cursor)
    t.ok(again.entries.length <= 1, 'at most the not-before of the realm again')
    t.strictSame((await readFeed(store, again.cursor)).entries, [])
  })

  await t.test('an idle poll reads no entry but the last one of each shard', async t => {
    const { keys, store, withHook } = open()
    const pipeline = redis.pipeline()

    for (let i = 0; i < 20_000; i++) {
      const entry = JSON.stringify({ realm: REALM, ...details, sessionId: `s${i}`, userId: 'ann' })
      pipeline.xadd(keys.feed(i % SHARDS), '*', 'e', entry)
    }

    await pipeline.exec()
    const { entries, cursor } = await readFeed(store, { within: DAY }, 5000)
    t.equal(entries.length, 20_000)
    let size = 0
    const counts: string[] = []
    const measured = withHook(async ({ values }, send) => {
      const reply = await send()
      size += JSON.stringify(reply).length
      counts.push(values.at(-1) as string)
      return reply
    })
    const page = await measured.revocations(cursor, 5000)
    t.strictSame([page.entries, page.complete, page.cursor], [[], true, cursor])
    t.ok(size < SHARDS * 300, `the replies have ${size} characters`)
    t.strictSame([counts.length, new Set(counts)], [SHARDS, new Set(['314'])])
  })

  await t.test('cursors of another form start a window', async t => {
    const { store, addEntry } = open()
    await addEntry(1, '*', 'a')
    const { cursor } = await readFeed(store)
    const cursors = [
      `${cursor},`,
      cursor.slice(0, -1),
      cursor.replace('.', ':'),
      ` ${cursor}`,
      ','.repeat(SHARDS - 2),
      Array.from({ length: SHARDS }, () => '9999999999999999-0.00000000').join(','),
      Array.from({ length: SHARDS }, () => '99999999999999999999-0.00000000').join(','),
      Array.from({ length: SHARDS }, () => '*').join(',')
    ]

    for (const [i, each] of cursors.entries()) {
      t.strictSame(getIds((await readFeed(store, each)).entries), ['a'], `cursor ${i}`)
    }
  })
})
