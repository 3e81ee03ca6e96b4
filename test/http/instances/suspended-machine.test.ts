import t from 'tap'
import type { Test } from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

interface Pair {
  readonly first: TestApp
  readonly second: TestApp
  readonly clock: TestClock
  /** Lets each read of the feed by the first instance take some time. */
  slowDown(duration: number): void
  /** Time passes, but not by the monotonic clock of the first instance. */
  suspend(duration: number): void
}

async function startPair (t: Test): Promise<Pair> {
  const clock = createClock()
  const store = new MemoryStore({ clock })
  let suspended = 0
  let delay = 0

  const slowStore: TokenStore = new Proxy(store, {
    get: (target, name) => async (...args: unknown[]) => {
      const result = await Reflect.apply(Reflect.get(target, name), target, args)
      clock.advance(name === 'revocations' ? delay : 0)
      return result
    }
  })

  const start = async (store: TokenStore, monotonic: () => number): Promise<TestApp> => {
    const app = await createTestApp({
      store,
      options: {
        clock: { wall: clock, monotonic },
        refreshToken: { confirmWrites: 'immediate' }
      }
    })
    t.teardown(() => app.app.close())
    return app
  }

  const first = await start(slowStore, () => clock() - suspended)
  const second = await start(store, clock)

  return {
    first,
    second,
    clock,
    slowDown (duration) {
      delay = duration
    },
    suspend (duration) {
      clock.advance(duration)
      suspended += duration
    }
  }
}

t.test('a token that was outdated during the suspension is a reuse after it', async t => {
  const { first, second, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  t.equal((await second.get('/protected', after.access_token)).statusCode, 200)
  suspend(10 * MINUTE)
  const stolen = await first.refresh(before.refresh_token)
  t.match(stolen.json(), { statusCode: 401, code: 'AUTH_REFRESH_REUSED' })
})

t.test('a retry is a replay after a suspension', async t => {
  const { first, second, clock, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  clock.advance(2 * SECOND)
  const retry = await first.refresh(before.refresh_token)
  t.equal(retry.statusCode, 200)
  t.equal(retry.json().refresh_token, after.refresh_token)
})

t.test('a retry is a replay although the instance waits for the time of the database', async t => {
  const { first, second, clock, suspend, slowDown } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  t.equal((await second.get('/protected', after.access_token)).statusCode, 200)
  clock.advance(9.5 * SECOND)
  slowDown(2.5 * SECOND)
  const retry = await first.refresh(before.refresh_token)
  t.equal(retry.json().refresh_token, after.refresh_token)
})

t.test('the current token is rotated after a suspension', async t => {
  const { first, second, suspend } = await startPair(t)
  const before = await first.login()
  suspend(5 * MINUTE)
  const after = (await second.refresh(before.refresh_token)).json()
  suspend(10 * MINUTE)
  const next = await first.refresh(after.refresh_token)
  t.equal(next.statusCode, 200)
  t.not(next.json().refresh_token, after.refresh_token)
  t.equal((await first.get('/protected', next.json().access_token)).statusCode, 200)
})
