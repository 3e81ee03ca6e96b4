import t from 'tap'
import { HOUR, MINUTE, SECOND } from '../../src/lib/time.js'
import { playHonest } from './honest.js'
import { playGame } from './world.js'

const GAMES = Number(process.env.GAMES ?? 40)
const FIRST_SEED = Number(process.env.SEED ?? 1)
const seeds = Array.from({ length: GAMES }, (_, i) => FIRST_SEED + i)

t.test('no honest browser is signed out by tabs, lost answers and restarts', async t => {
  for (const seed of seeds) {
    await playGame({ seed, instances: 2 + seed % 2 }, world => playHonest(world))
    t.pass(`seed ${seed}`)
  }
})

t.test('no honest browser is signed out by wrong clocks of instances', async t => {
  const clocks = [-2 * HOUR, 10 * MINUTE, 8 * 24 * HOUR, -SECOND]

  for (const seed of seeds.slice(0, Math.ceil(GAMES / 4))) {
    const wallAhead = [0, clocks[seed % clocks.length] as number]
    const world = await playGame(
      { seed, instances: 2, wallAhead },
      world => playHonest(world)
    )
    const skews = world.events.filter(({ name }) => name === 'clock-skew')
    t.ok(Math.abs(wallAhead[1] as number) <= SECOND || skews.length > 0, `seed ${seed}: an event`)
  }
})
