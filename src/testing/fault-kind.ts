/**
 * Broken result of a `fetch`, as wrappers, mocks and monitoring scripts cause it.
 *
 * - `odd-throw`: `fetch` throws an error instead of returning a promise. The server does not handle
 *   the request.
 * - `odd-undefined`: the server handles the request, and the promise resolves to `undefined`.
 * - `odd-object`: the promise resolves to `{ ok: false, status: 500 }`. The server does not handle
 *   the request.
 * - `odd-status`: the response is an object with `headers` and `json`, but without a status. The
 *   server does not handle the request.
 * - `odd-headers`: the server handles the request, and reading `headers` of the response throws.
 * - `odd-json`: the server handles the request, and reading the body rejects.
 * - `odd-body`: the server handles the request, and reading the body never settles.
 *
 * See `portal` for a response with HTML and status 200.
 */
export type OddKind =
  | 'odd-throw'
  | 'odd-undefined'
  | 'odd-object'
  | 'odd-status'
  | 'odd-headers'
  | 'odd-json'
  | 'odd-body'

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
 * - `cached`: a shared cache responds to a GET with an earlier response for the same URL. That
 *   one was sent to another device or for another `Authorization` header. The response has `Age`
 *   and all headers except `Set-Cookie`. A request passes if the cache has no such response.
 * - `odd`: one of the kinds of {@link OddKind} at random.
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
  | 'cached'
  | 'odd'
  | OddKind
  | 'kill'
