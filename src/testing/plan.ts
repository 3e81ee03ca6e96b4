/**
 * Course of each request: its fault and its latency.
 *
 * @module
 */

import type { FaultKind } from './fault-kind.js'
import type { Random } from './random.js'
import { oddKinds } from './responses.js'

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

/** Options of `createNetwork`; see `FaultsOptions`. */
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

/** Course of one request. */
export interface Plan {
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
  cached: 0.005,
  odd: 0.005,
  kill: 0.005
}

/**
 * Decides the course of a request.
 *
 * Draws all random numbers when the request starts, so that the real speed of the server does not
 * affect later requests.
 *
 * @param isFaulty - Whether requests meet random faults.
 */
export function createPlan (
  random: Random,
  { rates, latency, longestDelay, isExposed }: NetworkOptions,
  planned: readonly PlannedFault[],
  isFaulty: boolean,
  method: string,
  url: string
): Plan {
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
  const next = planned.find(({ path, remaining }) =>
    remaining > 0 && new URL(url).pathname.endsWith(path)
  )

  if (next !== undefined) {
    next.remaining--
  }

  const drawn = next?.fault ??
    (isFaulty && isExposed(method, url) ? randomFault : undefined)
  const fault = drawn === 'odd' ? oddKinds[Math.floor(plan.draw * oddKinds.length)] : drawn
  const delay = fault === 'delay' ? plan.draw * longestDelay : 0

  return {
    ...plan,
    fault,
    requestLatency: plan.requestLatency + delay,
    responseLatency: plan.responseLatency + delay * 4
  }
}
