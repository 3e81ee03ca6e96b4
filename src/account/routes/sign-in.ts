import type { FastifyInstance } from 'fastify'
import { createBadRequestError } from '../../errors.js'
import { getCaller } from '../../http/authorization.js'
import type { GetProof } from '../../http/dpop.js'
import { sendJson, sendTokens } from '../../http/reply.js'
import { acceptedContent, tokenResponse } from '../../http/schemas.js'
import { addChallenge, keepChallenge } from '../../http/second-factor.js'
import { wantsPersistence } from '../../http/token-body.js'
import type { RememberMe } from '../../http/token-body.js'
import type { TokenTransport } from '../../http/token-transport.js'
import { SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'
import type { CodeChallengeResponse } from '../../protocol.js'
import type { AccountPaths } from '../options.js'
import { accountDocs } from '../route-docs.js'
import { challengeResponse, emailBody, redeemBody } from '../schemas.js'
import type { SignIn, SignInProof } from '../sign-in.js'
import { addLinkRoute, sendToAddress } from './address-message.js'
import type { AddressMessageRoutes } from './address-message.js'
import { readOptionalString, readString } from './body.js'

type Body = { readonly remember_me?: RememberMe } | null

/** Collaborators of the routes that sign in by mail. */
export interface SignInRoutes extends AddressMessageRoutes {
  readonly signIn: SignIn
  readonly transport: TokenTransport
  readonly getLoginProof: GetProof
  readonly clock: () => Millis
}

/** Adds the routes that send and redeem links and codes to sign in. */
export function addSignInRoutes (
  scope: FastifyInstance,
  paths: AccountPaths,
  routes: SignInRoutes
): void {
  if (paths.signInLink !== false) {
    addLinkRoute(scope, paths.signInLink, 'signInLink', routes)
  }

  if (paths.signInCode !== false) {
    addCodeRoute(scope, paths.signInCode, routes)
  }

  if (paths.redeemSignIn !== false) {
    addRedeemRoute(scope, paths.redeemSignIn, routes)
  }
}

// POST sign-in/code: sends a code, which is valid with the challenge of the response only.
function addCodeRoute (
  scope: FastifyInstance,
  url: string,
  routes: SignInRoutes
): void {
  const { signIn, clock, describe } = routes

  scope.post<{ Body: Body }>(url, {
    ...describe(accountDocs.signInCode, {
      ...acceptedContent,
      body: emailBody,
      response: { 202: challengeResponse }
    })
  }, async (request, reply) => {
    const email = readString(request.body, 'email')
    const { token: challenge, expiresAt } = signIn.createChallenge(email)
    await sendToAddress({
      request,
      reply,
      kind: 'signInCode',
      email,
      createCode: user => ({ code: signIn.createCode(challenge, user), expiresAt })
    }, routes)
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

  throw createBadRequestError('token, or challenge, email and code are required')
}
