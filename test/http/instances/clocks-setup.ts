import type { Test } from 'tap'
import type { RevocationPage, TokenResponse, TokenStore } from '../../../src/index.js'
import { touchOf } from '../../../src/stores/conformance/harness.js'
import { createTestApp, REALM } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

export const START = Date.UTC(2026, 0, 1)
export const GRACE = 10 * SECOND
export const ACCESS = 15 * MINUTE
export const FOREVER = Date.UTC(2100)

export interface Instance extends TestApp {
  /** Time by which the wall clock of the instance is ahead. Negative if it is behind. */
  readonly error: TestClock
  /** Reads the revocations of the other instances. */
  poll(): Promise<void>
}

export interface World {
  readonly time: TestClock
  readonly instances: readonly [Instance, Instance, Instance]
  readonly store: TokenStore
}

/**
 * Starts three instances with wall clocks that are `ahead` of the true time.
 *
 * The clock of the database shows the true time, `time`.
 */
export async function startWorld (
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
          const result: unknown = await Reflect.apply(value, store, args)

          if (verb !== 'revocations') {
            return result
          }

          heard()
          return { ...result as RevocationPage, now: time() }
        }
      }
    })
    const app = await createTestApp({
      store: watched,
      clock: time,
      options: {
        clock: { wall: () => time() + error(), monotonic: time },
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
      async poll () {
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

export function getSessionId ({ access_token: token }: TokenResponse): string {
  return (JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    sid: string
  }).sid
}

/** Returns 200 or the error code of a protected route. */
export async function getAccessResult (
  instance: Instance,
  { access_token: token }: TokenResponse
): Promise<unknown> {
  const response = await instance.get('/protected', token)
  return response.statusCode === 200 ? 200 : response.json().code
}

export async function getRefreshResult (
  instance: Instance,
  { refresh_token: token }: TokenResponse
): Promise<unknown> {
  const response = await instance.refresh(token)
  return response.statusCode === 200 ? 200 : response.json().code
}

export async function refreshOrThrow (
  instance: Instance,
  { refresh_token: token }: TokenResponse
): Promise<TokenResponse> {
  const response = await instance.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refresh failed: ${response.body}`)
  }

  return response.json<TokenResponse>()
}

/** Confirms the current generation, as an instance does after it was used. */
export async function confirm ({ store }: World, tokens: TokenResponse): Promise<void> {
  const session = await store.find(REALM, getSessionId(tokens))

  if (session === null) {
    throw new Error('session is not in the store')
  }

  await store.touch([touchOf(session, { confirmedGeneration: session.generation })])
}
