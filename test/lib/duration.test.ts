import t from 'tap'
import { parseDuration } from '../../src/lib/duration.js'

t.test('a duration with a unit is converted to milliseconds', async t => {
  const table: Record<string, number> = {
    '500ms': 500,
    '10s': 10_000,
    '15m': 900_000,
    '12h': 43_200_000,
    '7d': 604_800_000,
    '2w': 1_209_600_000,
    '1.5h': 5_400_000,
    '3 m': 180_000,
    '0s': 0
  }

  for (const [duration, millis] of Object.entries(table)) {
    t.equal(parseDuration(duration), millis, duration)
  }
})

t.test('a number counts as seconds and is rounded to whole milliseconds', async t => {
  t.equal(parseDuration(900), 900_000)
  t.equal(parseDuration(0.0014), 1)
})

t.test('a malformed duration is null', async t => {
  for (const duration of ['', '10', 's', '-1s', '1.s', '1y', '10  s', ' 1s', NaN, -1, null, {}]) {
    t.equal(parseDuration(duration), null, String(duration))
  }
})

t.test('a duration of more than 100 years is null', async t => {
  t.equal(parseDuration('36525d'), 36_525 * 86_400_000)
  t.equal(parseDuration('36526d'), null)
  t.equal(parseDuration(Infinity), null)
})
