import { findRegistration } from '../http/registration.js'
import type { UnprotectedRoute } from '../http/unprotected-routes.js'

/**
 * Lists the routes of the whole app that no `authenticate` hook protects, by path and method.
 *
 * Works like `app.tokenAuth.unprotectedRoutes()`, for an app that registers `tokenVerifier`. Assert
 * the list in a test, which then finds each route that is open by mistake.
 *
 * Only the hook counts. A route with it is not listed, even if the app opened it on purpose:
 * `config.tokenAuth` marks it as `'public'` or `'optional'`, or `protect.except` names it. A route
 * without the hook is listed, even if it is marked.
 *
 * Recognizes `authenticate` and `protect`, but no hook of your own that calls them, nor `app.auth`
 * of @fastify/auth. Leaves out `OPTIONS`, and `HEAD` of a listed `GET`.
 *
 * @param app - Scope that registers the plugin, or a child scope.
 * @throws Error if the scope has no registration, or the app is not ready.
 * @example
 * ```ts
 * import { unprotectedRoutes } from 'fastify-token-auth/verifier'
 *
 * await app.ready()
 * assert.deepEqual(unprotectedRoutes(app), [{ method: 'GET', path: '/health' }])
 * ```
 */
export function unprotectedRoutes (app: object): UnprotectedRoute[] {
  const registration = findRegistration(app)

  if (registration === null) {
    throw new Error('fastify-token-auth: tokenVerifier is not registered in this scope')
  }

  return registration.unprotectedRoutes()
}
