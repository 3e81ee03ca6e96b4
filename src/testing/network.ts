/**
 * Network between the tabs of a test and their server, with its faults.
 *
 * @module
 */

import type { Clock } from './clock.js'
import type { FaultKind } from './fault-kind.js'
import type { LogEntry } from './log.js'
import type { Random } from './random.js'
import { rejectWithReason } from './tabs.js'

/** Probability of each fault per request, together at most 1. Missing faults never happen. */
export type FaultRates = { readonly [Kind in FaultKind]?: number }

/**
 * Custom fault: replaces the server's response to a request, or delays it.
 *
 * @param proceed - Sends the request to the server.
 * @returns The response, or `undefined` to let the request pass. Reject to simulate a lost request.
 * @example
 * ```ts
 * faults.next(async () => Response.json({ code: 'AUTH_BUSY' }, { status: 503 }), '/login')
 * ```
 */
export type Interceptor = (
  request: Request,
  proceed: () => Promise<Response>
) => Promise<Response> | undefined

/** Options of {@link createNetwork}; see `FaultsOptions`. */
export interface NetworkOptions {
  readonly rates: FaultRates
  readonly latency: readonly [from: number, to: number]
  readonly longestDelay: number
  /** Whether a request may meet a random fault. */
  readonly isExposed: (method: string, url: string) => boolean
}

/** Fault for the next requests to a path. */
export interface PlannedFault {
  readonly fault: FaultKind | Interceptor
  /** End of the path. */
  readonly path: string
  remaining: number
}

/** Tab that sends requests. */
export interface Endpoint {
  readonly name: string
  isAlive(): boolean
  kill(): void
  /** Adds the headers of a browser to a request. */
  prepareRequest(url: string, headers: Headers, credentials: Request['credentials']): void
  /** Saves the cookies of a response and hides them from scripts. */
  receiveResponse(url: string, headers: Headers, credentials: Request['credentials']): void
}

/** Network of a test. */
export interface Network {
  isOnline: boolean
  /** Whether requests meet random faults. */
  isFaulty: boolean
  readonly planned: PlannedFault[]
  wrap(send: typeof fetch, endpoint: Endpoint): typeof fetch
}

/** Course of one request. */
interface Plan {
  readonly fault: FaultKind | Interceptor | undefined
  readonly requestLatency: number
  readonly responseLatency: number
  /** Number from 0 to 1 that decides the details of the fault. */
  readonly draw: number
}

/** Default rates: one request in six meets a fault. Real networks are better than that. */
export const defaultRates: FaultRates = {
  unsent: 0.02,
  drop: 0.03,
  hang: 0.01,
  delay: 0.02,
  duplicate: 0.01,
  reorder: 0.02,
  429: 0.01,
  500: 0.01,
  503: 0.01,
  504: 0.01,
  portal: 0.005,
  kill: 0.005
}

/** Creates the network of a test. */
export function createNetwork (
  clock: Clock,
  random: Random,
  { rates, latency, longestDelay, isExposed }: NetworkOptions,
  log: (entry: Omit<LogEntry, 'at' | 'step'>) => void
): Network {
  /** Wakes the requests that wait for another one to overtake them. */
  const overtaken = new Set<() => void>()
  let count = 0

  // Draws all random numbers when a request starts, so that the real speed of the server does not
  // affect later requests.
  function createPlan (method: string, url: string): Plan {
    const drawLatency = (): number => random.between(...latency) / 2
    const plan = {
      requestLatency: drawLatency(),
      responseLatency: drawLatency(),
      draw: random.next()
    }
    const randomFault = random.pickWeighted<FaultKind | undefined>([
      ...Object.entries(rates) as Array<[FaultKind, number]>,
      [undefined, Math.max(0, 1 - Object.values(rates).reduce((sum, rate) => sum + rate, 0))]
    ])
    const planned = network.planned.find(({ path, remaining }) =>
      remaining > 0 && new URL(url).pathname.endsWith(path)
    )

    if (planned !== undefined) {
      planned.remaining--
    }

    const fault = planned?.fault ??
      (network.isFaulty && isExposed(method, url) ? randomFault : undefined)
    const delay = fault === 'delay' ? plan.draw * longestDelay : 0

    return {
      ...plan,
      fault,
      requestLatency: plan.requestLatency + delay,
      responseLatency: plan.responseLatency + delay * 4
    }
  }

  function overtakeWaiting (): void {
    for (const wake of [...overtaken]) {
      wake()
    }
  }

  async function waitToBeOvertaken (): Promise<void> {
    const controller = new AbortController()

    const wake = (): void => {
      controller.abort()
    }

    overtaken.add(wake)
    await clock.sleep(longestDelay, controller.signal)
    overtaken.delete(wake)
  }

  const network: Network = {
    isOnline: true,
    isFaulty: true,
    planned: [],
    wrap: (send, endpoint) => async (input, init) => {
      const request = new Request(input as Request, { ...init, duplex: 'half' } as RequestInit)
      const { method, url, credentials, redirect, headers } = request
      const { fault, requestLatency, responseLatency, draw } = createPlan(method, url)
      const id = `${++count} ${method} ${url}`

      const logEvent = (event: LogEntry['event'], status?: number): void => {
        log({
          event,
          source: endpoint.name,
          request: id,
          ...(fault && { fault: typeof fault === 'function' ? 'custom' : fault }),
          ...(status !== undefined && { status })
        })
      }

      logEvent('request')
      const sleptBefore = clock.slept()
      const isConnected = (): boolean => network.isOnline && clock.slept() === sleptBefore
      // Read immediately, as browsers do: the caller may change the body afterwards.
      const body = request.body === null ? null : await clock.hold(() => request.arrayBuffer())
      endpoint.prepareRequest(url, headers, credentials)

      const handle = (): Promise<Response> =>
        clock.hold(async () => {
          const response = await send(url, { method, headers, body, credentials, redirect })
          const content = await response.arrayBuffer()
          logEvent('handled', response.status)
          return copyResponse(response, content)
        })

      const intercept = (): Promise<Response> | undefined =>
        typeof fault === 'function'
          ? fault(new Request(url, { method, headers, body, credentials, redirect }), handle)
          : undefined

      async function travel (signal: AbortSignal): Promise<Response> {
        if (fault === 'reorder') {
          await waitToBeOvertaken()
        }

        await clock.sleep(requestLatency)

        // An aborted request, or a request of a killed tab, does not reach the server.
        if (signal.aborted || !endpoint.isAlive()) {
          return createPending()
        }

        if (fault === 'unsent' || !isConnected()) {
          throw new TypeError('Failed to fetch')
        }

        const response = await intercept() ?? createFaultResponse(fault, draw) ?? await handle()

        if (fault !== 'reorder') {
          overtakeWaiting()
        }

        if (fault === 'hang') {
          return createPending()
        }

        const second = fault === 'duplicate'
          ? clock.sleep(draw * longestDelay).then(() => isConnected() ? handle() : response)
          : null
        second?.catch(() => {})
        const arriving = second !== null && draw < 0.5 ? await second : response
        await clock.sleep(responseLatency)

        if (signal.aborted || !endpoint.isAlive()) {
          return createPending()
        }

        if (fault === 'drop' || !isConnected()) {
          throw new TypeError('Failed to fetch')
        }

        const received = fault === '504' ? createResponse(504, 'Gateway Timeout') : arriving
        endpoint.receiveResponse(url, received.headers, credentials)

        if (fault === 'kill') {
          void clock.sleep(Math.floor(draw * 21)).then(() => {
            endpoint.kill()
          })
        }

        return received
      }

      return new Promise((resolve, reject) => {
        const { signal } = request

        const abort = (): void => {
          rejectWithReason(signal, reject)
        }

        if (signal.aborted) {
          return abort()
        }

        signal.addEventListener('abort', abort)
        travel(signal).then(response => {
          logEvent('response', response.status)
          resolve(response)
        }, (error: Error) => {
          logEvent('failure')
          reject(error)
        }).finally(() => {
          signal.removeEventListener('abort', abort)
        })
      })
    }
  }
  return network
}

/** Creates the response of a fault that does not reach the server; `null` for other faults. */
function createFaultResponse (fault: Plan['fault'], draw: number): Response | null {
  const retryAfter = { 'retry-after': String(1 + Math.floor(draw * 30)) }

  switch (fault) {
    case '429':
      return createResponse(429, 'Too Many Requests', retryAfter)
    case '500':
      return createResponse(500, 'Internal Server Error')
    case '503':
      return createResponse(503, 'Service Unavailable', draw < 0.5 ? retryAfter : {})
    case 'portal':
      return createResponse(200, '<!doctype html><title>Welcome to the hotel</title>', {
        'content-type': 'text/html'
      })
    default:
      return null
  }
}

function createResponse (
  status: number,
  body: string,
  headers: Record<string, string> = {}
): Response {
  return new Response(body, { status, headers: { 'content-type': 'text/plain', ...headers } })
}

/** Copies a response with its content, so that reading it needs no real time. */
function copyResponse (
  { status, statusText, headers, url, redirected }: Response,
  content: ArrayBuffer
): Response {
  const hasNoBody = [204, 205, 304].includes(status)
  const copy = new Response(hasNoBody ? null : content, { status, statusText, headers })
  return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected } })
}

function createPending (): Promise<never> {
  return new Promise(() => {})
}
