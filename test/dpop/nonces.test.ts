import { randomBytes } from 'node:crypto'
import t from 'tap'
import { DpopNonces, MAX_NONCE_LIFETIME } from '../../src/dpop/nonces.js'
import { MINUTE } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const [key, other] = [randomBytes(32), randomBytes(32)]

t.test('a nonce stays the same for one minute', async t => {
  const nonces = new DpopNonces([key])
  const first = nonces.current(NOW)
  t.match(first, /^[\w-]{43}$/, '256 bits, which a header can hold')
  t.equal(nonces.current(NOW + MINUTE - 1), first)
  t.equal(
    new Set(Array.from({ length: 1000 }, (_, i) => nonces.current(NOW + i * MINUTE))).size,
    1000
  )
})

t.test('a nonce is fresh in its minute and one minute before and after', async t => {
  const nonces = new DpopNonces([key])
  const nonce = nonces.current(NOW)
  const fresh = [-MINUTE, -1, 0, MINUTE - 1, MINUTE, 2 * MINUTE - 1].map(since =>
    nonces.isFresh(nonce, NOW + since)
  )
  t.strictSame(fresh, fresh.map(() => true))
  const stale = [-MINUTE - 1, 2 * MINUTE, MAX_NONCE_LIFETIME, 60 * MINUTE].map(since =>
    nonces.isFresh(nonce, NOW + since)
  )
  t.strictSame(stale, stale.map(() => false))
  t.equal(MAX_NONCE_LIFETIME, 3 * MINUTE, 'from the first to the last such moment')
})

t.test('a nonce of another key or a malformed nonce is not fresh', async t => {
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

t.test('a key change accepts nonces of both keys and issues the new one', async t => {
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
