/**
 * Fault of one request.
 *
 * - `unsent`: the request is lost, and the server does not handle it.
 * - `drop`: the server handles the request, and its response is lost.
 * - `hang`: the server handles the request, and no response arrives.
 * - `delay`: the request takes up to `longestDelay` longer, and its response up to 4 times that.
 * - `duplicate`: the server handles the request twice within `longestDelay`. One of the two
 *   responses arrives.
 * - `reorder`: the next request overtakes this one if it starts within `longestDelay`.
 * - `429`, `500`, `503`: this error arrives, and the server does not handle the request. A 429 has
 *   `Retry-After`, a 503 has it sometimes.
 * - `504`: the server handles the request, and a proxy responds with a timeout.
 * - `portal`: a captive portal responds with a page and status 200. The server does not handle the
 *   request.
 * - `kill`: the response arrives, and the tab crashes 0 to 20 ms later. The tab may not have saved
 *   the new tokens yet.
 */
export type FaultKind =
  | 'unsent'
  | 'drop'
  | 'hang'
  | 'delay'
  | 'duplicate'
  | 'reorder'
  | '429'
  | '500'
  | '503'
  | '504'
  | 'portal'
  | 'kill'
