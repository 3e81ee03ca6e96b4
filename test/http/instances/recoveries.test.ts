import t from 'tap'
import type { Test } from 'tap'
import type { Session, TokenResponse, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'
import { databases } from '../../helpers/databases/index.js'

const GRACE = 10 * SECOND

async function start (t: Test, given: TestAppOptions): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

async function refreshOrThrow (app: TestApp, token: string | undefined): Promise<TokenResponse> {
  const response = await app.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refresh failed: ${response.body}`)
  }

  return response.json<TokenResponse>()
}

async function getRow (store: TokenStore, app: TestApp): Promise<Session> {
  const [session] = await store.list(REALM, 'u-ann', { now: app.clock(), limit: 9 })
  return session as Session
}

function getNames (...apps: readonly TestApp[]): string[] {
  return apps.flatMap(({ events }) => events.map(({ name }) => name))
}

/** Delays the responses to rotations by a duration of the clock. */
function delayRotations (store: TokenStore, clock: TestClock, delay: number): TokenStore {
  return new Proxy(store, {
    get: (target, verb: keyof TokenStore) => async (...args: unknown[]): Promise<unknown> => {
      const result: unknown = await Reflect.apply(target[verb], target, args)

      if (verb === 'rotate') {
        clock.advance(delay)
      }

      return result
    }
  })
}

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(name, { skip }, async t => {
    t.test('tabs get the same token at another instance than the one that recovered', async t => {
      const { store, again } = await open(t)
      const here = await start(t, { store })
      const { clock } = here
      const there = await start(t, { store: again(), clock })
      const { refresh_token: first } = await here.login()
      const { refresh_token: second } = await refreshOrThrow(here, first)
      clock.advance(2 * GRACE)

      const recovered = await refreshOrThrow(here, first)
      t.equal(recovered.refresh_token, second)
      t.match(await getRow(store, here), { generation: 1, graceFrom: clock() })

      for (const instance of [here, there]) {
        t.equal((await instance.get('/protected', recovered.access_token)).statusCode, 200)
      }

      clock.advance(GRACE - 1)
      t.equal((await refreshOrThrow(there, first)).refresh_token, second, 'the second tab')
      t.equal((await refreshOrThrow(there, second)).refresh_token, second, 'it is kept')
      t.strictSame(getNames(there), ['replay', 'refresh'])

      clock.advance(GRACE)
      const { refresh_token: third } = await refreshOrThrow(there, second)
      t.not(third, second)
      clock.advance(1)
      t.equal((await here.refresh(first)).json().code, 'AUTH_REFRESH_REUSED')
      t.equal((await there.refresh(third)).json().code, 'AUTH_REFRESH_REVOKED')
    })

    t.test('a recovery survives a restart of all instances', async t => {
      const { store, again } = await open(t)
      const before = await createTestApp({ store })
      const { clock } = before
      const { refresh_token: first } = await before.login()
      const { refresh_token: second } = await refreshOrThrow(before, first)
      clock.advance(GRACE)
      const { access_token: access } = await refreshOrThrow(before, first)
      t.equal((await before.get('/protected', access)).statusCode, 200)
      await before.app.close()

      const after = await start(t, { store: again(), clock })
      clock.advance(GRACE - 1)
      t.equal((await refreshOrThrow(after, first)).refresh_token, second)
      t.strictSame(getNames(after), ['replay'])
    })

    t.test('a late response to a rotation starts the grace period', async t => {
      const { store, again } = await open(t)
      const clock = createClock()
      const here = await start(t, { store: delayRotations(store, clock, GRACE / 4 + 1), clock })
      const there = await start(t, { store: again(), clock })
      const { refresh_token: first } = await here.login()
      const sentAt = clock()
      const { access_token: access, refresh_token: second } = await refreshOrThrow(here, first)
      t.match(await getRow(store, here), { rotatedAt: sentAt, graceFrom: sentAt + GRACE / 4 + 1 })
      t.equal((await there.get('/protected', access)).statusCode, 200, 'the successor is used')

      clock.set(sentAt + GRACE + GRACE / 4)
      t.equal((await refreshOrThrow(there, first)).refresh_token, second, 'another tab')
      clock.advance(GRACE)
      t.equal((await there.refresh(first)).json().code, 'AUTH_REFRESH_REUSED')
    })

    t.test('a response in time leaves the grace period unchanged', async t => {
      const { store } = await open(t)
      const clock = createClock()
      const here = await start(t, { store: delayRotations(store, clock, GRACE / 4), clock })
      const { refresh_token: first } = await here.login()
      const sentAt = clock()
      await refreshOrThrow(here, first)
      t.match(await getRow(store, here), { rotatedAt: sentAt, graceFrom: sentAt })
    })
  })
}

t.test('a recovery that cannot be written results in 503', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const here = await start(t, { store: breakable.store })
  const { refresh_token: first } = await here.login()
  const { refresh_token: second } = await refreshOrThrow(here, first)
  here.clock.advance(GRACE)
  breakable.break('throws', ['touch'])
  t.equal((await here.refresh(first)).json().code, 'AUTH_STORE_UNAVAILABLE')
  t.notOk(getNames(here).includes('recovery'))
  breakable.break(null)
  t.equal((await refreshOrThrow(here, first)).refresh_token, second)
  t.match(here.events.at(-1), { name: 'recovery' })
})

t.test('a late rotation whose grace period cannot be moved results in 503', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const clock = createClock()
  const late = delayRotations(breakable.store, clock, GRACE / 2)
  const here = await start(t, { store: late, clock })
  const { refresh_token: first } = await here.login()
  breakable.break('throws', ['touch'])
  t.equal((await here.refresh(first)).json().code, 'AUTH_STORE_UNAVAILABLE')
  breakable.break(null)
  t.equal((await here.refresh(first)).statusCode, 200, 'a retry gets the successor')
})

t.test('a late rotation moves the grace period although the caller has given up', async t => {
  const store = new MemoryStore()
  const clock = createClock()
  let answer: () => void = () => t.fail('the store was called')
  const late = new Proxy<TokenStore>(store, {
    get: (target, verb: keyof TokenStore) => async (...args: unknown[]): Promise<unknown> => {
      const result: unknown = await Reflect.apply(target[verb], target, args)

      if (verb === 'rotate') {
        await new Promise<void>(resolve => {
          answer = resolve
        })
      }

      return result
    }
  })
  const here = await start(t, { store: late, clock, options: { storeTimeout: '20ms' } })
  const there = await start(t, { store, clock })
  const { refresh_token: first } = await here.login()
  t.equal((await here.refresh(first)).statusCode, 503)
  clock.advance(GRACE / 2)
  answer()
  await new Promise(resolve => setImmediate(resolve))
  t.match(await getRow(store, here), { generation: 1, graceFrom: clock() })

  const { access_token: access } = await refreshOrThrow(there, first)
  t.equal((await there.get('/protected', access)).statusCode, 200)
  clock.advance(GRACE - 1)
  t.equal((await there.refresh(first)).statusCode, 200, 'the retry of another tab')
  t.notOk(getNames(there).includes('reuse'))
})
