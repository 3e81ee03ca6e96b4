import t from 'tap'
import type { Test } from 'tap'
import { GRACE } from './honest.js'
import { drawRounds, MAX_UNNOTICED, playTheft } from './thief.js'
import type { Round, Theft } from './thief.js'
import { playGame } from './world.js'
import { MINUTE, SECOND } from '../../src/lib/time.js'

const GAMES = Number(process.env.GAMES ?? 40)
const FIRST_SEED = Number(process.env.SEED ?? 1)

const habits: Record<string, Round> = {
  'comes first and uses its tokens': { order: 'thief', gap: 5 * MINUTE, uses: [true, true] },
  'comes first and stays silent': { order: 'thief', gap: 5 * MINUTE, uses: [false, true] },
  'comes first, within the grace period': { order: 'thief', gap: SECOND, uses: [false, true] },
  'comes second, after the grace period': { order: 'victim', gap: 2 * GRACE, uses: [true, true] },
  'replays within the grace period': { order: 'victim', gap: SECOND, uses: [true, true] },
  'replays successors that nobody used': { order: 'victim', gap: 2 * GRACE, uses: [false, false] }
}

for (const confirmBy of ['access', 'refresh'] as const) {
  for (const [name, habit] of Object.entries(habits)) {
    t.test(`a thief who ${name} is noticed (confirmBy: ${confirmBy})`, async t => {
      assertNoticed(t, await play(1, confirmBy, habit))
    })
  }

  t.test(`every random thief is noticed (confirmBy: ${confirmBy})`, async t => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + GAMES; seed++) {
      assertNoticed(t, await play(seed, confirmBy, null), `seed ${seed}`)
    }
  })
}

async function play (
  seed: number,
  confirmBy: 'access' | 'refresh',
  habit: Round | null
): Promise<{ readonly theft: Theft, readonly log: readonly string[] }> {
  let theft: Theft | undefined
  const settings = { seed, instances: 2, options: { refreshToken: { confirmBy } } }
  const { log } = await playGame(settings, async world => {
    theft = await playTheft(world, habit === null ? drawRounds(world) : () => habit)
  })
  return { theft: theft as Theft, log }
}

function assertNoticed (
  t: Test,
  { theft, log }: { readonly theft: Theft, readonly log: readonly string[] },
  name = ''
): void {
  const isInTime = theft.isNoticed && theft.generations <= MAX_UNNOTICED
  t.ok(isInTime, `${name} ${theft.generations} generations${isInTime ? '' : `\n${log.join('\n')}`}`)
}
