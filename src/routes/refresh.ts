import type { FastifyInstance } from 'fastify'
import { callerOf } from '../bearer.js'
import { TokenAuthError } from '../errors.js'
import type { TokenAnswer } from '../protocol.js'
import type { Refresh } from '../service/refresh.js'
import type { Sessions } from '../service/sessions.js'
import { presentedTokens } from './presented-tokens.js'
import type { RefreshTokenBody } from './presented-tokens.js'
import { refreshTokenBody, tokenAnswer } from './schemas.js'
import { answerBy } from './scope.js'
import { toTokenAnswer } from './token-answer.js'

/** POST refresh: the refresh token in the body or as bearer, for a new access token and, as a rule, its successor. */
export function addRefreshRoute (scope: FastifyInstance, url: string, sessions: Sessions, refresh: Refresh): void {
  const answer = answerBy<TokenAnswer>(tokenAnswer)
  scope.post<{ Body: RefreshTokenBody }>(url, {
    config: { tokenAuth: 'public' },
    schema: { body: refreshTokenBody, response: { 200: tokenAnswer } }
  }, async (request, reply) => {
    const tokens = presentedTokens(request, sessions)
    if (tokens.refresh === null) throw new TokenAuthError(tokens.access === null ? 'AUTH_REFRESH_MISSING' : 'AUTH_REFRESH_INVALID')
    return answer(reply, toTokenAnswer(await refresh.refresh(tokens.refresh, callerOf(request))))
  })
}
