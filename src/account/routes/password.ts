import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import type { Authenticate } from '../../http/authenticate.js'
import { getCaller } from '../../http/authorization.js'
import { getDisconnectSignal } from '../../http/disconnect.js'
import { acceptedContent, emptyResponse } from '../../http/schemas.js'
import type { TokenTransport } from '../../http/token-transport.js'
import type { PasswordLogin } from '../../login/password-login.js'
import type { Passwords } from '../../login/passwords.js'
import type { Auth } from '../../tokens/auth.js'
import type { NewPasswords } from '../new-passwords.js'
import type { AccountPaths } from '../options.js'
import { accountDocs } from '../route-docs.js'
import { changeBody, resetBody } from '../schemas.js'
import { addLinkRoute } from './address-message.js'
import type { AddressMessageRoutes } from './address-message.js'
import { readString } from './body.js'

type Body = Readonly<Record<string, unknown>> | null

/** Collaborators of the routes that reset and change passwords. */
export interface PasswordRoutes extends AddressMessageRoutes {
  readonly newPasswords: NewPasswords
  readonly passwords: Passwords
  readonly login: PasswordLogin
  readonly transport: TokenTransport
  readonly authenticate: Authenticate
}

/** Adds the routes for forgotten and changed passwords. */
export function addPasswordRoutes (
  scope: FastifyInstance,
  paths: AccountPaths,
  routes: PasswordRoutes
): void {
  if (paths.forgotPassword !== false) {
    addLinkRoute(scope, paths.forgotPassword, 'resetPassword', routes)
  }

  if (paths.resetPassword !== false) {
    addResetPasswordRoute(scope, paths.resetPassword, routes)
  }

  if (paths.changePassword !== false) {
    addChangePasswordRoute(scope, paths.changePassword, routes)
  }
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
