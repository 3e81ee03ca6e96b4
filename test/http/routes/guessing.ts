import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

type Throttle = TokenAuthOptions['throttle']

interface Attempt {
  readonly username?: string
  readonly password?: string
  readonly from?: string
  readonly token?: string | undefined
}

export interface Guessing extends TestApp {
  guess(attempt?: Attempt): Promise<LightMyRequestResponse>
  /** Sends incorrect passwords concurrently. Returns the number of responses by status. */
  storm(count: number, attempt?: (i: number) => Attempt): Promise<Record<number, number>>
}

export async function createThrottledApp (
  t: Test,
  throttle: Throttle = {},
  given: TestAppOptions = {}
): Promise<Guessing> {
  const test = await createTestApp({ ...given, options: { throttle, ...given.options } })
  t.teardown(() => test.app.close())
  const guess: Guessing['guess'] = async (
    { username = 'ann', password = 'wrong', from = '192.0.2.1', token } = {}
  ) =>
    test.app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress: from,
      payload: { username, password, device_token: token }
    })

  const storm: Guessing['storm'] = async (count, attempt = () => ({})) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => guess(attempt(i))))
    const counts: Record<number, number> = {}

    for (const { statusCode } of answers) {
      counts[statusCode] = (counts[statusCode] ?? 0) + 1
    }

    return counts
  }

  return { ...test, guess, storm }
}
