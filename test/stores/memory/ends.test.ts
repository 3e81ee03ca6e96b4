import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { Ends } from '../../../src/stores/memory/ends.js'
import { ShardedMap } from '../../../src/stores/memory/shards.js'
import type { Session } from '../../../src/stores/token-store.js'
import { DAY, HOUR } from '../../helpers/clock.js'

const NOW = 500_000 * HOUR + 1000

t.test('what is looked at and lives on is not looked at again for the same moment', async t => {
  const ends = new Ends()
  ends.put('later this hour', NOW + 5)
  ends.put('moved to the next', NOW)
  t.strictSame(ends.take(NOW + 1, 10), ['moved to the next', 'later this hour'])
  t.ok(ends.putBack('later this hour', NOW + 5, NOW + 1))
  t.ok(ends.putBack('moved to the next', NOW + HOUR, NOW + 1))
  t.strictSame(ends.take(NOW + 1, 10), [])
  t.strictSame(ends.take(NOW + 6, 10), ['later this hour'])
  t.strictSame(ends.take(NOW + HOUR + 1, 10), ['moved to the next'])
})

t.test('who asks for an earlier moment meanwhile is told to wait', async t => {
  const ends = new Ends()
  ends.put('a', NOW + 5)
  ends.put('b', NOW + 7)
  ends.put('c', NOW + 8)
  t.equal(ends.take(NOW + 6, 1).length, 1)
  t.strictSame(ends.take(NOW, 1), ['b'])
  t.equal(ends.putBack('b', NOW + 7, NOW), false)
})

t.test('sweeps for two moments at once come to an end, and nothing is lost', async t => {
  const store = new MemoryStore()
  const nobody = { address: null, userAgent: null }

  for (let n = 0; n < 1000; n++) {
    const times = {
      createdAt: NOW - DAY,
      authenticatedAt: NOW - DAY,
      rotatedAt: NOW - DAY,
      lastUsedAt: NOW - DAY
    }
    const device = { label: null, ...nobody }
    const rest = {
      generation: 0,
      confirmedGeneration: 0,
      revokedAt: null,
      revokedFor: null,
      rotatedBy: nobody,
      device
    }
    const session: Session = {
      ...times,
      ...rest,
      id: `s${n}`,
      userId: 'ann',
      secretHash: '',
      expiresAt: NOW + n,
      endsAt: NOW + DAY
    }
    await store.create(session)
  }

  const counts = await Promise.all(
    [600, 300, 0].map(after => store.sweep({ endedBefore: NOW + after, limit: 2000 }))
  )
  t.equal(counts.reduce((sum, count) => sum + count), 600)
  t.equal(await store.sweep({ endedBefore: NOW + 2000, limit: 2000 }), 400)
})

t.test('a sweep gives others their turn, however many sessions live on', async t => {
  const store = new MemoryStore()

  for (let n = 0; n < 1000; n++) {
    await store.create({ id: `s${n}`, userId: `u${n}`, expiresAt: NOW, revokedAt: null } as Session)
  }

  let turns = 0

  const count = (): void => {
    turns++
    counting = setImmediate(count)
  }

  let counting = setImmediate(count)
  t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 0)
  clearImmediate(counting)
  t.ok(turns >= 9, `${turns} turns`)
})

t.test('a map in many small ones is a map', async t => {
  const map = new ShardedMap<number>()

  for (let n = 0; n < 5000; n++) {
    map.set(`k${n}`, n)
  }

  map.set('k0', -1)

  for (let n = 1; n < 5000; n += 2) {
    map.delete(`k${n}`)
  }

  map.delete('never there')
  t.equal(map.get('k0'), -1)
  t.equal(map.get('k4998'), 4998)
  t.equal(map.get('k1'), undefined)
  t.strictSame([map.has('k2'), map.has('k3'), map.has('')], [true, false, false])
})
