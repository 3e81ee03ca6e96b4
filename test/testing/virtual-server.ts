import type { FastifyInstance } from 'fastify'
import type { TestClock } from '../helpers/clock.js'

export const ORIGIN = 'https://app.test'

/** Creates a `fetch` that sends requests to an app without a port. */
export function createAppFetch (app: FastifyInstance): typeof fetch {
  return async (input, init = {}) => {
    const { host, pathname, search } = new URL(String(input))
    const response = await app.inject({
      method: init.method as 'GET',
      url: pathname + search,
      headers: { host, ...Object.fromEntries(init.headers as Headers) },
      ...(init.body instanceof ArrayBuffer && { payload: Buffer.from(init.body) })
    })
    const headers = new Headers()

    for (const [name, value] of Object.entries(response.headers)) {
      for (const single of [value].flat()) {
        headers.append(name, String(single))
      }
    }

    const { statusCode: status, body } = response
    return new Response(status === 204 ? null : body, { status, headers })
  }
}

/** Creates a server clock that follows virtual time. Only the virtual clock can change it. */
export function createServerClock (time: () => number): TestClock {
  const reject = (): never => {
    throw new Error('virtual time sets this clock; use `faults.clock`')
  }

  return Object.assign(() => time(), { advance: reject, set: reject })
}
