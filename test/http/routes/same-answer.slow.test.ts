import t from 'tap'
import { useFullCost } from '../../helpers/cheap-argon2.js'
import { attempts, createRejectingApp } from './rejecting-app.js'

useFullCost()
const { attempt } = await createRejectingApp(t)

// Verifying a hash takes about 14 ms of one core, skipping it 0.3 ms. Each round measures every
// kind, so that other load affects all alike.
t.test('every rejected login takes as long as one with an incorrect password', async t => {
  const times = new Map(Object.keys(attempts).map(name => [name, [] as number[]]))

  for (let round = 0; round < 11; round++) {
    for (const [name, one] of Object.entries(attempts)) {
      const before = performance.now()
      await attempt(one)
      times.get(name)?.push(performance.now() - before)
    }
  }

  const median = (name: string): number =>
    (times.get(name) ?? []).sort((a, b) => a - b)[5] as number
  const real = median('a wrong password')
  t.ok(real > 5, `a real check takes ${real.toFixed(1)} ms`)

  for (const name of times.keys()) {
    const ratio = median(name) / real
    t.ok(ratio > 0.5 && ratio < 2, `${name}: ${ratio.toFixed(2)} times as long`)
  }
})
