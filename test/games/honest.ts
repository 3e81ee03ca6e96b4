import { equal, ok } from 'node:assert/strict'
import { HOUR, MINUTE, SECOND } from '../../src/lib/time.js'
import type { Millis } from '../../src/lib/time.js'
import type { Answer, Sender, Tokens, World } from './world.js'

export const GRACE: Millis = 10 * SECOND

/** Times of a game, in milliseconds. */
export interface Pace {
  readonly grace: Millis
  readonly waits: readonly Millis[]
  readonly steps: number
}

/** Pace of games on virtual time. */
export const virtualPace: Pace = {
  grace: GRACE,
  waits: [0, 0, GRACE / 3, GRACE - 1, GRACE, GRACE + 1, MINUTE, HOUR, 20 * HOUR],
  steps: 30
}

const BROWSER: Sender = { ip: '192.0.2.1', userAgent: 'Browser/1' }
const TABS = 3
/** Part of the answers that get lost. */
const LOST = 1 / 3
/** Part of the steps before which an instance restarts. */
const RESTARTS = 0.2

/** A browser whose tabs share one refresh token. Each tab has an access token of its own. */
class Browser {
  readonly #world: World
  readonly #grace: Millis
  #refreshToken: string
  #accessTokens: readonly string[]

  constructor (world: World, grace: Millis, { access, refresh }: Tokens) {
    this.#world = world
    this.#grace = grace
    this.#refreshToken = refresh
    this.#accessTokens = [access]
  }

  /** Refreshes in one or several tabs at once, each at an instance of its own. */
  async refresh (tabs: number): Promise<void> {
    const { random } = this.#world
    const refresh = this.#refreshToken
    const answers = await Promise.all(
      Array.from(
        { length: tabs },
        () => this.#send(random.between(0, this.#world.count - 1), refresh)
      )
    )

    for (const answer of answers) {
      this.#receive(answer, random.chance(LOST))
    }
  }

  /** Sends a refresh that takes some seconds. Another tab refreshes and goes on meanwhile. */
  async refreshSlowly (): Promise<void> {
    const { random } = this.#world
    const index = random.between(0, this.#world.count - 1)
    const refresh = this.#refreshToken
    const startedAt = performance.now()
    await this.refresh(1)

    if (random.chance(0.7)) {
      await this.use()
    }

    await this.#world.advance(random.between(0, this.#grace / 4))

    if (random.chance(0.5)) {
      await this.refresh(1)
    }

    await this.#world.advance(random.between(0, this.#grace / 4))

    // On a busy machine, real time may have passed the grace period. Then this would be a reuse.
    if (performance.now() - startedAt < this.#grace * 3 / 4) {
      this.#receive(await this.#send(index, refresh), random.chance(LOST))
    }
  }

  /** Uses the access token of one tab. It may have expired. */
  async use (): Promise<void> {
    const { random } = this.#world
    const index = random.between(0, this.#world.count - 1)
    const status = await this.#world.use(index, random.pick(this.#accessTokens))
    this.#world.log.push(`use at ${index}: ${status}`)
  }

  async #send (index: number, token: string): Promise<Answer> {
    const answer = await this.#world.refresh(index, token, BROWSER)
    const result = typeof answer === 'number' ? answer : 'ok'
    this.#world.log.push(`refresh of generation ${readGeneration(token)} at ${index}: ${result}`)
    return answer
  }

  #receive (answer: Answer, isLost: boolean): void {
    if (typeof answer === 'number') {
      equal(answer, 503, 'nobody is signed out')
    } else if (isLost) {
      this.#world.log.push('the answer got lost')
    } else {
      this.#refreshToken = answer.refresh
      this.#accessTokens = [answer.access, ...this.#accessTokens].slice(0, TABS)
    }
  }
}

/**
 * Plays an honest browser with several tabs, lost answers and restarts of instances.
 *
 * Fails if it is signed out, or if anything of its user is reported.
 */
export async function playHonest (
  world: World,
  { grace, waits, steps }: Pace = virtualPace,
  userId = 'ann'
): Promise<void> {
  const { random } = world
  const browser = new Browser(world, grace, await world.login(BROWSER, userId))

  for (let step = 0; step < steps; step++) {
    const wait = random.pick(waits)
    world.log.push(`wait ${wait} ms`)
    await world.advance(wait)

    if (random.chance(RESTARTS)) {
      await world.restart(random.between(0, world.count - 1), random.chance(0.5))
    }

    await random.pickWeighted<() => Promise<void>>([
      [() => browser.refresh(1), 4],
      [() => browser.refresh(2), 3],
      [() => browser.refresh(3), 1],
      [() => browser.refreshSlowly(), 2],
      [() => browser.use(), 3]
    ])()
  }

  const reported = world.events.filter(({ name, event }) =>
    name !== 'recovery' && event.userId === userId
  )
  ok(reported.length === 0, `nothing is reported, but: ${JSON.stringify(reported)}`)
}

/** Reads the generation of a refresh token, for the log of a game. */
export function readGeneration (token: string): number {
  const payload = Buffer.from(token.split('.')[1] as string, 'base64url').toString()
  return (JSON.parse(payload) as { gen: number }).gen
}
