// What goes wrong during a run, about once a second each; and somebody who tries the access tokens
// of ended sessions.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from './client.js'
import type { Engine } from './engines.js'
import type { Random } from '../../src/testing/index.js'
import { pause } from './pause.js'
import { SECONDS, TROUBLED_BOUND } from './settings.js'
import type { World } from './world.js'

/** Goes on until the run is over; then all servers and the engine are up, or on their way. */
export async function disrupt (
  world: World,
  engine: Engine,
  browsers: readonly Browser[]
): Promise<void> {
  const random = world.random.fork()

  const often = async (
    shortest: number,
    longest: number,
    disruption: () => Promise<unknown>
  ): Promise<void> => {
    const own = random.fork()

    while (!world.over) {
      await pause(own, shortest, longest)

      if (!world.over) {
        await disruption()
      }
    }
  }

  await Promise.all([
    // Never all at once, or nobody would be there to notice the rest.
    often(700, 1300, async () => {
      const up = world.servers.filter(server => server.isUp)

      if (up.length < 2) {
        return
      }

      await random.pick(up).kill()
      world.count('kills')
    }),
    often(700, 1300, () =>
      engine.cut().then(() => {
        world.count('cuts')
      }, () => {
        world.count('cuts that found no engine')
      })),
    often(300, 900, async () => {
      const browser = random.pick(browsers)
      await (random.chance(0.5) ? browser.signOut() : browser.signOutEverywhere())
    }),
    often(20, 100, () => trySpentToken(world, random)),
    sleep(SECONDS * 500).then(async () => {
      world.engineSince = Infinity
      await engine.restart()
      world.engineSince = Date.now()
      world.count('restarts of the engine')
    })
  ])
}

// These tokens do not expire during a run: only what the servers hear of each other's revocations
// can refuse them.
async function trySpentToken (world: World, random: Random): Promise<void> {
  const bound = Date.now() - TROUBLED_BOUND
  const spent = world.engineSince > bound
    ? []
    : [...world.sessions.values()].filter(({ endedAt }) => endedAt < bound)

  if (spent.length === 0) {
    return
  }

  const session = random.pick(spent)
  const { status } = await world.ask(random, '/protected', {
    method: 'GET',
    bearer: session.access
  })
  world.count('spent tokens tried')
  const late = Date.now() - session.endedAt

  if (status === 200) {
    world.find(`an access token was accepted ${late} ms after the end of its session`, session)
  }
}
