// Instances whose clocks differ, on one store: a little apart all the time, or one of them an hour wrong for a moment. Nobody is
// signed out by it, no revocation is lost, and nothing is left behind that a thief may use for an hour.

import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse, TokenStore } from '../../../src/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestUser } from '../../helpers/app.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'

const START = Date.UTC(2026, 0, 1)
const GRACE = 10 * SECOND
const ACCESS = 15 * MINUTE
const FOREVER = START + 1000 * DAY

interface Instance extends TestApp {
  /** How far this clock is ahead of the true time; below 0, behind. */
  readonly error: TestClock
  /** Has it read what the others have revoked, and waits until it has. */
  hear(): Promise<void>
}

interface World {
  readonly time: TestClock
  readonly instances: readonly [Instance, Instance, Instance]
  readonly store: TokenStore
}

/** Three instances whose clocks are as far ahead of the true time as is said. */
async function begin (
  t: Test,
  stores: readonly [TokenStore, TokenStore, TokenStore],
  ahead: readonly [number, number, number],
  absolute = 30 * DAY
): Promise<World> {
  await stores[0].sweep({ endedBefore: FOREVER, limit: 10_000 })
  const time = createClock(START)

  const start = async (i: 0 | 1 | 2): Promise<Instance> => {
    const error = createClock(ahead[i])

    let hint = (): void => {}

    let heard = (): void => {}

    const watched = new Proxy(stores[i], {
      get (store, verb) {
        const value: unknown = Reflect.get(store, verb)

        if (typeof value !== 'function') {
          return value
        }

        return async (...args: unknown[]): Promise<unknown> => {
          const answer: unknown = await Reflect.apply(value, store, args)

          if (verb === 'revocations') {
            heard()
          }

          return answer
        }
      }
    })
    const app = await createTestApp({
      store: watched,
      clock: Object.assign(() => time() + error(), { advance: time.advance, set: time.set }),
      options: {
        accessToken: { lifetime: ACCESS / SECOND },
        refreshToken: { grace: GRACE / SECOND, maxLifetime: absolute / SECOND },
        revocations: {
          pollInterval: '60s',
          subscribe: poll => {
            hint = poll

            return () => {}
          }
        }
      }
    })
    t.teardown(() => app.app.close())

    return {
      ...app,
      error,
      async hear () {
        await new Promise<void>(resolve => {
          heard = resolve
          hint()
        })
        await new Promise(resolve => {
          setImmediate(resolve)
        })
      }
    }
  }

  return { time, store: stores[0], instances: await Promise.all([start(0), start(1), start(2)]) }
}

function sessionIdOf ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    sid: string
  }).sid
}

/** 200, or the code of the refusal. */
async function admitted (
  instance: Instance,
  { access_token: token }: TokenResponse
): Promise<unknown> {
  const response = await instance.get('/protected', token)
  return response.statusCode === 200 ? 200 : response.json().code
}

async function presented (
  instance: Instance,
  { refresh_token: token }: TokenResponse
): Promise<unknown> {
  const response = await instance.refresh(token)
  return response.statusCode === 200 ? 200 : response.json().code
}

async function refreshed (
  instance: Instance,
  { refresh_token: token }: TokenResponse
): Promise<TokenResponse> {
  const response = await instance.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`the session is lost: ${response.body}`)
  }

  return response.json<TokenResponse>()
}

/** The latest generation has been seen in use; it is written as an instance writes its notes. */
async function confirm ({ store }: World, tokens: TokenResponse): Promise<void> {
  const session = await store.find(sessionIdOf(tokens))

  if (session === null) {
    throw new Error('the session is lost')
  }

  await store.touch([{
    sessionId: session.id,
    lastUsedAt: 0,
    confirmedGeneration: session.generation
  }])
}

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    const { store, again } = await open(t)
    const stores = [store, again(), again()] as const

    await t.test('3 s apart: no revocation is lost, however it is made', async t => {
      const world = await begin(t, stores, [3 * SECOND, 1500, 0])

      for (let round = 0; round < 3; round++) {
        // The one that is most ahead goes first, so that the entries of the others come in behind the newest.
        for (const here of world.instances) {
          const others = world.instances.filter(instance => instance !== here)
          const [out, ended, replaced, living] = await Promise.all([
            here.login(),
            here.login(),
            here.login('bob'),
            here.login('cyd')
          ])
          await here.post('/auth/logout', { refresh_token: out.refresh_token })
          await here.app.tokenAuth.revokeSession(sessionIdOf(ended))
          await here.app.tokenAuth.revokeUser('u-bob')

          for (const other of others) {
            await other.hear()

            for (const tokens of [out, ended, replaced]) {
              t.equal(await admitted(other, tokens), 'AUTH_SESSION_REVOKED')
              t.equal(await presented(other, tokens), 'AUTH_REFRESH_REVOKED')
            }

            t.equal(await admitted(other, living), 200)
          }
        }

        world.time.advance(200 + round)
      }
    })

    await t.test('3 s apart: nobody is signed out who refreshes in two tabs at two instances', async t => {
      const world = await begin(t, stores, [3 * SECOND, 0, 1500])
      const { time, instances } = world
      let tokens = await instances[1].login()
      const pauses = [0, SECOND, GRACE, GRACE + 4 * SECOND, MINUTE, ACCESS]

      for (let round = 0; round < 36; round++) {
        const [first, second] = [instances[round % 3], instances[(round + 1 + round % 2) % 3]] as [
          Instance,
          Instance
        ]
        const next = await refreshed(first, tokens)
        t.equal(await admitted(second, next), 200, 'the successor is confirmed')
        // The other tab comes as late as a grace and clocks that are 3 s apart let it.
        time.advance(round % 7 * 1100)
        const last = await refreshed(second, tokens)
        const isRotated = next.refresh_token !== tokens.refresh_token

        if (isRotated) {
          t.equal(last.refresh_token, next.refresh_token, 'both tabs hold the same token')
        }

        t.equal(await admitted(first, last), 200)
        tokens = last
        time.advance(pauses[round % 5] as number)
      }

      t.strictSame(
        instances.flatMap(({ events }) => events).filter(({ name }) =>
          name === 'reuse' || name === 'revoke'
        ),
        []
      )
    })

    await t.test('an hour ahead for a moment: what it has rotated is no good to a thief', async t => {
      for (const later of [GRACE, MINUTE, 30 * MINUTE, HOUR - MINUTE - 1, HOUR + GRACE, 2 * HOUR]) {
        const world = await begin(t, stores, [0, 0, 0])
        const { time, instances: [wrong, right] } = world
        const [atWrong, atRight] = [await wrong.login(), await right.login()]
        time.advance(ACCESS)
        wrong.error.set(HOUR)

        for (const tokens of [atWrong, atRight]) {
          await confirm(world, await refreshed(wrong, tokens))
        }

        wrong.error.set(0)
        time.advance(later)
        t.equal(
          await presented(wrong, atWrong),
          'AUTH_REFRESH_REUSED',
          `${later / SECOND} s later, at the same instance`
        )
        t.equal(
          await presented(right, atRight),
          'AUTH_REFRESH_REUSED',
          `${later / SECOND} s later, at another one`
        )
      }
    })

    await t.test('an hour ahead for a moment: what it has recovered is no good to a thief', async t => {
      const world = await begin(t, stores, [0, 0, 0])
      const { time, instances: [wrong] } = world
      const first = await wrong.login()
      const lost = await refreshed(wrong, first)
      time.advance(MINUTE)
      wrong.error.set(HOUR)
      t.equal(
        (await refreshed(wrong, first)).refresh_token,
        lost.refresh_token,
        'the answer had been lost'
      )
      wrong.error.set(0)
      await confirm(world, lost)
      time.advance(30 * MINUTE)
      t.equal(await presented(wrong, first), 'AUTH_REFRESH_REUSED')
    })

    await t.test('an hour ahead for a moment: its user stays signed in, and rotates as ever', async t => {
      const world = await begin(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right, other] } = world
      const before = await right.login()
      wrong.error.set(HOUR)
      const logins = [await refreshed(wrong, before), await wrong.login()]
      wrong.error.set(0)

      for (let tokens of logins) {
        for (const instance of [right, wrong, other, right]) {
          time.advance(GRACE)
          const next = await refreshed(instance, tokens)
          t.not(next.refresh_token, tokens.refresh_token)

          for (const tab of world.instances) {
            t.equal((await refreshed(tab, tokens)).refresh_token, next.refresh_token, 'another tab')
            t.equal(await admitted(tab, next), 200)
          }

          tokens = next
        }
      }

      t.strictSame(
        await world.store.list('u-ann', { now: time() + 7 * DAY, limit: 9 }),
        [],
        'they end no later for it'
      )
    })

    await t.test('an hour ahead for a moment: its access tokens end with their session, and soon', async t => {
      const world = await begin(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right] } = world
      wrong.error.set(HOUR)
      const [ended, left] = [await wrong.login(), await wrong.login('bob')]

      for (const tokens of [ended, left]) {
        t.equal(await admitted(wrong, tokens), 200)
      }

      wrong.error.set(0)
      await right.post('/auth/logout', { refresh_token: ended.refresh_token })

      for (let minutes = 0; minutes <= 80; minutes += 5) {
        // What is new in the feed makes instances forget what is old.
        await right.app.tokenAuth.revokeSession(sessionIdOf(await right.login('cyd')))

        for (const instance of world.instances) {
          await instance.hear()
          t.not(await admitted(instance, ended), 200, `revoked, after ${minutes} minutes`)
        }

        if (minutes > 15 && minutes < 55) {
          t.not(await admitted(wrong, left), 200, `not revoked, after ${minutes} minutes`)
        }

        time.advance(5 * MINUTE)
      }
    })

    await t.test('an hour ahead for a moment: it sweeps nothing that lives, nor what is still to be heard of', async t => {
      const world = await begin(t, stores, [0, 0, 0], 7 * DAY)
      const { time, store, instances: [wrong, right, late] } = world
      const logins: TokenResponse[] = []

      for (const left of [1, 20 * MINUTE, 20 * MINUTE, HOUR, 2 * HOUR]) {
        time.set(START + left)
        logins.push(await right.login())
      }

      const [barely, ended, ...living] = logins as [
        TokenResponse,
        TokenResponse,
        ...TokenResponse[]
      ]
      time.set(START + 7 * DAY)
      const revoked = await refreshed(right, ended)
      await right.post('/auth/logout', { refresh_token: revoked.refresh_token })
      wrong.error.set(HOUR)
      await wrong.app.tokenAuth.sweep()
      wrong.error.set(0)

      for (const tokens of [barely, ...living]) {
        t.equal(await presented(right, tokens), 200, 'it lives')
      }

      await late.hear()
      t.equal(await admitted(late, revoked), 'AUTH_SESSION_REVOKED')
      time.advance(DAY)
      t.equal(await right.app.tokenAuth.sweep(), logins.length, 'but later all is swept')
      t.strictSame(await store.revocations({ at: 0, sessionId: '' }, 99), [])
    })

    await t.test('an hour ahead for a moment: it loses no revocation, neither its own nor those of others', async t => {
      const world = await begin(t, stores, [0, -3 * SECOND, 0])
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
      await right.app.tokenAuth.revokeSession(sessionIdOf(await right.login('cyd')))

      for (const instance of world.instances) {
        await instance.hear()
      }

      wrong.error.set(HOUR)
      await wrong.post('/auth/logout', { refresh_token: own.refresh_token })
      wrong.error.set(0)

      for (const instance of world.instances) {
        await instance.hear()

        for (const tokens of [old, own]) {
          t.equal(await admitted(instance, tokens), 'AUTH_SESSION_REVOKED', 'without a read')
        }
      }

      wrong.error.set(HOUR)
      await wrong.post('/auth/logout', { refresh_token: heard.refresh_token })
      await wrong.hear()
      await right.post('/auth/logout', { refresh_token: meanwhile.refresh_token })
      wrong.error.set(0)

      for (const instance of world.instances) {
        await instance.hear()

        for (const tokens of [old, own, heard, meanwhile]) {
          t.equal(await admitted(instance, tokens), 'AUTH_SESSION_REVOKED')
        }

        t.equal(await admitted(instance, after), 200)
      }

      // What is in the feed from an hour ahead hides nothing that comes after it.
      time.advance(2 * MINUTE)
      await behind.post('/auth/logout', { refresh_token: after.refresh_token })

      for (const instance of [wrong, right]) {
        await instance.hear()
        t.equal(await admitted(instance, after), 'AUTH_SESSION_REVOKED')
      }

      for (let minutes = 0; minutes < 90; minutes += 10) {
        time.advance(10 * MINUTE)
        const tokens = await right.login()
        await (others[minutes / 10 % 2] as Instance).post('/auth/logout', {
          refresh_token: tokens.refresh_token
        })

        for (const instance of world.instances) {
          await instance.hear()
          t.equal(
            await admitted(instance, tokens),
            'AUTH_SESSION_REVOKED',
            `${minutes} minutes later`
          )
        }
      }

      time.advance(8 * DAY)
      await right.app.tokenAuth.sweep()
      t.strictSame(
        await store.revocations({ at: 0, sessionId: '' }, 99),
        [],
        'no entry stays for ever'
      )
    })

    await t.test('an hour ahead for a moment: no login with the old password outlives its change', async t => {
      const { time, store, instances: [wrong] } = await begin(t, stores, [0, 0, 0])
      wrong.error.set(HOUR)
      await wrong.app.tokenAuth.revokeUser('u-ann')
      wrong.error.set(0)
      time.advance(SECOND)
      const before = wrong.users.get('u-ann') as TestUser
      let change: Promise<number> | undefined

      // The login is shown the old password, and the user is revoked while it is checked.
      wrong.users.values = () => {
        const shown = change === undefined ? before : { ...before, passwordHash: null }
        change ??= wrong.app.tokenAuth.revokeUser('u-ann')
        return [shown].values()
      }

      await wrong.post('/auth/login', { username: 'ann', password: PASSWORD })
      await change
      t.strictSame(await store.list('u-ann', { now: time(), limit: 9 }), [])
    })

    await t.test('an hour behind for a moment: no session is lost', async t => {
      const world = await begin(t, stores, [0, 0, 0])
      const { time, instances: [wrong, right] } = world
      time.advance(DAY)
      let [moving, tabs] = [await right.login(), await right.login()]
      wrong.error.set(-HOUR)
      let fresh = await wrong.login()

      for (let round = 0; round < 6; round++) {
        const [here, there] = round % 2 ? [wrong, right] : [right, wrong]
        moving = await refreshed(here, moving)
        fresh = await refreshed(there, fresh)
        const next = await refreshed(here, tabs)
        t.equal((await refreshed(there, tabs)).refresh_token, next.refresh_token, 'another tab')
        tabs = next
        await wrong.app.tokenAuth.sweep()
        time.advance(round * 7 * MINUTE)
      }

      wrong.error.set(0)

      for (const instance of world.instances) {
        for (const tokens of [moving, fresh, tabs]) {
          t.equal(await presented(instance, tokens), 200)
        }

        time.advance(MINUTE)
      }
    })
  })
}
