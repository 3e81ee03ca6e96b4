import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import type { TokenStore } from '../../../src/stores/token-store.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

export interface Pair {
  readonly first: TestApp
  readonly second: TestApp
  readonly clock: TestClock
  /** Lets each read of the feed by the first instance take some time. */
  slowDown(duration: number): void
  /** Time passes, but not by the monotonic clock of the first instance. */
  suspend(duration: number): void
}

/** Starts two instances. The machine of the first one can be suspended. */
export async function startPair (
  t: Test,
  options: Partial<TokenAuthOptions> = {}
): Promise<Pair> {
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
        refreshToken: { confirmWrites: 'immediate' },
        ...options
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
