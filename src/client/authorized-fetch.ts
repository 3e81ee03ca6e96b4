// A fetch that sends the access token, to one origin alone, and once more where it was refused.

import { newTokenHeader } from '../protocol.js'
import { AuthError } from './errors.js'
import type { Platform } from './platform.js'
import { claimsOf } from './session.js'
import type { Session } from './session.js'
import type { Fetch } from './api.js'

/** @param baseUrl What relative URLs count from; its origin is the one that gets tokens. */
export function authorizedFetch (
  { now }: Platform,
  session: Session,
  settle: (signal?: AbortSignal | null) => Promise<void>,
  fetch: Fetch,
  baseUrl: string
): Fetch {
  const isElsewhere = (url: string): boolean =>
    new URL(url, baseUrl).origin !== new URL(baseUrl).origin

  return async function authorized (input, init = {}) {
    // A text has none of these.
    const request = input as Partial<Request>
    const target = request.url ? input : new URL(input as URL, baseUrl).href
    const headers = new Headers(init.headers ?? request.headers)

    if (isElsewhere(request.url ?? target as string) || headers.has('authorization')) {
      return fetch(target, init)
    }

    const { state: { status }, sessionVersion: epoch } = session

    for (let refused: Response | null = null;;) {
      await settle(init.signal ?? request.signal)
      const { token, signal: era, state } = session

      // What was asked for as one user is not asked for as another.
      if (status === 'signed-in' && session.sessionVersion !== epoch) {
        if (refused) {
          return refused
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

      if (isElsewhere(response.url)) {
        return response
      }

      const isLatest = session.signal === era
      const renewed = response.headers.get(newTokenHeader)
      // How long ago it begins nobody tells: what is known is how much later it ends than the one before.
      const life = session.remainingMs + (claimsOf(renewed).exp - claimsOf(token).exp) * 1000

      if (isLatest && life > 0) {
        session.begin({ token: renewed, life, since: now() }, false)
      }

      const challenge = token && response.headers.get('www-authenticate')
      const isRefused = response.status === 401 &&
        (!challenge || challenge.includes('invalid_token'))
      // A stream has been read by now.
      const isSpent = request.bodyUsed ||
        (init.body as Partial<ReadableStream> | null | undefined)?.getReader

      if (refused || !isRefused) {
        return response
      }

      if (isLatest) {
        session.invalidate()
      }

      if (isSpent) {
        return response
      }

      refused = response
    }
  }
}
