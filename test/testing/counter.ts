import type { Faults } from '../../src/testing/index.js'

export const COUNTER_URL = 'https://app.test/things'

/** Options without random faults, for which a request takes exactly 10 ms. */
export const calm = { rates: {}, latency: [10, 10] as const }

/** Server that counts requests in its responses and cookies. */
export interface Counter {
  readonly send: typeof fetch
  /** Virtual times of the requests. */
  readonly handledAt: number[]
}

export function createCounter ({ clock }: Faults): Counter {
  const handledAt: number[] = []

  return {
    handledAt,
    async send () {
      handledAt.push(clock.now())

      return new Response(`response ${handledAt.length}`, {
        headers: { 'set-cookie': `count=${handledAt.length}; Path=/; Max-Age=60` }
      })
    }
  }
}

export interface Result {
  /** Status of the response, or name of the error; `null` if nothing arrived in a minute. */
  readonly outcome: number | string | null
  readonly body: string
  /** Milliseconds. */
  readonly duration: number
}

/** Sends a request to the counter and waits up to a minute for its result. */
export async function send (
  { clock }: Faults,
  wrapped: typeof fetch,
  init: RequestInit = {}
): Promise<Result> {
  const start = clock.now()

  const request = async (): Promise<Result> => {
    const response = await wrapped(COUNTER_URL, init)
    const body = await response.text()
    return { outcome: response.status, body, duration: clock.now() - start }
  }

  const result = request().catch((error: Error): Result => ({
    outcome: error.name,
    body: error.message,
    duration: clock.now() - start
  }))

  return clock.until(Promise.race([
    result,
    clock.sleep(60_000).then(() => ({ outcome: null, body: '', duration: 60_000 }))
  ]))
}
