import { mock } from 'node:test'
import t from 'tap'
import { NOW } from '../../../src/stores/conformance/harness.js'
import { createFullStore, watchTurns } from './sweep-turns.js'

t.test('sweep gives other work a turn after each millisecond', async t => {
  const store = await createFullStore(1000, NOW)
  t.teardown(() => {
    mock.restoreAll()
  })

  // Each session is read once, and so is its user.
  for (const [duration, expected] of [[0, 0], [0.01, 20], [0.1, 200]] as const) {
    let now = 0
    mock.method(performance, 'now', () => (now += duration))
    const { turns } = await watchTurns(async () => {
      t.equal(await store.sweep({ endedBefore: NOW, limit: 10 }), 0)
    })
    mock.restoreAll()
    t.ok(Math.abs(turns - expected) <= expected * 0.15, `${turns} turns of ${expected}`)
  }
})
