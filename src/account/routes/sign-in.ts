import type { FastifyInstance } from 'fastify'
import { badRequest } from '../../errors.js'
import { getCaller } from '../../http/authorization.js'
import type { GetProof } from '../../http/dpop.js'
import type { DescribeRoute } from '../../http/openapi.js'
import { sendJson, sendTokens } from '../../http/reply.js'
import { acceptedContent, tokenResponse } from '../../http/schemas.js'
import { addChallenge, keepChallenge } from '../../http/second-factor.js'
import { wantsPersistence } from '../../http/token-transport.js'
import type { RememberMe, TokenTransport } from '../../http/token-transport.js'
import { SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { CodeChallengeResponse } from '../../protocol.js'
import type { AccountLimits } from '../limits.js'
import type { Messenger } from '../messenger.js'
import type { AccountPaths } from '../options.js'
import { accountDocs } from '../route-docs.js'
import { acceptedResponse, challengeResponse, emailBody, redeemBody } from '../schemas.js'
import type { SignIn, SignInProof } from '../sign-in.js'
import { getAccountState } from '../users.js'
import type { AccountDirectory } from '../users.js'
import { readOptionalString, readString } from './body.js'
import { findRecipient } from './recipient.js'

type Body = { readonly remember_me?: RememberMe } | null

/** Collaborators of the routes that sign in by mail. */
export interface SignInRoutes {
  readonly users: AccountDirectory
  readonly messenger: Messenger
  readonly limits: AccountLimits
  readonly signIn: SignIn
  readonly transport: TokenTransport
  readonly getLoginProof: GetProof
  readonly clock: () => Millis
  readonly describe: DescribeRoute
}

/** Adds the routes that send and redeem links and codes to sign in. */
export function addSignInRoutes (
  scope: FastifyInstance,
  paths: AccountPaths,
  routes: SignInRoutes
): void {
  if (paths.signInLink !== false) {
    addLinkRoute(scope, paths.signInLink, routes)
  }

  if (paths.signInCode !== false) {
    addCodeRoute(scope, paths.signInCode, routes)
  }

  if (paths.redeemSignIn !== false) {
    addRedeemRoute(scope, paths.redeemSignIn, routes)
  }
}

// POST sign-in/link: sends a link.
function addLinkRoute (
  scope: FastifyInstance,
  url: string,
  { users, messenger, limits, describe }: SignInRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    ...describe(accountDocs.signInLink, {
      ...acceptedContent,
      body: emailBody,
      response: { 202: acceptedResponse }
    })
  }, async (request, reply) => {
    const email = readString(request.body, 'email')
    const by = getCaller(request)
    await limits.countMessage({ email }, by)
    messenger.sendAfter(reply, {
      kind: 'signInLink',
      request,
      by,
      findUser: () => findRecipient(email, users, limits),
      getState: getAccountState
    })
    return reply.code(202).send()
  })
}

// POST sign-in/code: sends a code, which is valid with the challenge of the response only.
function addCodeRoute (
  scope: FastifyInstance,
  url: string,
  { users, messenger, limits, signIn, clock, describe }: SignInRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    ...describe(accountDocs.signInCode, {
      ...acceptedContent,
      body: emailBody,
      response: { 202: challengeResponse }
    })
  }, async (request, reply) => {
    const email = readString(request.body, 'email')
    const by = getCaller(request)
    await limits.countMessage({ email }, by)
    const { token: challenge, expiresAt } = signIn.createChallenge(email)
    messenger.sendAfter(reply, {
      kind: 'signInCode',
      request,
      by,
      findUser: () => findRecipient(email, users, limits),
      getState: getAccountState,
      createCode: user => ({ code: signIn.createCode(challenge, user), expiresAt })
    })
    const response: CodeChallengeResponse = {
      challenge,
      expires_in: Math.floor((expiresAt - clock()) / SECOND)
    }
    return sendJson(reply.code(202), response)
  })
}

// POST sign-in/redeem: opens a session, like a login.
function addRedeemRoute (
  scope: FastifyInstance,
  url: string,
  { signIn, transport, getLoginProof, describe }: SignInRoutes
): void {
  scope.post<{ Body: Body }>(url, {
    onSend: addChallenge,
    ...describe(accountDocs.redeemSignIn, {
      ...acceptedContent,
      body: redeemBody,
      response: { 200: tokenResponse }
    })
  }, async (request, reply) => {
    const { body } = request
    const proof = readProof(body)
    const inCookie = transport.wantsCookie(request)
    const opening = signIn.open(proof, {
      by: getCaller(request),
      device: readOptionalString(body, 'device'),
      deviceToken: transport.readDeviceToken(request, inCookie),
      persistent: wantsPersistence(body),
      proof: getLoginProof(request),
      replaces: transport.readReplacedToken(request, inCookie),
      assertSendable: issued => {
        transport.assertSendable(issued, inCookie)
      }
    })
    const issued = await keepChallenge(request, opening)

    if (inCookie) {
      transport.removePrevious(reply)
    }

    return sendTokens(reply, transport.toResponse(reply, issued, inCookie))
  })
}

function readProof (body: Body): SignInProof {
  const token = readOptionalString(body, 'token')
  const [challenge, email, code] = ['challenge', 'email', 'code']
    .map(name => readOptionalString(body, name)) as [string | null, string | null, string | null]

  if (token !== null && challenge === null && code === null) {
    return { token }
  }

  if (token === null && challenge !== null && email !== null && code !== null) {
    return { challenge, email, code }
  }

  throw badRequest('token, or challenge, email and code are required')
}
