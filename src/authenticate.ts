// The onRequest hook: bearer token or cookie -> request.auth. It answers by a callback and does no I/O, but for a token that is
// to be renewed, since it stands before every request of an app.

import type { FastifyContextConfig } from 'fastify'
import { readBearer } from './bearer.js'
import type { HttpRequest } from './bearer.js'
import { TokenAuthError } from './errors.js'
import { demandOrigin, isUnsafe } from './origins.js'
import type { OriginRequest } from './origins.js'
import type { RenewedToken } from './renewed-tokens.js'
import type { ResolvedTransport } from './resolve-transport.js'
import type { AccessControl, Auth } from './service/access.js'
import type { Renewal } from './service/renewal.js'

/** The part of a Fastify request that {@link Authenticate} reads and writes. */
export interface AuthenticatedRequest extends HttpRequest, OriginRequest {
  readonly routeOptions: { readonly config: FastifyContextConfig }
  readonly headers: HttpRequest['headers'] & OriginRequest['headers']
  auth: Auth | null
}

/** A Fastify `onRequest` hook, also good as a function of `@fastify/auth`. */
export type Authenticate = (
  request: AuthenticatedRequest,
  reply: unknown,
  done: (error?: Error) => void
) => void

export interface AuthenticateContext {
  readonly access: AccessControl
  readonly transport: Pick<ResolvedTransport, 'accessCookie' | 'origins'>
  /** `null` where access tokens are not renewed silently. */
  readonly renewal: Renewal | null
  /** Takes a renewed token for the reply. */
  readonly send: (request: object, renewed: RenewedToken) => void
}

export function createAuthenticate ({ access, transport, renewal, send }: AuthenticateContext): Authenticate {
  const { accessCookie, origins } = transport

  function readCookie (request: AuthenticatedRequest): string | null {
    const token = accessCookie?.read(request) ?? null
    if (token !== null && isUnsafe(request)) demandOrigin(request, origins)
    return token
  }

  return function authenticate (request, _reply, done) {
    if (request.routeOptions.config?.tokenAuth === 'public') return done()
    try {
      const bearer = readBearer(request)
      const token = bearer ?? readCookie(request)
      if (token === null) throw new TokenAuthError('AUTH_ACCESS_MISSING')
      const admitted = access.admit(token, bearer === null ? token : request.headers.authorization)
      request.auth = admitted.auth
      if (renewal?.isDue(admitted) === true) {
        renewal.next(token, admitted)
          .then(next => {
            if (next !== null) send(request, { ...next, inCookie: bearer === null })
          })
          .then(() => { done() }, (error: Error) => {
            request.auth = null
            done(error)
          })
        return
      }
    } catch (error) {
      return done(error as Error)
    }
    done()
  }
}
