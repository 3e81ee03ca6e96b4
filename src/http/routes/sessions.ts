import type { FastifyInstance } from 'fastify'
import type { Session } from '../../domain/session.js'
import type { RouteName, SessionListResponse, SessionResponse } from '../../protocol.js'
import type { Sessions } from '../../sessions/sessions.js'
import type { UserDirectory } from '../../sessions/users.js'
import type { Auth } from '../../tokens/auth.js'
import type { Authenticate } from '../authenticate.js'
import type { DescribeRoute } from '../openapi.js'
import { sendJson } from '../reply.js'
import { routeDocs } from '../route-docs.js'
import { emptyResponse, sessionListResponse, userResponse } from '../schemas.js'

/** Paths of the session routes. `false` disables a route. */
export type SessionPaths = Readonly<
  Record<RouteName & ('sessions' | 'session' | 'otherSessions' | 'me'), string | false>
>

/** Collaborators of the session routes. */
export interface SessionRoutes {
  readonly sessions: Sessions
  readonly users: UserDirectory
  readonly authenticate: Authenticate
  readonly describe: DescribeRoute
}

/** Adds the routes that list and revoke the sessions of the user, and `me`. */
export function addSessionRoutes (
  scope: FastifyInstance,
  paths: SessionPaths,
  { sessions, users, authenticate, describe }: SessionRoutes
): void {
  if (paths.sessions !== false) {
    addSessionListRoute(scope, paths.sessions, sessions, authenticate, describe)
  }

  if (paths.otherSessions !== false) {
    addOtherSessionsRoute(scope, paths.otherSessions, sessions, authenticate, describe)
  }

  if (paths.session !== false) {
    addSessionRoute(scope, paths.session, sessions, authenticate, describe)
  }

  if (paths.me !== false) {
    addMeRoute(scope, paths.me, users, authenticate, describe)
  }
}

// GET sessions: lists the live sessions of the user.
function addSessionListRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate,
  describe: DescribeRoute
): void {
  scope.get(url, {
    onRequest: [authenticate],
    ...describe(routeDocs.sessions, { response: { 200: sessionListResponse } })
  }, async (request, reply) => {
    const { userId, sessionId } = request.auth as Auth
    const live = await sessions.list(userId)
    const response: SessionListResponse = {
      sessions: live.map(session => toResponse(session, sessionId))
    }

    return sendJson(reply, response)
  })
}

// DELETE sessions/:id: revokes one session of the user. Ignores the sessions of other users.
function addSessionRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate,
  describe: DescribeRoute
): void {
  scope.delete<{ Params: { id: string } }>(url, {
    onRequest: [authenticate],
    ...describe(routeDocs.session, { response: { 204: emptyResponse } })
  }, async (request, reply) => {
    await sessions.revokeOwn((request.auth as Auth).userId, request.params.id)
    return reply.code(204).send()
  })
}

// DELETE sessions: revokes all sessions of the user except the one of the request.
function addOtherSessionsRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate,
  describe: DescribeRoute
): void {
  scope.delete(url, {
    onRequest: [authenticate],
    ...describe(routeDocs.otherSessions, { response: { 204: emptyResponse } })
  }, async (request, reply) => {
    const { userId, sessionId } = request.auth as Auth
    await sessions.revokeUser(userId, 'revoked', sessionId, 'client')
    return reply.code(204).send()
  })
}

// GET me: returns the current data of the user.
function addMeRoute (
  scope: FastifyInstance,
  url: string,
  users: UserDirectory,
  authenticate: Authenticate,
  describe: DescribeRoute
): void {
  scope.get(
    url,
    {
      onRequest: [authenticate],
      ...describe(routeDocs.me, { response: { 200: userResponse } })
    },
    async (request, reply) => {
      const { userId } = request.auth as Auth
      return sendJson(reply, await users.getPublicUser(userId))
    }
  )
}

function toResponse (session: Session, currentId: string): SessionResponse {
  return {
    id: session.id,
    current: session.id === currentId,
    device: session.device.label,
    ip: session.device.address,
    user_agent: session.device.userAgent,
    created_at: new Date(session.createdAt).toISOString(),
    last_used_at: new Date(session.lastUsedAt).toISOString(),
    expires_at: new Date(session.expiresAt).toISOString()
  }
}
