import { MINUTE, SECOND } from '../../src/lib/time.js'
import { GRACE, readGeneration } from './honest.js'
import type { Sender, Tokens, World } from './world.js'

const VICTIM: Sender = { ip: '192.0.2.1', userAgent: 'Browser/1' }
const THIEF: Sender = { ip: '198.51.100.7', userAgent: 'curl/8' }
const ROUNDS = 12
/** Generations in which a thief may get tokens before somebody must notice. */
export const MAX_UNNOTICED = 5

/** One round of a theft: who refreshes first, and how long after the other one. */
export interface Round {
  readonly order: 'victim' | 'thief'
  readonly gap: number
  /** Whether the first and the second use their access tokens. */
  readonly uses: readonly [first: boolean, second: boolean]
}

/** Whether the theft was noticed, and how many generations the thief got before. */
export interface Theft {
  readonly isNoticed: boolean
  readonly generations: number
}

interface Party {
  readonly sender: Sender
  tokens: Tokens
}

/**
 * Plays a victim who keeps refreshing, and a thief with a copy of the refresh token.
 *
 * Every request reaches another instance.
 */
export async function playTheft (
  world: World,
  getRound: (round: number) => Round
): Promise<Theft> {
  const victim: Party = { sender: VICTIM, tokens: await world.login(VICTIM) }
  const thief: Party = { sender: THIEF, tokens: victim.tokens }
  const stolen = new Set<number>()
  let requests = 0

  const turn = async (party: Party, uses: boolean): Promise<boolean> => {
    const name = party === thief ? 'thief' : 'victim'
    const index = ++requests % world.count
    const generation = readGeneration(party.tokens.refresh)
    const answer = await world.refresh(index, party.tokens.refresh, party.sender)

    if (typeof answer === 'number') {
      world.log.push(`${name} refreshes generation ${generation} at ${index}: ${answer}`)
      return false
    }

    party.tokens = answer
    world.log.push(`${name} gets generation ${readGeneration(answer.refresh)} at ${index}`)

    if (party === thief) {
      stolen.add(readGeneration(answer.refresh))
    }

    if (uses) {
      await world.use(++requests % world.count, answer.access)
    }

    // Notes of use are written in the background.
    await world.advance(SECOND)
    return true
  }

  for (let round = 0; round < ROUNDS; round++) {
    await world.advance(10 * MINUTE)
    const { order, gap, uses } = getRound(round)
    const [first, second] = order === 'victim' ? [victim, thief] : [thief, victim]
    const isFirstServed = await turn(first, uses[0])
    await world.advance(gap)
    const isSecondServed = await turn(second, uses[1])

    if (isReported(world)) {
      return { isNoticed: true, generations: stolen.size }
    }

    // An end that is not reported must be the end for both.
    if (!isFirstServed || !isSecondServed) {
      const isEnded = !await turn(thief, false) && !await turn(victim, false)
      return { isNoticed: isEnded, generations: stolen.size }
    }

    if (stolen.size > MAX_UNNOTICED) {
      break
    }
  }

  return { isNoticed: false, generations: stolen.size }
}

/** Draws the rounds of a theft. Some thieves keep one habit, others change it. */
export function drawRounds ({ random }: World): (round: number) => Round {
  const draw = (): Round => ({
    order: random.pick(['victim', 'thief']),
    gap: random.pick([0, SECOND, GRACE / 2, GRACE - 2 * SECOND, GRACE, 2 * GRACE, 5 * MINUTE]),
    uses: [random.chance(0.5), random.chance(0.5)]
  })
  const habit = draw()
  const isSteady = random.chance(0.6)
  return () => isSteady ? habit : draw()
}

function isReported ({ events }: World): boolean {
  return events.some(({ name }) => name === 'reuse' || name === 'suspicious-replay')
}
