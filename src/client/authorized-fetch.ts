import { newTokenHeader } from '../protocol.js'
import type { Fetch } from './api.js'
import { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import { decodeClaims } from './session.js'
import type { Session } from './session.js'

/**
 * Creates a `fetch` that adds the access token to requests to one origin.
 *
 * Refreshes the token and repeats the request once if the server rejects the token.
 *
 * @param baseUrl - Base of relative URLs. Only its origin receives tokens.
 */
export function createAuthorizedFetch (
  { now }: Platform,
  session: Session,
  waitForToken: (signal?: AbortSignal | null) => Promise<void>,
  fetch: Fetch,
  baseUrl: string
): Fetch {
  const isOtherOrigin = (url: string): boolean =>
    new URL(url, baseUrl).origin !== new URL(baseUrl).origin

  return async function authorizedFetch (input, init = {}) {
    // All members are undefined if `input` is a string or a URL.
    const request = input as Partial<Request>
    const target = request.url ? input : new URL(input as URL, baseUrl).href
    const headers = new Headers(init.headers ?? request.headers)

    if (isOtherOrigin(request.url ?? target as string) || headers.has('authorization')) {
      return fetch(target, init)
    }

    const { state: { status }, sessionVersion } = session

    for (let rejected: Response | null = null;;) {
      await waitForToken(init.signal ?? request.signal)
      const { token, signal: tokenSignal, state } = session

      // A request that one user started must not be sent with the token of another user.
      if (status === 'signed-in' && session.sessionVersion !== sessionVersion) {
        if (rejected) {
          return rejected
        }

        throw new AuthError('signed-out')
      }

      if (state.status !== 'signed-in') {
        return fetch(target, init)
      }

      if (token) {
        headers.set('authorization', `Bearer ${token}`)
      }

      const response = await fetch(target, {
        ...(!token && { credentials: 'include' }),
        ...init,
        headers
      })

      if (isOtherOrigin(response.url)) {
        return response
      }

      const isCurrentToken = session.signal === tokenSignal
      const renewed = response.headers.get(newTokenHeader)
      // The difference between two `exp` claims needs no clock of this device.
      const gained = (decodeClaims(renewed).exp - decodeClaims(token).exp) * 1000
      const lifetime = session.remainingMs + gained

      if (isCurrentToken && lifetime > 0) {
        session.setToken({ token: renewed, lifetime, requestedAt: now() }, false)
      }

      const challenge = token && response.headers.get('www-authenticate')
      const isRejected = response.status === 401 &&
        (!challenge || challenge.includes('invalid_token'))
      // A stream is consumed by the first attempt.
      const isBodyConsumed = request.bodyUsed ||
        (init.body as Partial<ReadableStream> | null | undefined)?.getReader

      if (rejected || !isRejected) {
        return response
      }

      if (isCurrentToken) {
        session.invalidate()
      }

      if (isBodyConsumed) {
        return response
      }

      rejected = response
    }
  }
}
