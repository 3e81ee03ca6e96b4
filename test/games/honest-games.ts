import { HOUR, MINUTE, SECOND } from '../../src/lib/time.js'
import { playHonest } from './honest.js'
import { playGame } from './world.js'

interface Assertions {
  pass(message: string): unknown
  ok(value: unknown, message: string): unknown
}

/** Seeds of games; `SEED` and `GAMES` replace them. */
export function getSeeds (first: number, count: number): number[] {
  const from = Number(process.env.SEED ?? first)
  return Array.from({ length: Number(process.env.GAMES ?? count) }, (_, i) => from + i)
}

/** Plays games with tabs, lost responses and restarts. */
export async function playWithFaults (t: Assertions, seeds: readonly number[]): Promise<void> {
  for (const seed of seeds) {
    await playGame({ seed, instances: 2 + seed % 2 }, world => playHonest(world))
    t.pass(`seed ${seed}`)
  }
}

/** Plays games in which the clock of one instance is wrong. */
export async function playWithWrongClocks (t: Assertions, seeds: readonly number[]): Promise<void> {
  const clocks = [-2 * HOUR, 10 * MINUTE, 8 * 24 * HOUR, -SECOND]

  for (const seed of seeds) {
    const wallAhead = [0, clocks[seed % clocks.length] as number]
    const world = await playGame(
      { seed, instances: 2, wallAhead },
      world => playHonest(world)
    )
    const skews = world.events.filter(({ name }) => name === 'clock-skew')
    t.ok(Math.abs(wallAhead[1] as number) <= SECOND || skews.length > 0, `seed ${seed}: an event`)
  }
}
