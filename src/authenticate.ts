// The onRequest hook: bearer token -> request.auth. It answers by a callback and does no I/O, since it stands before every
// request of an app.

import type { FastifyContextConfig } from 'fastify'
import { readBearer } from './bearer.js'
import type { HttpRequest } from './bearer.js'
import { TokenAuthError } from './errors.js'
import type { AccessControl, Auth } from './service/access.js'

/** The part of a Fastify request that {@link Authenticate} reads and writes. */
export interface AuthenticatedRequest extends HttpRequest {
  readonly routeOptions: { readonly config: FastifyContextConfig }
  auth: Auth | null
}

/** A Fastify `onRequest` hook, also good as a function of `@fastify/auth`. */
export type Authenticate = (
  request: AuthenticatedRequest,
  reply: unknown,
  done: (error?: Error) => void
) => void

export function createAuthenticate (access: AccessControl): Authenticate {
  return function authenticate (request, _reply, done) {
    if (request.routeOptions.config?.tokenAuth === 'public') return done()
    try {
      const token = readBearer(request)
      if (token === null) throw new TokenAuthError('AUTH_ACCESS_MISSING')
      request.auth = access.admit(token)
    } catch (error) {
      return done(error as Error)
    }
    done()
  }
}
