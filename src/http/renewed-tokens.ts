import type { FastifyInstance } from 'fastify'
import { newTokenHeader } from '../protocol.js'
import type { RevokedSessions } from '../revocations/revoked.js'
import type { VerifiedAccessToken } from '../sessions/access-verifier.js'
import type { Renewal, RenewedAccessToken } from '../sessions/renewal.js'
import type { TokenRenewer } from './authenticate.js'
import type { TokenCookie } from './cookies.js'
import { addToHeader } from './headers.js'

interface RenewedToken extends RenewedAccessToken {
  /** Whether the request had its access token in a cookie. */
  readonly inCookie: boolean
  readonly userId: string
}

/** Renewer of one registration. */
export interface RequestRenewer extends TokenRenewer<VerifiedAccessToken> {
  /** Leaves the renewed token out of the response, because a step-up has replaced it. */
  discard(request: object): void
}

/**
 * Renews access tokens of requests, and adds the new token to the response.
 *
 * The header is set last, in an `onSend` hook, so that cache or CORS headers of a handler cannot
 * replace it.
 */
export function createTokenRenewer (
  app: FastifyInstance,
  renewal: Renewal,
  accessCookie: TokenCookie | null,
  revoked: RevokedSessions
): RequestRenewer {
  const renewedByRequest = new WeakMap<object, RenewedToken>()

  app.addHook('onSend', (request, reply, payload, done) => {
    const renewed = renewedByRequest.get(request)

    // A handler may have revoked the session or opened another one.
    if (renewed === undefined || revoked.has(renewed.sessionId, renewed.userId)) {
      return done(null, payload)
    }

    const { token, maxAge, inCookie } = renewed

    if (!inCookie) {
      reply.header(newTokenHeader, token)
      addToHeader(reply, 'access-control-expose-headers', newTokenHeader)
    } else if (accessCookie?.fits(token) && !accessCookie.isSetOn(reply)) {
      accessCookie.set(reply, token, maxAge)
    }

    reply.header('cache-control', 'no-store')
    done(null, payload)
  })

  return {
    isDue: verified => renewal.isDue(verified),
    discard (request) {
      renewedByRequest.delete(request)
    },
    async renew (request, token, verified, inCookie) {
      const renewed = await renewal.renew(token, verified)

      if (renewed !== null) {
        const { userId } = verified.auth
        renewedByRequest.set(request, { ...renewed, inCookie, userId })
      }
    }
  }
}
