import { TokenAuthError } from '../../src/errors.js'
import { Events } from '../../src/events.js'
import type { TokenAuthEvents } from '../../src/events.js'
import type { AttemptStore } from '../../src/stores/attempt-store.js'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { DeviceTokens } from '../../src/throttle/device-tokens.js'
import { Throttle } from '../../src/throttle/throttle.js'
import type { LoginSubject, ThrottleContext } from '../../src/throttle/throttle.js'
import { createClock, DAY, HOUR, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'

export const RULE = {
  freeAttempts: 2,
  maxAttempts: 100,
  wait: MINUTE,
  longestWait: HOUR,
  retention: DAY,
  sliding: true
}
export const BY = { address: '192.0.2.1', userAgent: 'tests' }

/** One login, whose password check ends when the test says so. */
export interface TestLogin {
  readonly result: Promise<string>
  /** `waiting` until the check starts, and the end of the attempt afterwards. */
  readonly state: () => 'waiting' | 'checking' | 'done' | 'rejected'
  /** Whether the check must reject like that of an unknown user. */
  readonly isHidden: () => boolean
  /** Ends the check: right password, wrong password, or a failure of the store. */
  end(how: 'right' | 'wrong' | 'failed'): void
}

export interface TestThrottle {
  readonly throttle: Throttle
  readonly attempts: AttemptStore
  readonly clock: TestClock
  readonly emitted: Array<TokenAuthEvents['login-throttled']>
  /** Keys of all calls of `consume`. */
  readonly consumed: string[][]
  login(subject: Partial<LoginSubject>, by?: typeof BY): TestLogin
}

/** Creates a throttle on a store that responds in a later turn of the event loop. */
export function createTestThrottle (
  given: Partial<Pick<ThrottleContext, 'account' | 'address'>> = {}
): TestThrottle {
  const clock = createClock()
  const memory = new MemoryAttempts()
  const emitted: TestThrottle['emitted'] = []
  const consumed: string[][] = []
  const logger = { error () {}, warn () {}, info () {} }
  const attempts: AttemptStore = {
    check: () => memory.check(),
    async consume (counts, now) {
      consumed.push(counts.map(({ key }) => key))
      const blocked = await memory.consume(counts, now)
      await settled(1)
      return blocked
    },
    refund: keys => memory.refund(keys),
    reset: (keys, refunded) => memory.reset(keys, refunded),
    sweep: batch => memory.sweep(batch)
  }
  const throttle = new Throttle({
    attempts,
    invalidTokens: new MemoryAttempts(),
    keys: [Buffer.alloc(32, 1)],
    devices: new DeviceTokens([{ id: 'k1', key: Buffer.alloc(32, 2) }]),
    account: RULE,
    address: null,
    events: new Events({ 'login-throttled': event => emitted.push(event) }, logger, 'test'),
    logger,
    clock,
    ...given
  })

  return {
    throttle,
    attempts,
    clock,
    emitted,
    consumed,
    login: (subject, by = BY) => startLogin(throttle, subject, by)
  }
}

function startLogin (
  throttle: Throttle,
  subject: Partial<LoginSubject>,
  by: typeof BY
): TestLogin {
  let state: ReturnType<TestLogin['state']> = 'waiting'

  let end: TestLogin['end'] = () => {
    throw new Error('the check has not started')
  }

  let isHidden = false

  const check = (hidden: boolean): Promise<string> => {
    state = 'checking'
    isHidden = hidden

    return new Promise((resolve, reject) => {
      end = how => {
        if (how === 'right') {
          resolve('signed in')
        } else {
          reject(
            new TokenAuthError(
              how === 'wrong' ? 'AUTH_CREDENTIALS_REJECTED' : 'AUTH_STORE_UNAVAILABLE'
            )
          )
        }
      }
    })
  }

  const whole = { login: 'ann', userId: null, passwordHash: null, deviceToken: null, ...subject }
  const result = throttle.guard(whole, by, check)
  result.then(() => {
    state = 'done'
  }, () => {
    state = 'rejected'
  })

  return {
    result,
    state: () => state,
    isHidden: () => isHidden,
    end: how => {
      end(how)
    }
  }
}

/** Waits until all pending promises have settled. */
export async function settled (turns = 5): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    await new Promise(resolve => {
      setImmediate(resolve)
    })
  }
}

/** Counts the logins in each state. */
export function countStates (logins: readonly TestLogin[]): Record<string, number> {
  const counts: Record<string, number> = {}

  for (const login of logins) {
    counts[login.state()] = (counts[login.state()] ?? 0) + 1
  }

  return counts
}

/** Ends all running checks in the same way. */
export function endAll (
  logins: readonly TestLogin[],
  how: Parameters<TestLogin['end']>[0]
): void {
  for (const login of logins.filter(({ state }) => state() === 'checking')) {
    login.end(how)
  }
}
