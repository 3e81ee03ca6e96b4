import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser } from './client.js'
import type { Engine } from './engines.js'
import type { Random } from '../../src/testing/index.js'
import { pause } from './pause.js'
import { DISRUPTED_PROPAGATION_LIMIT, SECONDS } from './settings.js'
import type { World } from './world.js'

/**
 * Kills servers, cuts connections, logs out and restarts the engine until the run is over.
 *
 * When it resolves, the engine is up, and every server is up or starting.
 */
export async function disrupt (
  world: World,
  engine: Engine,
  browsers: readonly Browser[]
): Promise<void> {
  const random = world.random.fork()

  const repeat = async (
    minPause: number,
    maxPause: number,
    disruption: () => Promise<unknown>
  ): Promise<void> => {
    const ownRandom = random.fork()

    while (!world.isOver) {
      await pause(ownRandom, minPause, maxPause)

      if (!world.isOver) {
        await disruption()
      }
    }
  }

  await Promise.all([
    // One server stays up, so that clients notice the other disruptions.
    repeat(700, 1300, async () => {
      const up = world.servers.filter(server => server.isUp)

      if (up.length < 2) {
        return
      }

      await random.pick(up).kill()
      world.count('kills')
    }),
    repeat(700, 1300, () =>
      engine.cutConnections().then(() => {
        world.count('cuts')
      }, () => {
        world.count('cuts without an engine')
      })),
    repeat(300, 900, async () => {
      const browser = random.pick(browsers)
      await (random.chance(0.5) ? browser.logout() : browser.logoutEverywhere())
    }),
    repeat(20, 100, () => tryRevokedToken(world, random)),
    sleep(SECONDS * 500).then(async () => {
      world.engineUpSince = Infinity
      await engine.restart()
      world.engineUpSince = Date.now()
      world.count('restarts of the engine')
    })
  ])
}

// These tokens do not expire during a run. A server rejects them only after it has read the
// revocation of another server.
async function tryRevokedToken (world: World, random: Random): Promise<void> {
  const latest = Date.now() - DISRUPTED_PROPAGATION_LIMIT
  const revoked = world.engineUpSince > latest
    ? []
    : [...world.sessions.values()].filter(({ endedAt }) => endedAt < latest)

  if (revoked.length === 0) {
    return
  }

  const session = random.pick(revoked)
  const { status } = await world.sendRequest(random, '/protected', {
    method: 'GET',
    bearer: session.accessToken
  })
  world.count('revoked tokens tried')
  const delay = Date.now() - session.endedAt

  if (status === 200) {
    world.reportFinding(`an access token was accepted ${delay} ms after its logout`, session)
  }
}
