import fc from 'fast-check'
import t from 'tap'
import { BoundedMap } from '../../src/lib/bounded-map.js'

function holding (size: number, ...keys: string[]): BoundedMap<string, string> {
  const map = new BoundedMap<string, string>(size)

  for (const key of keys) {
    map.set(key, key.toUpperCase())
  }

  return map
}

/** Reads each key from a new map, because a read moves entries. */
function held (make: () => BoundedMap<string, string>, keys: string): string {
  return [...keys].filter(key => make().get(key) !== undefined).join('')
}

t.test('get returns a value that was set and undefined otherwise', async t => {
  const map = holding(4, 'a', 'b')
  t.equal(map.get('a'), 'A')
  t.equal(map.get('b'), 'B')
  t.equal(map.get('c'), undefined)
})

t.test('the last value of a key replaces the previous one in either half', async t => {
  const map = holding(4, 'a')
  map.set('a', 'young')
  t.equal(map.get('a'), 'young')
  map.set('b', 'B')
  map.set('c', 'C')
  map.set('a', 'newer')
  t.equal(map.get('a'), 'newer')
  map.set('d', 'D')
  t.equal(map.get('a'), 'newer')
})

t.test('a full young half drops the old half', async t => {
  t.equal(held(() => holding(4, ...'ab'), 'abcdef'), 'ab')
  t.equal(held(() => holding(4, ...'abcd'), 'abcdef'), 'abcd')
  t.equal(held(() => holding(4, ...'abcde'), 'abcdef'), 'cde')
  t.equal(held(() => holding(4, ...'abcdef'), 'abcdef'), 'cdef')
})

t.test('a key that is set again takes no additional space', async t => {
  t.equal(held(() => holding(4, ...'ababab'), 'ab'), 'ab')
  t.equal(held(() => holding(4, ...'abcdcdcd'), 'abcd'), 'abcd')
})

t.test('a key that is read stays and an unused key is dropped', async t => {
  const map = holding(4, 'busy', 'idle')

  for (const key of 'abcdefghij') {
    map.set(key, key)
    t.equal(map.get('busy'), 'BUSY', `after ${key}`)
  }

  t.equal(map.get('idle'), undefined)
})

t.test('delete removes a key from either half', async t => {
  for (const keys of ['a', 'abc', 'abcd']) {
    const map = holding(4, ...keys)
    map.delete('a')
    t.equal(map.get('a'), undefined)
  }

  const twice = holding(4, ...'abc')
  twice.set('a', 'young')
  twice.delete('a')
  t.equal(twice.get('a'), undefined, 'the old value does not reappear')
  t.doesNotThrow(() => twice.delete('a'))
})

t.test('a map of any size holds the newest entry', async t => {
  for (const size of [0, 1, 2, 3]) {
    t.equal(holding(size, ...'abcde').get('e'), 'E')
  }
})

t.test('a cache never exceeds its size or drops the half that was used last', async t => {
  const keys = fc.array(fc.integer({ min: 0, max: 12 }), { maxLength: 60, size: 'max' })
  const property = fc.property(fc.integer({ min: 2, max: 9 }), keys, (size, keys) => {
    const cache = (): BoundedMap<number, string> => {
      const map = new BoundedMap<number, string>(size)

      for (const key of keys) {
        if (map.get(key) === undefined) {
          map.set(key, `value ${key}`)
        }
      }

      return map
    }

    const held = [...new Set(keys)].filter(key => cache().get(key) === `value ${key}`)
    const usedLast = [...new Set(keys.toReversed())].slice(0, Math.floor(size / 2))
    return held.length <= size && usedLast.every(key => held.includes(key))
  })
  const details = fc.check(property, { numRuns: 1000 })
  t.equal(details.failed, false, fc.defaultReportMessage(details) ?? 'always')
})
