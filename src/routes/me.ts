import type { FastifyInstance } from 'fastify'
import type { Authenticate } from '../authenticate.js'
import type { Auth } from '../service/access.js'
import type { Sessions } from '../service/sessions.js'
import { userAnswer } from './schemas.js'
import { sendJson } from './send.js'

/** GET me: the user, as it stands now. */
export function addMeRoute (scope: FastifyInstance, url: string, sessions: Sessions, authenticate: Authenticate): void {
  scope.get(url, {
    onRequest: authenticate,
    schema: { response: { 200: userAnswer } }
  }, async (request, reply) => sendJson(reply, await sessions.userOf((request.auth as Auth).userId)))
}
