import type { Auth } from '../tokens/auth.js'

/** Part of a Fastify request that {@link getAuth} reads. */
export interface AuthRequest {
  /** `null` if the route is not protected. */
  readonly auth: Auth | null
  readonly method?: string
  readonly routeOptions?: { readonly url?: string | undefined }
}

/**
 * Returns `request.auth` of a protected route, which is never `null`.
 *
 * Read `request.auth` itself on routes that also serve requests without a token.
 *
 * @throws Error with status 500 if no hook of the route has set `request.auth`. Its `cause`, which
 * is in the log and not in the response, names the route and the fix.
 * @example
 * ```ts
 * app.get('/orders', { onRequest: [app.authenticate] }, async request => {
 *   return listOrders(getAuth(request).userId)
 * })
 * ```
 */
export function getAuth ({ auth, method, routeOptions }: AuthRequest): Auth {
  // `undefined` if the plugin is not registered in the scope of the route.
  if (auth != null) {
    return auth
  }

  const route = [method, routeOptions?.url].filter(Boolean).join(' ') || 'the route'
  // Fastify sends the message of the error to the client. The log also has the cause.
  const cause = new Error(
    `getAuth found no user, because ${route} is not protected; ` +
      'add onRequest: [authenticate] to the route'
  )
  throw Object.assign(new Error('Request has no user', { cause }), { statusCode: 500 })
}
