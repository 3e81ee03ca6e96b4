// What may happen to a request.

/**
 * - `unsent`: the request is lost on its way; the server has not acted.
 * - `drop`: the server has acted, and its answer is lost.
 * - `hang`: the server has acted, and no answer ever comes.
 * - `delay`: the request takes up to `longestDelay` longer, and its answer up to four times that.
 * - `duplicate`: the request comes to the server twice, within `longestDelay`; the one answer or the other arrives.
 * - `reorder`: the request is overtaken by the next one, unless none comes within `longestDelay`.
 * - `429`, `500`, `503`: the server, or something before it, answers so, and has not acted. 429 has Retry-After, 503 sometimes.
 * - `504`: the server has acted, and a proxy says that it did not answer.
 * - `portal`: somebody else answers, with a page and 200; the server has not acted.
 * - `kill`: the answer arrives, and the tab is gone 0 to 20 ms later: perhaps before it has stored what it was given.
 */
export type FaultKind =
  | 'unsent' | 'drop' | 'hang' | 'delay' | 'duplicate' | 'reorder' | '429' | '500' | '503' | '504' | 'portal' | 'kill'

/** How often each kind happens, of one request; what is left out does not. Together at most 1. */
export type FaultRates = { readonly [Kind in FaultKind]?: number }

/** One request in six meets a fault. Nobody's network is as bad, and a test has no week to wait. */
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

/** What has happened. Holds no token: of a request its method and URL alone. */
export interface LogEntry {
  /** Milliseconds since the beginning. */
  readonly at: number
  /** How many steps had been taken. */
  readonly step: number
  readonly what: 'action' | 'request' | 'answer' | 'failure' | 'acted' | 'killed' | 'offline' | 'online' | 'healed'
  /** The name of an action; the number of a tab, such as `tab 2`. */
  readonly who: string
  /** For requests: their method and URL, and a number to find their answer by. */
  readonly request?: string
  readonly fault?: FaultKind
  /** Of an answer. */
  readonly status?: number
}
