import type { FastifyInstance } from 'fastify'
import { getCaller } from '../authorization.js'
import { TokenAuthError } from '../../errors.js'
import type { GetProof } from '../dpop.js'
import type { PasswordLogin } from '../../login/password-login.js'
import type { Sessions } from '../../sessions/sessions.js'
import type { ClientIdOf } from '../../oauth/client-authentication.js'
import { acceptedContent, loginBody, tokenResponse } from '../schemas.js'
import { sendTokens } from '../reply.js'
import type { TokenTransport } from '../token-transport.js'

interface LoginBody {
  readonly username?: string
  readonly email?: string
  readonly password: string
  readonly device?: string
  readonly device_token?: string | null
  readonly client_id?: string | null
  readonly client_secret?: string | null
  readonly remember_me?: boolean | string | number | null
}

export interface LoginRoute {
  readonly transport: TokenTransport
  readonly sessions: Sessions
  readonly login: PasswordLogin
  /** The OAuth client that a request names. */
  readonly clientIdOf: ClientIdOf
  readonly proofOf: GetProof
}

const yes: ReadonlySet<unknown> = new Set([true, 1, 'true', 'on', 'yes', '1'])

/**
 * POST login: `username` or `email`, `password` and perhaps `device`, as JSON or as a form; `device_token` of a login before,
 * where no cookie holds it; `remember_me` for cookies that outlive the browser; `client_id` for a session of an OAuth client,
 * whose tokens are in the answer and in no cookie. Over the cookie of another session, that one ends.
 */
export function addLoginRoute (
  scope: FastifyInstance,
  url: string,
  { transport, sessions, login, clientIdOf, proofOf }: LoginRoute
): void {
  scope.post<{ Body: LoginBody }>(url, {
    config: { tokenAuth: 'public' },
    schema: { ...acceptedContent, body: loginBody, response: { 200: tokenResponse } }
  }, async (request, reply) => {
    const clientId = clientIdOf(request, request.body)
    const inCookie = clientId === null && transport.wantsCookie(request)
    const replaced = transport.replacedBy(request, inCookie)
    const { username, email, password, device, device_token: inBody, remember_me: rememberMe } =
      request.body
    const name = username || email

    if (!name || (email && email !== name)) {
      throw new TokenAuthError('AUTH_REQUEST_INVALID', { hint: 'a username or an email is needed' })
    }

    const deviceToken = transport.deviceTokenOf(request, inCookie) ?? (inBody || null)
    const grant = await login.login({
      login: name,
      password,
      device: device || null,
      deviceToken,
      persistent: yes.has(rememberMe),
      clientId,
      proof: proofOf(request)
    }, getCaller(request))
    await sessions.replace(replaced)
    return sendTokens(reply, transport.toResponse(reply, grant, inCookie))
  })
}
