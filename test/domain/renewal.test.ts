import t from 'tap'
import { canRenew } from '../../src/domain/rotation.js'
import { confirmed, createSession, GRACE, NOW } from './fixtures.js'

const canRenewAt = (
  presented: number,
  given: Parameters<typeof createSession>[0] = {},
  now = NOW
): boolean => canRenew(createSession(given), presented, now, GRACE)

t.test('an access token of the current generation is renewed', async t => {
  t.equal(canRenewAt(2), true)
  t.equal(canRenewAt(2, confirmed), true)
  t.equal(canRenewAt(2, { graceFrom: NOW + 1 }), true)
  t.equal(canRenewAt(0, { generation: 0, confirmedGeneration: 0 }), true)
})

t.test('an access token of the previous generation is renewed within the grace', async t => {
  for (
    const { age, expected } of [
      { age: -1, expected: true },
      { age: 0, expected: true },
      { age: GRACE - 1, expected: true },
      { age: GRACE, expected: false },
      { age: GRACE + 1, expected: false }
    ]
  ) {
    t.equal(canRenewAt(1, { ...confirmed, graceFrom: NOW - age }), expected, `${age} ms`)
  }
})

t.test('an access token of the previous generation is renewed until it is confirmed', async t => {
  t.equal(canRenewAt(1, { confirmedGeneration: 1 }), true)
  t.equal(canRenewAt(1, { confirmedGeneration: 0 }), true)
  t.equal(canRenewAt(1, confirmed), false)
})

t.test('an access token of any other generation is not renewed', async t => {
  for (const presented of [-1, 0, 3, 4, 2 ** 31]) {
    t.equal(canRenewAt(presented, { graceFrom: NOW }), false, `generation ${presented}`)
    t.equal(canRenewAt(presented, { confirmedGeneration: 0 }), false)
  }
})
