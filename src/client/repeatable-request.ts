/**
 * Requests that may have to be sent a second time.
 *
 * @module
 */

import type { Fetch } from './api.js'

/** Request of the app. */
export interface RepeatableRequest {
  /** Absolute URL. */
  readonly url: URL
  /** Headers of the request, as a copy. */
  readonly headers: Headers
  readonly signal: AbortSignal | null
  /** Whether {@link send} may be called twice. */
  readonly canRepeat: boolean
  /** Sends the request. Its own members win over those of `init`, except for headers. */
  send(fetch: Fetch, init?: RequestInit): Promise<Response>
}

/**
 * Prepares a request.
 *
 * A string, form, blob or buffer can be sent twice, and so can the body of a `Request`, which is
 * cloned. The first attempt may consume any other body, such as a stream or a generator.
 *
 * @param baseUrl - Base of a relative URL.
 */
export function createRepeatableRequest (
  input: string | URL | Request,
  init: RequestInit,
  baseUrl: string
): RepeatableRequest {
  const request = isRequest(input) ? input : null
  const url = new URL(isRequest(input) ? input.url : input, baseUrl)
  // Undefined in React Native, whose requests have no streams.
  const hasOwnBody = request !== null && (init.body ?? null) === null &&
    (request.body ?? null) !== null
  const canRepeat = hasOwnBody ? !request.bodyUsed : isRepeatable(init.body)
  let isFirst = true

  return {
    url,
    headers: new Headers(init.headers ?? request?.headers),
    signal: init.signal ?? request?.signal ?? null,
    canRepeat,
    send (fetch, more) {
      const needsClone = isFirst && hasOwnBody && canRepeat
      isFirst = false
      const headers = more?.headers ?? init.headers

      return fetch(needsClone ? request.clone() : request ?? url.href, {
        ...more,
        ...init,
        ...(headers !== undefined && { headers })
      })
    }
  }
}

/** Whether the input is a `Request`, also one of a polyfill or of another realm. */
function isRequest (input: string | URL | Request): input is Request {
  return typeof input === 'object' && 'url' in input
}

function isRepeatable (body: unknown): boolean {
  if (body === null || body === undefined || typeof body === 'string' || ArrayBuffer.isView(body)) {
    return true
  }

  return [ArrayBuffer, URLSearchParams, FormData, Blob].some(type => body instanceof type)
}
