import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Authenticate } from '../../http/authenticate.js'
import { getCaller } from '../../http/authorization.js'
import { getDisconnectSignal } from '../../http/disconnect.js'
import type { DescribeRoute } from '../../http/openapi.js'
import { acceptedContent, emptyResponse } from '../../http/schemas.js'
import type { TokenTransport } from '../../http/token-transport.js'
import type { PasswordLogin } from '../../login/password-login.js'
import type { Passwords } from '../../login/passwords.js'
import type { Auth } from '../../tokens/auth.js'
import type { AccountLimits } from '../limits.js'
import type { Messenger } from '../messenger.js'
import type { NewPasswords } from '../new-passwords.js'
import type { AccountPaths } from '../options.js'
import { accountDocs } from '../route-docs.js'
import { acceptedResponse, changeBody, emailBody, resetBody } from '../schemas.js'
import { getAccountState } from '../users.js'
import type { AccountDirectory } from '../users.js'
import { readString } from './body.js'
import { findRecipient } from './recipient.js'

type Body = Readonly<Record<string, unknown>> | null

/** Collaborators of the routes that reset and change passwords. */
export interface PasswordRoutes {
  readonly users: AccountDirectory
  readonly messenger: Messenger
  readonly limits: AccountLimits
  readonly newPasswords: NewPasswords
  readonly passwords: Passwords
  readonly login: PasswordLogin
  readonly transport: TokenTransport
  readonly authenticate: Authenticate
  readonly describe: DescribeRoute
}

/** Adds the routes for forgotten and changed passwords. */
export function addPasswordRoutes (
  scope: FastifyInstance,
  paths: AccountPaths,
  routes: PasswordRoutes
): void {
  if (paths.forgotPassword !== false) {
    addForgotPasswordRoute(scope, paths.forgotPassword, routes)
  }

  if (paths.resetPassword !== false) {
    addResetPasswordRoute(scope, paths.resetPassword, routes)
  }

  if (paths.changePassword !== false) {
    addChangePasswordRoute(scope, paths.changePassword, routes)
  }
}

// POST password/forgot: sends the link to set a new password.
function addForgotPasswordRoute (
  scope: FastifyInstance,
  url: string,
  { users, messenger, limits, describe }: PasswordRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    ...describe(accountDocs.forgotPassword, {
      ...acceptedContent,
      body: emailBody,
      response: { 202: acceptedResponse }
    })
  }, async (request, reply) => {
    const email = readString(request.body, 'email')
    const by = getCaller(request)
    await limits.countMessage({ email }, by)
    messenger.sendAfter(reply, {
      kind: 'resetPassword',
      request,
      by,
      findUser: () => findRecipient(email, users, limits),
      getState: getAccountState
    })
    return reply.code(202).send()
  })
}

// POST password/reset: sets a new password by the token of a link.
function addResetPasswordRoute (
  scope: FastifyInstance,
  url: string,
  { newPasswords, describe }: PasswordRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    ...describe(accountDocs.resetPassword, {
      ...acceptedContent,
      body: resetBody,
      response: { 204: emptyResponse }
    })
  }, async (request, reply) => {
    const { body } = request
    const [token, password] = [readString(body, 'token'), readString(body, 'password')]
    await newPasswords.reset(token, password, getCaller(request))
    return reply.code(204).send()
  })
}

// POST password/change: replaces the password of the user, who proves the current one.
function addChangePasswordRoute (
  scope: FastifyInstance,
  url: string,
  { users, newPasswords, passwords, login, transport, authenticate, describe }: PasswordRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    onRequest: [authenticate],
    ...describe(accountDocs.changePassword, {
      ...acceptedContent,
      body: changeBody,
      response: { 204: emptyResponse }
    })
  }, async (request, reply) => {
    const { userId, sessionId } = request.auth as Auth
    const password = readString(request.body, 'current_password')
    const newPassword = readString(request.body, 'new_password')
    await passwords.assertAcceptable(newPassword)
    const user = await users.findById(userId)

    if (user === null) {
      throw new TokenAuthError('AUTH_SESSION_REVOKED')
    }

    await login.verifyUser(user, {
      password,
      deviceToken: transport.readDeviceToken(request, true),
      signal: getDisconnectSignal(request)
    }, getCaller(request))
    await newPasswords.change(user, newPassword, sessionId)
    return reply.code(204).send()
  })
}
