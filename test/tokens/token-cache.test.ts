import fc from 'fast-check'
import t from 'tap'
import { TokenCache } from '../../src/tokens/token-cache.js'

interface Numbered {
  readonly cacheKey: string
  readonly n: number
}

t.test('an entry is found by its whole string only', async t => {
  const map = new TokenCache<Numbered>(100)
  map.set({ cacheKey: 'one.signature', n: 1 })
  t.equal(map.get('one.signature')?.n, 1)
  t.equal(map.get('two.signature'), undefined, 'ends alike')
  t.equal(map.get('signature'), undefined)
  t.equal(map.get(''), undefined)
  map.delete('two.signature')
  t.equal(map.get('one.signature')?.n, 1, 'no other entry is deleted')
  map.set({ cacheKey: 'two.signature', n: 2 })
  t.equal(map.get('two.signature')?.n, 2)
  t.equal(map.get('one.signature'), undefined, 'another entry has replaced it')
  map.delete('two.signature')
  t.equal(map.get('two.signature'), undefined)
  map.set({ cacheKey: '', n: 0 })
  t.equal(map.get('')?.n, 0)
  map.clear()
  t.equal(map.get(''), undefined)
})

t.test('get returns the last entry of exactly that string, or nothing', async t => {
  const texts = fc.oneof(
    fc.string(),
    fc.stringMatching(/^[ab]{0,3}(end|END)?$/),
    fc.string({ unit: 'binary', maxLength: 20 })
  )
  const steps = fc.array(fc.tuple(texts, fc.constantFrom('set', 'delete', 'get')), {
    maxLength: 60
  })
  t.doesNotThrow(() =>
    fc.assert(fc.property(steps, fc.integer({ min: 1, max: 50 }), (steps, size) => {
      const map = new TokenCache<Numbered>(size)
      const last = new Map<string, number>()

      return steps.every(([text, step], i) => {
        if (step === 'get') {
          return [undefined, last.get(text)].includes(map.get(text)?.n)
        }

        if (step === 'delete') {
          map.delete(text)
          last.delete(text)
          return map.get(text) === undefined
        }

        map.set({ cacheKey: text, n: i })
        last.set(text, i)
        return map.get(text)?.n === i
      })
    }))
  )
})

t.test('1,000 tokens find their own entries', async t => {
  const tokens = Array.from(
    { length: 1000 },
    (_, i) => `Bearer head.${i}.${'x'.repeat(30)}${(i * 7919 + 1e9).toString(36)}`
  )
  const map = new TokenCache<Numbered>(4000)
  tokens.forEach((token, i) => {
    map.set({ cacheKey: token, n: i })
  })
  t.ok(tokens.every((token, i) => map.get(token)?.n === i))
})
