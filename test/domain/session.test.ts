import t from 'tap'
import { createSessionId, getCreationTime } from '../../src/domain/session.js'
import { DAY } from '../helpers/clock.js'

const NOW = Date.UTC(2026, 0, 1)
const LAST_TIME = 36 ** 9 - 1

t.test('a session ID is `s`, the time in base 36 and 128 random bits', async t => {
  const id = createSessionId(NOW)
  t.match(id, /^s[0-9a-z]{9}[\w-]{22}$/)
  t.equal(Number.parseInt(id.slice(1, 10), 36), NOW)
  t.equal(Buffer.from(id.slice(10), 'base64url').length, 16)
})

t.test('session IDs of the same moment differ in every character of the random part', async t => {
  const ids = Array.from({ length: 1000 }, () => createSessionId(NOW))
  t.equal(new Set(ids).size, ids.length)

  for (let index = 10; index < 32; index++) {
    t.ok(new Set(ids.map(id => id[index])).size > 1, `character ${index}`)
  }
})

t.test('the time of a session is read from its ID', async t => {
  for (const time of [0, 1, 35, 36, NOW, NOW + 1, Date.UTC(2059, 4, 25), LAST_TIME]) {
    t.equal(getCreationTime(createSessionId(time)), time)
  }

  t.equal(getCreationTime(createSessionId(NOW + 0.75)), NOW, 'in whole milliseconds')
})

t.test('session IDs sort by their time', async t => {
  const times = [0, 35, 36, NOW - 1, NOW, NOW + DAY, Date.UTC(2100, 0, 1), LAST_TIME]
  const ids = times.map(time => createSessionId(time))
  t.strictSame(ids.toReversed().toSorted(), ids)
})

t.test('a time that does not fit into a session ID is refused', async t => {
  for (const time of [-1, -0.5, LAST_TIME + 1, Infinity, NaN]) {
    t.throws(() => createSessionId(time), RangeError, String(time))
  }
})

t.test('a string that is no session ID has no time', async t => {
  const id = createSessionId(NOW)

  for (
    const other of [
      '',
      's1',
      id.slice(1),
      id.slice(0, -1),
      `${id}A`,
      `${id}\n`,
      ` ${id}`,
      `x${id.slice(1)}`,
      id.toUpperCase(),
      `s${'!'.repeat(31)}`,
      `${id.slice(0, -1)}=`,
      `s-${id.slice(2)}`
    ]
  ) {
    t.equal(getCreationTime(other), null, JSON.stringify(other))
  }
})
