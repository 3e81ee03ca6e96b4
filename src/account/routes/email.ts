import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Caller } from '../../domain/session.js'
import { createBadRequestError, TokenAuthError } from '../../errors.js'
import type { Events } from '../../events.js'
import type { Authenticate } from '../../http/authenticate.js'
import { getCaller } from '../../http/authorization.js'
import type { DescribeRoute } from '../../http/openapi.js'
import { acceptedContent, emptyResponse } from '../../http/schemas.js'
import { KeyedSingleFlight } from '../../lib/single-flight.js'
import type { Millis } from '../../lib/time.js'
import type { Auth } from '../../tokens/auth.js'
import type { AccountLimits } from '../limits.js'
import { getPurpose } from '../messenger.js'
import type { Messenger } from '../messenger.js'
import { REPEAT_WINDOW } from '../one-time-token-issuer.js'
import type { OneTimeTokenIssuer } from '../one-time-token-issuer.js'
import type { AccountPaths } from '../options.js'
import { accountDocs } from '../route-docs.js'
import { acceptedResponse, tokenBody } from '../schemas.js'
import type { SingleUse } from '../single-use.js'
import { createTokenUser } from '../token-user.js'
import { getAddressState } from '../users.js'
import type { AccountDirectory } from '../users.js'
import { readString } from './body.js'

/** Collaborators of the routes that verify addresses. */
export interface EmailRoutes {
  readonly issuer: OneTimeTokenIssuer
  readonly singleUse: SingleUse
  readonly users: AccountDirectory
  readonly messenger: Messenger
  readonly limits: AccountLimits
  readonly events: Events
  readonly clock: () => Millis
  readonly authenticate: Authenticate
  readonly describe: DescribeRoute
}

/** Adds the routes that send and redeem links to verify an address. */
export function addEmailRoutes (
  scope: FastifyInstance,
  paths: AccountPaths,
  routes: EmailRoutes
): void {
  if (paths.emailVerification !== false) {
    addEmailVerificationRoute(scope, paths.emailVerification, routes)
  }

  if (paths.verifyEmail !== false) {
    addVerifyEmailRoute(scope, paths.verifyEmail, routes)
  }
}

/**
 * Sends the link that verifies the address of a user, after the app has created the user.
 *
 * @throws TokenAuthError `AUTH_TOO_MANY_ATTEMPTS`, `AUTH_STORE_UNAVAILABLE`
 * @throws Error if the user does not exist or has no address, or if the callback of the app fails.
 */
export async function sendVerification (
  userId: string,
  request: FastifyRequest,
  { users, messenger, limits }: EmailRoutes
): Promise<void> {
  const user = await users.findById(userId)

  if (user === null || user.email === null) {
    throw new Error(
      'fastify-token-auth: the user of sendVerification is unknown, disabled or has no "email"'
    )
  }

  const by = getCaller(request)
  await limits.countMessage({ userId: user.id, use: 'verify-email' }, by)
  await messenger.sendLink({ kind: 'verifyEmail', request, by, getState: getAddressState }, user)
}

// POST email/verification: sends the link again, to the address that the user has now.
function addEmailVerificationRoute (
  scope: FastifyInstance,
  url: string,
  { users, messenger, limits, authenticate, describe }: EmailRoutes
): void {
  scope.post(url, {
    onRequest: [authenticate],
    ...describe(accountDocs.emailVerification, { response: { 202: acceptedResponse } })
  }, async (request, reply) => {
    const user = await users.findById((request.auth as Auth).userId)

    if (user === null) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    if (user.email === null) {
      throw createBadRequestError('the user has no address')
    }

    const by = getCaller(request)
    await limits.countMessage({ userId: user.id, use: 'verify-email' }, by)
    messenger.sendAfter(reply, {
      kind: 'verifyEmail',
      request,
      by,
      findUser: async () => user,
      getState: getAddressState
    })
    return reply.code(202).send()
  })
}

// POST email/verify: marks the address of a link as verified.
function addVerifyEmailRoute (scope: FastifyInstance, url: string, routes: EmailRoutes): void {
  const running = new KeyedSingleFlight<string, void>()

  scope.post<{ Body: { readonly token: string } | null }>(url, {
    ...describeVerification(routes.describe)
  }, async (request, reply) => {
    const token = readString(request.body, 'token')
    // Concurrent requests of a double click share one call of the app's callback.
    await running.run(token, () => verifyEmail(token, getCaller(request), routes))
    return reply.code(204).send()
  })
}

function describeVerification (describe: DescribeRoute) {
  return describe(accountDocs.verifyEmail, {
    ...acceptedContent,
    body: tokenBody,
    response: { 204: emptyResponse }
  })
}

async function verifyEmail (
  token: string,
  by: Caller,
  { issuer, singleUse, users, events, clock }: EmailRoutes
): Promise<void> {
  const tokenUser = createTokenUser(users, getAddressState)
  const { id, expiresAt, isDone } = await issuer.redeem(token, {
    purpose: getPurpose('verifyEmail'),
    state: tokenUser.state
  })
  const { found: user } = tokenUser

  // The address has changed since the first request.
  if (user === null || user.email === null || isDone) {
    throw new TokenAuthError('AUTH_ONE_TIME_USED')
  }

  await users.markEmailVerified(user.id, user.email)
  const { isFirst } = await singleUse.claim('email-verified', id, expiresAt + REPEAT_WINDOW)

  if (isFirst) {
    events.emit('email-verified', { at: clock(), userId: user.id, ...by })
  }
}
