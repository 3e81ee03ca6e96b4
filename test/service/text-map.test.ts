import fc from 'fast-check'
import t from 'tap'
import { TextMap } from '../../src/service/text-map.js'

t.test('what was set is found by its text alone, whatever else ends like it', async t => {
  const map = new TextMap<string>(100)
  map.set('one.signature', '1')
  t.equal(map.get('one.signature'), '1')
  t.equal(map.get('two.signature'), undefined, 'ends alike')
  t.equal(map.get('signature'), undefined)
  t.equal(map.get(''), undefined)
  map.delete('two.signature')
  t.equal(map.get('one.signature'), '1', 'another one is not deleted for it')
  map.set('two.signature', '2')
  t.equal(map.get('two.signature'), '2')
  t.equal(map.get('one.signature'), undefined, 'its place was taken')
  map.delete('two.signature')
  t.equal(map.get('two.signature'), undefined)
  map.set('', 'nothing')
  t.equal(map.get(''), 'nothing')
  map.clear()
  t.equal(map.get(''), undefined)
})

t.test('it answers with nothing but what was set last for that very text', async t => {
  const texts = fc.oneof(fc.string(), fc.stringMatching(/^[ab]{0,3}(end|END)?$/), fc.string({ unit: 'binary', maxLength: 20 }))
  const steps = fc.array(fc.tuple(texts, fc.constantFrom('set', 'delete', 'get')), { maxLength: 60 })
  t.doesNotThrow(() => fc.assert(fc.property(steps, fc.integer({ min: 1, max: 50 }), (steps, size) => {
    const map = new TextMap<number>(size)
    const last = new Map<string, number>()
    return steps.every(([text, step], i) => {
      if (step === 'get') return [undefined, last.get(text)].includes(map.get(text))
      if (step === 'delete') {
        map.delete(text)
        last.delete(text)
        return map.get(text) === undefined
      }
      map.set(text, i)
      last.set(text, i)
      return map.get(text) === i
    })
  })))
})

t.test('tokens find their own, a thousand of them', async t => {
  const tokens = Array.from({ length: 1000 }, (_, i) => `Bearer head.${i}.${'x'.repeat(30)}${(i * 7919 + 1e9).toString(36)}`)
  const map = new TextMap<number>(4000)
  tokens.forEach((token, i) => { map.set(token, i) })
  t.ok(tokens.every((token, i) => map.get(token) === i))
})
