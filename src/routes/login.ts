import type { FastifyInstance } from 'fastify'
import { callerOf } from '../bearer.js'
import { TokenAuthError } from '../errors.js'
import type { TokenAnswer } from '../protocol.js'
import type { PasswordLogin } from '../service/login.js'
import { loginBody, tokenAnswer } from './schemas.js'
import { answerBy } from './scope.js'
import { toTokenAnswer } from './token-answer.js'

interface LoginBody {
  readonly username?: string
  readonly email?: string
  readonly password: string
  readonly device?: string
}

/** POST login: `username` or `email`, `password` and perhaps `device`, as JSON or as a form. */
export function addLoginRoute (scope: FastifyInstance, url: string, login: PasswordLogin): void {
  const answer = answerBy<TokenAnswer>(tokenAnswer)
  scope.post<{ Body: LoginBody }>(url, {
    config: { tokenAuth: 'public' },
    schema: { body: loginBody, response: { 200: tokenAnswer } }
  }, async (request, reply) => {
    const { username, email, password, device } = request.body
    const name = username || email
    if (!name || (email && email !== name)) throw new TokenAuthError('AUTH_REQUEST_INVALID', 'a username or an email is needed')
    const grant = await login.login({ login: name, password, device: device || null }, callerOf(request))
    return answer(reply, toTokenAnswer(grant))
  })
}
