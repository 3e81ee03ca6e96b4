// Nonces of proofs: a code of the minute, that whoever has the key of the server knows, and nobody else.

import { randomBytes } from 'node:crypto'
import t from 'tap'
import { DpopNonces, MAX_NONCE_LIFETIME } from '../../src/dpop/nonces.js'
import { MINUTE } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const [key, other] = [randomBytes(32), randomBytes(32)]

t.test('a nonce is one text for a minute, and another one for the next', async t => {
  const nonces = new DpopNonces([key])
  const first = nonces.current(NOW)
  t.match(first, /^[\w-]{43}$/, '256 bits, which a header can hold')
  t.equal(nonces.current(NOW + MINUTE - 1), first)
  t.equal(
    new Set(Array.from({ length: 1000 }, (_, i) => nonces.current(NOW + i * MINUTE))).size,
    1000
  )
})

t.test('a nonce is good in its minute, in the one after, and where another clock is a minute behind', async t => {
  const nonces = new DpopNonces([key])
  const nonce = nonces.current(NOW)
  const good = [-MINUTE, -1, 0, MINUTE - 1, MINUTE, 2 * MINUTE - 1].map(since =>
    nonces.isFresh(nonce, NOW + since)
  )
  t.strictSame(good, good.map(() => true))
  const bad = [-MINUTE - 1, 2 * MINUTE, MAX_NONCE_LIFETIME, 60 * MINUTE].map(since =>
    nonces.isFresh(nonce, NOW + since)
  )
  t.strictSame(bad, bad.map(() => false))
  t.equal(MAX_NONCE_LIFETIME, 3 * MINUTE, 'from the first to the last such moment')
})

t.test('a nonce of another key is not good, nor is a text that is none', async t => {
  const nonces = new DpopNonces([key])
  const nonce = nonces.current(NOW)
  t.ok(new DpopNonces([key]).isFresh(nonce, NOW), 'another instance with the same key')

  for (
    const text of [
      new DpopNonces([other]).current(NOW),
      '',
      'x',
      nonce.slice(1),
      `${nonce} `,
      nonce.toLowerCase(),
      String(NOW)
    ]
  ) {
    t.notOk(nonces.isFresh(text, NOW), text)
  }
})

t.test('while the key changes, nonces of both are good, and the new one is given', async t => {
  const [before, during, after] = [
    new DpopNonces([other]),
    new DpopNonces([key, other]),
    new DpopNonces([key])
  ]
  t.equal(during.current(NOW), after.current(NOW))
  t.ok(during.isFresh(before.current(NOW), NOW))
  t.ok(during.isFresh(after.current(NOW - MINUTE), NOW))
  t.notOk(after.isFresh(before.current(NOW), NOW))
})
