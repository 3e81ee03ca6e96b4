import type { Test } from 'tap'
import { GRACE } from './honest.js'
import { drawRounds, MAX_UNNOTICED, playTheft } from './thief.js'
import type { Round, Theft } from './thief.js'
import { playGame } from './world.js'
import type { WorldOptions } from './world.js'
import { MINUTE, SECOND } from '../../src/lib/time.js'

const FIRST_SEED = Number(process.env.SEED ?? 1)

/** Thieves who do the same in every round. */
export const habits = {
  'comes first and uses its tokens': { order: 'thief', gap: 5 * MINUTE, uses: [true, true] },
  'comes first and stays silent': { order: 'thief', gap: 5 * MINUTE, uses: [false, true] },
  'comes first, within the grace period': { order: 'thief', gap: SECOND, uses: [false, true] },
  'comes second, after the grace period': { order: 'victim', gap: 2 * GRACE, uses: [true, true] },
  'replays within the grace period': { order: 'victim', gap: SECOND, uses: [true, true] },
  'replays successors that nobody used': { order: 'victim', gap: 2 * GRACE, uses: [false, false] }
} as const satisfies Record<string, Round>

/**
 * Tests that every theft is noticed in time, with fixed habits and with random ones.
 *
 * @param place - Where access tokens are used, for the titles.
 * @param games - Number of games with random habits.
 */
export function testThieves (
  t: Test,
  place: string,
  games: number,
  settings: Partial<WorldOptions> = {}
): void {
  for (const confirmBy of ['access', 'refresh'] as const) {
    const withConfirmBy = {
      ...settings,
      options: { ...settings.options, refreshToken: { confirmBy } }
    }

    for (const [name, habit] of Object.entries(habits)) {
      t.test(`a thief who ${name} is noticed (${place}, confirmBy: ${confirmBy})`, async t => {
        assertNoticed(t, await playThief(1, habit, withConfirmBy))
      })
    }

    t.test(`every random thief is noticed (${place}, confirmBy: ${confirmBy})`, async t => {
      for (let seed = FIRST_SEED; seed < FIRST_SEED + Number(process.env.GAMES ?? games); seed++) {
        assertNoticed(t, await playThief(seed, null, withConfirmBy), `seed ${seed}`)
      }
    })
  }
}

/** A theft and its steps. */
export interface PlayedTheft {
  readonly theft: Theft
  readonly log: readonly string[]
}

/** Plays one theft. Without a habit, the seed decides what the thief does. */
export async function playThief (
  seed: number,
  habit: Round | null,
  settings: Partial<WorldOptions>
): Promise<PlayedTheft> {
  let theft: Theft | undefined
  const { log } = await playGame({ seed, instances: 2, ...settings }, async world => {
    theft = await playTheft(world, habit === null ? drawRounds(world) : () => habit)
  })
  return { theft: theft as Theft, log }
}

/** Whether somebody noticed a theft within the allowed generations. */
export function isNoticedInTime ({ isNoticed, generations }: Theft): boolean {
  return isNoticed && generations <= MAX_UNNOTICED
}

function assertNoticed (t: Test, { theft, log }: PlayedTheft, name = ''): void {
  const isInTime = isNoticedInTime(theft)
  t.ok(
    isInTime,
    `${name} ${theft.generations} generations${isInTime ? '' : `\n${log.join('\n')}`}`
  )
}
