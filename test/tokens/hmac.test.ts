import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { createMac } from '../../src/tokens/hmac.js'

// Lone surrogates among them.
const text = (minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.oneof(
    ...(['binary-ascii', 'binary'] as const).map(unit => fc.string({ unit, minLength, maxLength })),
    fc.array(fc.integer({ max: 0xffff, min: 0 }), { minLength, maxLength }).map(units =>
      String.fromCharCode(...units)
    )
  )

t.test('the code is that of HMAC, whatever the key and the texts, one after the other', async t => {
  for (const algorithm of ['sha256', 'sha384', 'sha512'] as const) {
    const keys = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      ...[0, 31, 32, 63, 64, 65, 127, 128, 129].map(length =>
        fc.uint8Array({ minLength: length, maxLength: length })
      )
    )
    const texts = fc.array(
      fc.oneof(text(0, 300), text(1300, 1500), text(4000, 4200), text(8000, 9000)),
      { maxLength: 6 }
    )
    t.doesNotThrow(() =>
      fc.assert(fc.property(keys, texts, (key, texts) => {
        const mac = createMac(algorithm, key)

        return texts.every(text =>
          mac(text) === createHmac(algorithm, key).update(text).digest('base64url')
        )
      })), algorithm)
  }
})

t.test('RFC 4231, test case 2', async t => {
  const code = createMac('sha256', Buffer.from('Jefe'))('what do ya want for nothing?')
  t.equal(
    Buffer.from(code, 'base64url').toString('hex'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
  )
})

t.test('the key is what it was when the function was made', async t => {
  const key = Buffer.from('a key of thirty-two bytes, or so')
  const mac = createMac('sha256', key)
  const first = mac('first')
  key.fill(0)
  t.equal(mac('first'), first)
})
