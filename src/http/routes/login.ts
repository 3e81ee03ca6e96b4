import type { FastifyInstance } from 'fastify'
import { createBadRequestError } from '../../errors.js'
import type { PasswordLogin } from '../../login/password-login.js'
import { getCaller } from '../authorization.js'
import { getDisconnectSignal } from '../disconnect.js'
import type { ClientMembers, HttpRequest } from '../authorization.js'
import type { GetProof } from '../dpop.js'
import type { DescribeRoute } from '../openapi.js'
import { sendTokens } from '../reply.js'
import { routeDocs } from '../route-docs.js'
import { acceptedContent, loginBody, tokenResponse } from '../schemas.js'
import { addChallenge, keepChallenge } from '../second-factor.js'
import { wantsPersistence } from '../token-body.js'
import type { RememberMe } from '../token-body.js'
import type { TokenTransport } from '../token-transport.js'

/** Returns the OAuth client that a request names, or `null`. */
export type GetClientId = (request: HttpRequest, body: ClientMembers) => string | null

interface LoginBody extends ClientMembers {
  readonly username?: string | null
  readonly email?: string | null
  readonly password: string
  readonly device?: string | null
  readonly device_token?: string | null
  readonly remember_me?: RememberMe
}

/** Collaborators of the login route. */
export interface LoginRoute {
  readonly transport: TokenTransport
  readonly login: PasswordLogin
  readonly getClientId: GetClientId
  readonly getProof: GetProof
  readonly describe: DescribeRoute
}

/**
 * Adds `POST login`: logs a user in with a password, by JSON or form.
 *
 * Accepts `username` or `email`, `password`, `device`, `device_token` (if no cookie carries it),
 * `remember_me` and `client_id`. A login revokes the session of an existing refresh cookie. The
 * tokens of an OAuth client are in the body, never in a cookie.
 */
export function addLoginRoute (
  scope: FastifyInstance,
  url: string,
  { transport, login, getClientId, getProof, describe }: LoginRoute
): void {
  scope.post<{ Body: LoginBody }>(url, {
    onSend: addChallenge,
    ...describe(routeDocs.login, {
      ...acceptedContent,
      body: loginBody,
      response: { 200: tokenResponse }
    })
  }, async (request, reply) => {
    const { body } = request
    assertStrings(body)
    const clientId = getClientId(request, body)
    const inCookie = clientId === null && transport.wantsCookie(request)
    const deviceToken = transport.readDeviceToken(request, inCookie) ?? (body.device_token || null)
    const opening = login.login({
      login: readLogin(body),
      password: body.password,
      device: body.device || null,
      deviceToken,
      persistent: wantsPersistence(body),
      clientId,
      proof: getProof(request),
      replaces: transport.readReplacedToken(request, inCookie),
      assertSendable: issued => {
        transport.assertSendable(issued, inCookie)
      },
      signal: getDisconnectSignal(request)
    }, getCaller(request))
    const issued = await keepChallenge(request, opening)

    if (inCookie) {
      transport.removePrevious(reply)
    }

    return sendTokens(reply, transport.toResponse(reply, issued, inCookie))
  })
}

// A hook of the app can remove the schema of the route. The store, the password hash and the
// callbacks of the app must get strings only.
function assertStrings (body: LoginBody | null): void {
  const { username, email, password, device, device_token: deviceToken } = body ?? {}

  if (typeof password !== 'string' || password === '') {
    throw createBadRequestError('password must be a non-empty string')
  }

  const isValid = [username, email, device, deviceToken].every(value =>
    typeof value === 'string' || value === undefined || value === null
  )

  if (!isValid) {
    throw createBadRequestError('username, email, device and device_token must be strings')
  }
}

function readLogin ({ username, email }: LoginBody): string {
  const login = username || email

  if (!login || (email && email !== login)) {
    throw createBadRequestError(
      'username or email is required; if both are sent, they must be equal'
    )
  }

  return login
}
