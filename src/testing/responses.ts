/**
 * Responses of faults.
 *
 * @module
 */

import type { FaultKind, OddKind } from './fault-kind.js'

/** All kinds that `odd` includes. */
export const oddKinds: readonly OddKind[] = [
  'odd-throw',
  'odd-undefined',
  'odd-object',
  'odd-status',
  'odd-headers',
  'odd-json',
  'odd-body'
]

/** Statuses of responses without a body. */
const EMPTY_STATUSES: readonly number[] = [204, 205, 304]

/**
 * Creates the response of a fault that does not reach the server; `null` for other faults.
 *
 * @param draw - Number from 0 to 1 that decides the details.
 */
export function createFaultResponse (fault: FaultKind | undefined, draw: number): Response | null {
  const retryAfter = { 'retry-after': String(1 + Math.floor(draw * 30)) }

  switch (fault) {
    case '429':
      return createResponse(429, 'Too Many Requests', retryAfter)
    case '500':
      return createResponse(500, 'Internal Server Error')
    case 'odd-object':
    case 'odd-status':
      // `distortResponse` replaces it.
      return createResponse(500, '')
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

/** Creates a response with a plain text. */
export function createResponse (
  status: number,
  body: string,
  headers: Record<string, string> = {}
): Response {
  return new Response(body, { status, headers: { 'content-type': 'text/plain', ...headers } })
}

/** Copies a response with other content. An `ArrayBuffer` is read without real time. */
export function copyResponse (
  { status, statusText, headers, url, redirected }: Response,
  content: ArrayBuffer | ReadableStream
): Response {
  const isEmpty = EMPTY_STATUSES.includes(status)
  const copy = new Response(isEmpty ? null : content, { status, statusText, headers })
  return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected } })
}

/**
 * Returns what a broken `fetch` resolves to.
 *
 * The type is that of a working one, because a client trusts it.
 */
export function distortResponse (fault: FaultKind | undefined, response: Response): Response {
  switch (fault) {
    case 'odd-undefined':
      return undefined as unknown as Response
    case 'odd-object':
      return { ok: false, status: 500 } as Response
    case 'odd-status':
      return { headers: new Headers(), json: async () => ({}) } as Response
    case 'odd-headers':
      return Object.defineProperty(response, 'headers', {
        get () {
          throw new TypeError('headers are not available')
        }
      })
    case 'odd-json':
      return copyResponse(
        response,
        new ReadableStream({
          start (controller) {
            controller.error(new TypeError('terminated'))
          }
        })
      )
    case 'odd-body':
      return copyResponse(response, new ReadableStream())
    default:
      return response
  }
}
