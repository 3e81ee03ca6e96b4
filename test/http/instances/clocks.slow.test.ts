import t from 'tap'
import { DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'
import {
  ACCESS,
  getAccessResult,
  getRefreshResult,
  getSessionId,
  GRACE,
  refreshOrThrow,
  startWorld
} from './clocks-setup.js'
import type { Instance } from './clocks-setup.js'

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const { store, again } = await open(t)
    const stores = [store, again(), again()] as const

    await t.test('clocks 3 s apart lose no revocation of any kind', async t => {
      const world = await startWorld(t, stores, [3 * SECOND, 1500, 0])

      for (let round = 0; round < 3; round++) {
        // The clock that is most ahead goes first, so that later entries are older than the newest.
        for (const here of world.instances) {
          const others = world.instances.filter(instance => instance !== here)
          const [out, ended, replaced, live] = await Promise.all([
            here.login(),
            here.login(),
            here.login('bob'),
            here.login('cyd')
          ])
          await here.post('/auth/logout', { refresh_token: out.refresh_token })
          await here.app.tokenAuth.revokeSession(getSessionId(ended))
          await here.app.tokenAuth.revokeUser('u-bob')

          for (const other of others) {
            await other.poll()

            for (const tokens of [out, ended, replaced]) {
              t.equal(await getAccessResult(other, tokens), 'AUTH_SESSION_REVOKED')
              t.equal(await getRefreshResult(other, tokens), 'AUTH_REFRESH_REVOKED')
            }

            t.equal(await getAccessResult(other, live), 200)
          }
        }

        world.time.advance(200 + round)
      }
    })

    await t.test('each instance reports how much its own clock is ahead', async t => {
      const { instances } = await startWorld(t, stores, [HOUR, -2 * SECOND, 900])
      t.match(
        instances.map(({ events }) => events.filter(({ name }) => name === 'clock-skew')),
        [[{ source: 'instance', ahead: HOUR }], [{ source: 'instance', ahead: -2 * SECOND }], []]
      )

      for (const instance of instances) {
        await instance.poll()
      }

      t.strictSame(
        instances.map(({ events }) => events.filter(({ name }) => name === 'clock-skew').length),
        [1, 1, 0],
        'once for each deviation'
      )
    })

    await t.test('two tabs can refresh at instances with clocks 3 s apart', async t => {
      const world = await startWorld(t, stores, [3 * SECOND, 0, 1500])
      const { time, instances } = world
      let tokens = await instances[1].login()
      const pauses = [0, SECOND, GRACE, GRACE + 4 * SECOND, MINUTE, ACCESS]

      for (let round = 0; round < 36; round++) {
        const [first, second] = [instances[round % 3], instances[(round + 1 + round % 2) % 3]] as [
          Instance,
          Instance
        ]
        const next = await refreshOrThrow(first, tokens)
        t.equal(await getAccessResult(second, next), 200, 'the successor is confirmed')
        // The latest time within the grace period, given clocks that are 3 s apart.
        time.advance(round % 7 * 1100)
        const last = await refreshOrThrow(second, tokens)
        const isRotated = next.refresh_token !== tokens.refresh_token

        if (isRotated) {
          t.equal(last.refresh_token, next.refresh_token, 'both tabs hold the same token')
        }

        t.equal(await getAccessResult(first, last), 200)
        tokens = last
        time.advance(pauses[round % 5] as number)
      }

      t.strictSame(
        instances.flatMap(({ events }) => events).filter(({ name }) =>
          name === 'reuse' || name === 'session-ended'
        ),
        []
      )
    })

    await t.test('a clock 1 h behind loses no session', async t => {
      const world = await startWorld(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right] } = world
      time.advance(DAY)
      let [moving, tabs] = [await right.login(), await right.login()]
      wrong.error.set(-HOUR)
      let fresh = await wrong.login()

      for (let round = 0; round < 6; round++) {
        const [here, there] = round % 2 ? [wrong, right] : [right, wrong]
        moving = await refreshOrThrow(here, moving)
        fresh = await refreshOrThrow(there, fresh)
        const next = await refreshOrThrow(here, tabs)
        t.equal(
          (await refreshOrThrow(there, tabs)).refresh_token,
          next.refresh_token,
          'another tab'
        )
        tabs = next
        await wrong.app.tokenAuth.sweep()
        time.advance(round * 7 * MINUTE)
      }

      wrong.error.set(0)

      for (const instance of world.instances) {
        for (const tokens of [moving, fresh, tabs]) {
          t.equal(await getRefreshResult(instance, tokens), 200)
        }

        time.advance(MINUTE)
      }
    })
  })
}
