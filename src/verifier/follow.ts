import type { FollowableRequest } from '../decorators.js'
import { getRegistration } from '../http/registration.js'
import type { FollowedSession } from '../live/follower.js'

/**
 * Follows the session of a request that outlives its response: a WebSocket, a stream or a job.
 *
 * Works like `app.tokenAuth.follow` of the issuer, in a service with `tokenVerifier`. The signal of
 * the result aborts when the access token expires. So the client must send a newer token before
 * that, which you pass to `renew`. With `sync`, the signal also aborts within about 1.5 s after the
 * session was revoked. Without `sync`, the service does not learn of revocations.
 *
 * An outage of the issuer aborts no signal, but `renew` rejects with 503 when the service must not
 * accept tokens any longer. Call `follow` in a route with `authenticate`, and call `end` when the
 * connection closes. Each followed session takes about 1 kB of memory.
 *
 * @throws TokenAuthError `AUTH_ACCESS_MISSING` if `authenticate` has accepted no token, and
 * `AUTH_NOT_REGISTERED` if the scope of the route has no registration.
 * @throws Error if the registration is `fakeAuth`, which has no sessions.
 * @example
 * ```ts
 * import { addAbortListener } from 'node:events'
 * import { authenticate, follow } from 'fastify-token-auth/verifier'
 *
 * app.get('/live', { websocket: true, onRequest: [authenticate] }, (socket, request) => {
 *   const { signal, renew, end } = follow(request)
 *   const close = (): void => {
 *     socket.close(4401)
 *   }
 *   addAbortListener(signal, close)
 *   // The client has the option `createRenewal: token => token` of `openSocket`.
 *   socket.on('message', message => {
 *     renew(String(message)).catch(close)
 *   })
 *   socket.on('close', end)
 * })
 * ```
 */
export function follow (request: FollowableRequest): FollowedSession {
  const registration = getRegistration(request)

  if (registration.follow === undefined) {
    throw new Error(
      `fastify-token-auth: follow does not work with ${registration.name}; register tokenVerifier`
    )
  }

  return registration.follow(request)
}
