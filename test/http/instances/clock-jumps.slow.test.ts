import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { readFeed } from '../../../src/stores/conformance/harness.js'
import { PASSWORD, REALM } from '../../helpers/app.js'
import type { TestUser } from '../../helpers/app.js'
import { DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'
import {
  ACCESS,
  confirm,
  FOREVER,
  getAccessResult,
  getRefreshResult,
  getSessionId,
  GRACE,
  refreshOrThrow,
  START,
  startWorld
} from './clocks-setup.js'
import type { Instance } from './clocks-setup.js'

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const { store, again } = await open(t)
    const stores = [store, again(), again()] as const

    await t.test('reuse of a token that a clock 1 h ahead rotated is detected', async t => {
      for (const later of [GRACE, MINUTE, 30 * MINUTE, HOUR - MINUTE - 1, HOUR + GRACE, 2 * HOUR]) {
        const world = await startWorld(t, stores, [0, 0, 0])
        const { time, instances: [wrong, right] } = world
        const [atWrong, atRight] = [await wrong.login(), await right.login()]
        time.advance(ACCESS)
        wrong.error.set(HOUR)

        for (const tokens of [atWrong, atRight]) {
          await confirm(world, await refreshOrThrow(wrong, tokens))
        }

        wrong.error.set(0)
        time.advance(later)
        t.equal(
          await getRefreshResult(wrong, atWrong),
          'AUTH_REFRESH_REUSED',
          `${later / SECOND} s later, at the same instance`
        )
        t.equal(
          await getRefreshResult(right, atRight),
          'AUTH_REFRESH_REUSED',
          `${later / SECOND} s later, at another one`
        )
      }
    })

    await t.test('reuse of a token that a clock 1 h ahead recovered is detected', async t => {
      const world = await startWorld(t, stores, [0, 0, 0])
      const { time, instances: [wrong] } = world
      const first = await wrong.login()
      const lost = await refreshOrThrow(wrong, first)
      time.advance(MINUTE)
      wrong.error.set(HOUR)
      t.equal(
        (await refreshOrThrow(wrong, first)).refresh_token,
        lost.refresh_token,
        'the response was lost'
      )
      wrong.error.set(0)
      await confirm(world, lost)
      time.advance(30 * MINUTE)
      t.equal(await getRefreshResult(wrong, first), 'AUTH_REFRESH_REUSED')
    })

    await t.test('a session of a clock 1 h ahead rotates normally afterwards', async t => {
      const world = await startWorld(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right, other] } = world
      const before = await right.login()
      wrong.error.set(HOUR)
      const logins = [await refreshOrThrow(wrong, before), await wrong.login()]
      wrong.error.set(0)

      for (let tokens of logins) {
        for (const instance of [right, wrong, other, right]) {
          time.advance(GRACE)
          const next = await refreshOrThrow(instance, tokens)
          t.not(next.refresh_token, tokens.refresh_token)

          for (const tab of world.instances) {
            t.equal(
              (await refreshOrThrow(tab, tokens)).refresh_token,
              next.refresh_token,
              'another tab'
            )
            t.equal(await getAccessResult(tab, next), 200)
          }

          tokens = next
        }
      }

      t.strictSame(
        await world.store.list(REALM, 'u-ann', { now: time() + 7 * DAY, limit: 9 }),
        [],
        'the sessions expire at the normal time'
      )
    })

    await t.test('access tokens of a clock 1 h ahead expire soon or are revoked', async t => {
      const world = await startWorld(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right] } = world
      wrong.error.set(HOUR)
      const [ended, left] = [await wrong.login(), await wrong.login('bob')]

      for (const tokens of [ended, left]) {
        t.equal(await getAccessResult(wrong, tokens), 200)
      }

      wrong.error.set(0)
      await right.post('/auth/logout', { refresh_token: ended.refresh_token })

      for (let minutes = 0; minutes <= 80; minutes += 5) {
        // A new entry in the feed lets instances remove old ones.
        await right.app.tokenAuth.revokeSession(getSessionId(await right.login('cyd')))

        for (const instance of world.instances) {
          await instance.poll()
          t.not(await getAccessResult(instance, ended), 200, `revoked, after ${minutes} minutes`)
        }

        if (minutes > 15 && minutes < 55) {
          t.not(await getAccessResult(wrong, left), 200, `not revoked, after ${minutes} minutes`)
        }

        time.advance(5 * MINUTE)
      }
    })

    await t.test('a sweep with a clock 1 h ahead keeps live sessions and revocations', async t => {
      const world = await startWorld(t, stores, [0, 0, 0], 7 * DAY)
      const { time, store, instances: [wrong, right, late] } = world
      const logins: TokenResponse[] = []

      for (const left of [1, 20 * MINUTE, 20 * MINUTE, HOUR, 2 * HOUR]) {
        time.set(START + left)
        logins.push(await right.login())
      }

      const [barely, ended, ...live] = logins as [
        TokenResponse,
        TokenResponse,
        ...TokenResponse[]
      ]
      time.set(START + 7 * DAY)
      const revoked = await refreshOrThrow(right, ended)
      await right.post('/auth/logout', { refresh_token: revoked.refresh_token })
      wrong.error.set(HOUR)
      await wrong.app.tokenAuth.sweep()
      wrong.error.set(0)

      for (const tokens of [barely, ...live]) {
        t.equal(await getRefreshResult(right, tokens), 200, 'the session is live')
      }

      await late.poll()
      t.equal(await getAccessResult(late, revoked), 'AUTH_SESSION_REVOKED')
      time.advance(3 * DAY)
      t.equal(await right.app.tokenAuth.sweep(), logins.length, 'all sessions are deleted later')
      // The age of an entry is judged by the clock of the real database.
      await store.sweep({ endedBefore: FOREVER, limit: 10_000 })
      t.strictSame((await readFeed(store)).entries, [])
    })

    await t.test('a clock 1 h ahead loses no revocation of any instance', async t => {
      const world = await startWorld(t, stores, [0, -3 * SECOND, 0])
      const { time, store, instances: [wrong, behind, right] } = world
      const others = [behind, right]
      const [old, own, heard, meanwhile, after] = await Promise.all([
        right.login(),
        right.login(),
        right.login(),
        right.login(),
        right.login()
      ])
      await right.post('/auth/logout', { refresh_token: old.refresh_token })
      time.advance(5 * MINUTE)
      await right.app.tokenAuth.revokeSession(getSessionId(await right.login('cyd')))

      for (const instance of world.instances) {
        await instance.poll()
      }

      wrong.error.set(HOUR)
      await wrong.post('/auth/logout', { refresh_token: own.refresh_token })
      wrong.error.set(0)

      for (const instance of world.instances) {
        await instance.poll()

        for (const tokens of [old, own]) {
          t.equal(await getAccessResult(instance, tokens), 'AUTH_SESSION_REVOKED', 'without a read')
        }
      }

      wrong.error.set(HOUR)
      await wrong.post('/auth/logout', { refresh_token: heard.refresh_token })
      await wrong.poll()
      await right.post('/auth/logout', { refresh_token: meanwhile.refresh_token })
      wrong.error.set(0)

      for (const instance of world.instances) {
        await instance.poll()

        for (const tokens of [old, own, heard, meanwhile]) {
          t.equal(await getAccessResult(instance, tokens), 'AUTH_SESSION_REVOKED')
        }

        t.equal(await getAccessResult(instance, after), 200)
      }

      // An entry from 1 h ahead does not hide later entries.
      time.advance(2 * MINUTE)
      await behind.post('/auth/logout', { refresh_token: after.refresh_token })

      for (const instance of [wrong, right]) {
        await instance.poll()
        t.equal(await getAccessResult(instance, after), 'AUTH_SESSION_REVOKED')
      }

      for (let minutes = 0; minutes < 90; minutes += 10) {
        time.advance(10 * MINUTE)
        const tokens = await right.login()
        await (others[minutes / 10 % 2] as Instance).post('/auth/logout', {
          refresh_token: tokens.refresh_token
        })

        for (const instance of world.instances) {
          await instance.poll()
          t.equal(
            await getAccessResult(instance, tokens),
            'AUTH_SESSION_REVOKED',
            `${minutes} minutes later`
          )
        }
      }

      time.advance(10 * DAY)
      t.ok(await right.app.tokenAuth.sweep() > 0)
      await store.sweep({ endedBefore: FOREVER, limit: 10_000 })
      t.strictSame((await readFeed(store)).entries, [], 'no entry is left')
    })

    await t.test('a password change revokes a concurrent login after a clock jump', async t => {
      const { time, store, instances: [wrong] } = await startWorld(t, stores, [0, 0, 0])
      wrong.error.set(HOUR)
      await wrong.app.tokenAuth.revokeUser('u-ann')
      wrong.error.set(0)
      time.advance(SECOND)
      const before = wrong.users.get('u-ann') as TestUser
      let change: Promise<number> | undefined

      // The login reads the old password, and the user is revoked during its verification.
      wrong.users.values = () => {
        const shown = change === undefined ? before : { ...before, passwordHash: null }
        change ??= wrong.app.tokenAuth.revokeUser('u-ann')
        return [shown].values()
      }

      await wrong.post('/auth/login', { username: 'ann', password: PASSWORD })
      await change
      t.strictSame(await store.list(REALM, 'u-ann', { now: time(), limit: 9 }), [])
    })
  })
}
