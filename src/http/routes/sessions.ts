import type { Session } from '../../domain/session.js'
import type { SessionListResponse, SessionResponse } from '../../protocol.js'
import type { Auth } from '../../sessions/access-verifier.js'
import type { Sessions } from '../../sessions/sessions.js'
import type { Authenticate } from '../authenticate.js'
import { sendJson } from '../reply.js'
import { emptyResponse, sessionListResponse, userResponse } from '../schemas.js'
import type { FastifyInstance } from 'fastify'

/** GET sessions: where the user is signed in. */
export function addSessionsRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate
): void {
  scope.get(url, {
    onRequest: authenticate,
    schema: { response: { 200: sessionListResponse } }
  }, async (request, reply) => {
    const { userId, sessionId } = request.auth as Auth
    const listed = await sessions.list(userId)

    return sendJson(
      reply,
      {
        sessions: listed.map(session => toAnswer(session, sessionId))
      } satisfies SessionListResponse
    )
  })
}

/** DELETE sessions/:id: ends one of the user's sessions. An id that is none of theirs is no error, and nothing happens. */
export function addSessionRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate
): void {
  scope.delete<{ Params: { id: string } }>(url, {
    onRequest: authenticate,
    schema: { response: { 204: emptyResponse } }
  }, async (request, reply) => {
    await sessions.endOwn((request.auth as Auth).userId, request.params.id)
    return reply.code(204).send()
  })
}

/** DELETE sessions: ends all of the user's sessions but the one that asks. */
export function addOtherSessionsRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate
): void {
  scope.delete(
    url,
    { onRequest: authenticate, schema: { response: { 204: emptyResponse } } },
    async (request, reply) => {
      const { userId, sessionId } = request.auth as Auth
      await sessions.endAll(userId, 'revoked', sessionId)
      return reply.code(204).send()
    }
  )
}

function toAnswer (session: Session, currentId: string): SessionResponse {
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

/** GET me: the user, as it stands now. */
export function addMeRoute (
  scope: FastifyInstance,
  url: string,
  sessions: Sessions,
  authenticate: Authenticate
): void {
  scope.get(
    url,
    {
      onRequest: authenticate,
      schema: { response: { 200: userResponse } }
    },
    async (request, reply) => sendJson(reply, await sessions.userOf((request.auth as Auth).userId))
  )
}
