/**
 * Network between the tabs of a test and their server, with its faults.
 *
 * @module
 */

import type { Clock } from './clock.js'
import type { DeviceClock } from './device-clock.js'
import type { LogEntry } from './log.js'
import { createPlan } from './plan.js'
import type { NetworkOptions, Plan, PlannedFault } from './plan.js'
import type { Random } from './random.js'
import { createResponseCache } from './response-cache.js'
import type { CacheUser } from './response-cache.js'
import {
  copyResponse,
  createFaultResponse,
  createResponse,
  distortResponse
} from './responses.js'
import { rejectWithReason } from './tabs.js'

/** Tab of a device, as the network sees it. */
export interface Endpoint {
  readonly name: string
  /** Device of the tab. */
  readonly device: object
  readonly clock: Pick<DeviceClock, 'sleep' | 'slept' | 'waitUntilAwake'>
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

/** Adds an event of one request to the log. */
type LogEvent = (event: LogEntry['event'], status?: number) => void

/** Creates the network of a test. */
export function createNetwork (
  clock: Clock,
  random: Random,
  options: NetworkOptions,
  log: (entry: Omit<LogEntry, 'at' | 'step'>) => void
): Network {
  /** Wakes the requests that wait for another one to overtake them. */
  const overtaken = new Set<() => void>()
  const cache = createResponseCache(clock.time)
  let count = 0

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
    await clock.sleep(options.longestDelay, controller.signal)
    overtaken.delete(wake)
  }

  const network: Network = {
    isOnline: true,
    isFaulty: true,
    planned: [],
    wrap: (send, endpoint) => (input, init) => {
      let request: Request

      try {
        // Consumes a stream, as `fetch` does. A second request with the stream fails.
        request = new Request(input as Request, init)
      } catch (error) {
        return Promise.reject(error)
      }

      const { method, url } = request
      const plan = createPlan(random, options, network.planned, network.isFaulty, method, url)
      const { fault } = plan
      const id = `${++count} ${method} ${url}`

      const logEvent: LogEvent = (event, status) => {
        log({
          event,
          source: endpoint.name,
          request: id,
          ...(fault && { fault: typeof fault === 'function' ? 'custom' : fault }),
          ...(status !== undefined && { status })
        })
      }

      logEvent('request')

      if (fault === 'odd-throw') {
        logEvent('failure')
        throw createNetworkError()
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
        transmit(send, endpoint, request, plan, logEvent)
          .finally(endpoint.clock.waitUntilAwake)
          .then(response => {
            logEvent('response', response.status)
            resolve(distortResponse(typeof fault === 'function' ? undefined : fault, response))
          }, (error: Error) => {
            logEvent('failure')
            reject(error)
          }).finally(() => {
            signal.removeEventListener('abort', abort)
          })
      })
    }
  }

  /** Sends a request through all faults of its plan. */
  async function transmit (
    send: typeof fetch,
    endpoint: Endpoint,
    request: Request,
    { fault, requestLatency, responseLatency, draw }: Plan,
    logEvent: LogEvent
  ): Promise<Response> {
    const { method, url, credentials, redirect, headers, signal } = request
    const user: CacheUser = { device: endpoint.device, headers }
    const sleptBefore = endpoint.clock.slept()
    const isConnected = (): boolean => network.isOnline && endpoint.clock.slept() === sleptBefore
    /** Whether the request was aborted, or its tab was killed. */
    const isAbandoned = (): boolean => signal.aborted || !endpoint.isAlive()
    // Read immediately, as browsers do: the caller may change the body afterwards.
    const body = request.body === null ? null : await clock.hold(() => request.arrayBuffer())
    endpoint.prepareRequest(url, headers, credentials)

    const handle = (): Promise<Response> =>
      clock.hold(async () => {
        const response = await send(url, { method, headers, body, credentials, redirect })
        const content = await response.arrayBuffer()
        logEvent('handled', response.status)

        if (method === 'GET') {
          cache.save(url, user, response, content)
        }

        return copyResponse(response, content)
      })

    const intercept = (): Promise<Response> | undefined =>
      typeof fault === 'function'
        ? fault(new Request(url, { method, headers, body, credentials, redirect }), handle)
        : undefined

    const createSubstitute = (): Response | null => {
      if (typeof fault === 'function') {
        return null
      }

      return fault === 'cached' && method === 'GET'
        ? cache.find(url, user, draw)
        : createFaultResponse(fault, draw)
    }

    if (fault === 'reorder') {
      await waitToBeOvertaken()
    }

    await endpoint.clock.sleep(requestLatency)

    if (isAbandoned()) {
      return createPending()
    }

    if (fault === 'unsent' || !isConnected()) {
      throw createNetworkError()
    }

    const response = await intercept() ?? createSubstitute() ?? await handle()

    if (fault !== 'reorder') {
      overtakeWaiting()
    }

    if (fault === 'hang') {
      return createPending()
    }

    const second = fault === 'duplicate'
      ? clock.sleep(draw * options.longestDelay).then(() => isConnected() ? handle() : response)
      : null
    second?.catch(() => {})
    const arriving = second !== null && draw < 0.5 ? await second : response
    await endpoint.clock.sleep(responseLatency)

    if (isAbandoned()) {
      return createPending()
    }

    if (fault === 'drop' || !isConnected()) {
      throw createNetworkError()
    }

    const received = fault === '504' ? createResponse(504, 'Gateway Timeout') : arriving
    endpoint.receiveResponse(url, received.headers, credentials)

    if (fault === 'kill') {
      killSoon(endpoint, draw)
    }

    return received
  }

  return network
}

/** Kills a tab 0 to 20 ms later. */
function killSoon (endpoint: Endpoint, draw: number): void {
  void endpoint.clock.sleep(Math.floor(draw * 21)).then(() => {
    endpoint.kill()
  })
}

function createPending (): Promise<never> {
  return new Promise(() => {})
}

/** Creates the error of a request that was lost. */
function createNetworkError (): TypeError {
  return new TypeError('Failed to fetch')
}
