import type { FastifyInstance } from 'fastify'
import { createBadRequestError, TokenAuthError } from '../../errors.js'
import type { Millis } from '../../lib/time.js'
import type { PasswordLogin } from '../../login/password-login.js'
import type { SecondFactorAnswer } from '../../login/second-factor.js'
import type { UserDirectory } from '../../sessions/users.js'
import type { Authenticate } from '../authenticate.js'
import { getCaller } from '../authorization.js'
import { getDisconnectSignal } from '../disconnect.js'
import type { RequestElevation } from '../elevation.js'
import type { DescribeRoute } from '../openapi.js'
import { sendTokens } from '../reply.js'
import { routeDocs } from '../route-docs.js'
import { acceptedContent, elevateBody, tokenResponse } from '../schemas.js'
import { addChallenge, keepChallenge } from '../second-factor.js'
import type { TokenTransport } from '../token-transport.js'

interface ElevateBody {
  readonly password: string
  readonly device_token?: string | null
  readonly method?: string | null
  readonly code?: string | null
}

interface ElevateInput {
  readonly password: string
  readonly deviceToken: string | null
  /** Second factor, if the body has one. */
  readonly answer: SecondFactorAnswer | null
}

/** Collaborators of the step-up route. */
export interface ElevateRoute {
  readonly transport: TokenTransport
  readonly elevation: RequestElevation
  readonly login: PasswordLogin
  readonly users: UserDirectory
  readonly clock: () => Millis
  readonly authenticate: Authenticate
  readonly describe: DescribeRoute
}

/**
 * Adds `POST elevate`: verifies the password of the signed-in user again (step-up).
 *
 * Responds with an access token of the same session. Its `auth_time` is the time of the request.
 * Limits failed attempts like the login.
 */
export function addElevateRoute (
  scope: FastifyInstance,
  url: string,
  { transport, elevation, login, users, clock, authenticate, describe }: ElevateRoute
): void {
  scope.post<{ Body: ElevateBody }>(url, {
    onRequest: [authenticate],
    onSend: addChallenge,
    ...describe(routeDocs.elevate, {
      ...acceptedContent,
      body: elevateBody,
      response: { 200: tokenResponse }
    })
  }, async (request, reply) => {
    const { password, deviceToken, answer } = readBody(request.body)
    const presented = elevation.read(request)
    // An attacker must not be able to guess the password with an outdated or revoked token.
    await elevation.assertCurrent(presented)
    const user = await users.findById(presented.token.userId)

    if (user === null || user.isDisabled) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    const authenticatedAt = clock()
    const verifying = login.verifyStepUp(
      user,
      {
        password,
        deviceToken: transport.readDeviceToken(request, true) ?? deviceToken,
        signal: getDisconnectSignal(request)
      },
      answer,
      getCaller(request)
    )
    const amr = await keepChallenge(request, verifying)
    const issued = await elevation.elevate(request, presented, { amr, authenticatedAt })

    return sendTokens(reply, transport.toResponse(reply, issued, presented.inCookie))
  })
}

// A hook of the app can remove the schema of the route.
function readBody (body: ElevateBody | null): ElevateInput {
  const { password, device_token: deviceToken, method, code } = body ?? {}

  if (typeof password !== 'string' || password === '') {
    throw createBadRequestError('password must be a non-empty string')
  }

  if (![deviceToken, method, code].every(value => value == null || typeof value === 'string')) {
    throw createBadRequestError('device_token, method and code must be strings')
  }

  return {
    password,
    deviceToken: deviceToken || null,
    answer: method && code ? { method, code } : null
  }
}
