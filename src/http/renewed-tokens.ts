// Renewed access tokens on their way out. They are put on the reply at the very end, so that nothing which a handler or another
// plugin says about caches or CORS stands against them.

import type { FastifyInstance } from 'fastify'
import type { TokenCookie } from './cookies.js'
import { newTokenHeader } from '../protocol.js'
import { addToHeader } from './headers.js'
import type { Renewed } from '../sessions/renewal.js'
import type { RevokedSessions } from '../revocations/revoked.js'

export interface RenewedToken extends Renewed {
  /** Whether the request held its access token in a cookie. */
  readonly inCookie: boolean
}

/** @returns What remembers the renewed token of a request. */
export function sendRenewedTokens (
  app: FastifyInstance,
  accessCookie: TokenCookie | null,
  revoked: RevokedSessions
): (request: object, renewed: RenewedToken) => void {
  const renewedByRequest = new WeakMap<object, RenewedToken>()
  app.addHook('onSend', (request, reply, payload, done) => {
    const renewed = renewedByRequest.get(request)

    // Not where the request itself has ended the session, or begun another one.
    if (renewed !== undefined && !revoked.has(renewed.sessionId)) {
      if (renewed.inCookie) {
        const { token, maxAge } = renewed

        if (accessCookie?.takes(token) && !accessCookie.isSetOn(reply)) {
          accessCookie.set(reply, token, maxAge)
        }
      } else {
        reply.header(newTokenHeader, renewed.token)
        addToHeader(reply, 'access-control-expose-headers', newTokenHeader)
      }

      reply.header('cache-control', 'no-store')
    }

    done(null, payload)
  })

  return (request, renewed) => {
    renewedByRequest.set(request, renewed)
  }
}
