import type { FastifyInstance } from 'fastify'
import { TokenAuthError } from '../../errors.js'
import { getCaller } from '../../http/authorization.js'
import type { ClientMembers } from '../../http/authorization.js'
import { sendTokens } from '../../http/reply.js'
import { acceptedContent, tokenResponse } from '../../http/schemas.js'
import type { RegistrationParts } from '../../http/registration.js'
import type { Millis } from '../../lib/time.js'
import type { UserDirectory } from '../../sessions/users.js'
import { SessionRefusedError } from '../../stores/token-store.js'
import { accountDocs } from '../route-docs.js'
import { secondFactorBody } from '../schemas.js'
import type { SecondFactors } from '../second-factors.js'
import { readOptionalString, readString } from './body.js'

/** Collaborators of the route that completes a login. */
export interface SecondFactorRoute extends
  Pick<
    RegistrationParts,
    'sessions' | 'throttle' | 'transport' | 'getLoginProof' | 'getClientId' | 'describe'
  > {
  readonly secondFactors: SecondFactors
  readonly profiles: UserDirectory
  readonly clock: () => Millis
}

/**
 * Adds `POST login/second`: completes a login with a code.
 *
 * Responds like the login. The client and the key must be those of the first request.
 */
export function addSecondFactorRoute (
  scope: FastifyInstance,
  url: string,
  {
    secondFactors,
    profiles,
    sessions,
    throttle,
    transport,
    getLoginProof,
    getClientId,
    describe,
    clock
  }: SecondFactorRoute
): void {
  scope.post<{ Body: ClientMembers | null }>(url, {
    ...describe(accountDocs.secondFactor, {
      ...acceptedContent,
      body: secondFactorBody,
      response: { 200: tokenResponse }
    })
  }, async (request, reply) => {
    const { body } = request
    const ticket = readString(body, 'ticket')
    const answer = { method: readString(body, 'method'), code: readString(body, 'code') }
    const clientId = getClientId(request, body ?? {})
    const inCookie = clientId === null && transport.wantsCookie(request)
    const deviceToken = transport.readDeviceToken(request, inCookie) ??
      readOptionalString(body, 'device_token')
    const by = getCaller(request)
    const proof = getLoginProof(request)
    const authenticatedAt = clock()
    const first = await secondFactors.readTicket(ticket)
    const { user, device, persistent } = first

    if (first.clientId !== clientId || first.thumbprint !== (proof?.thumbprint ?? null)) {
      throw new TokenAuthError(
        first.clientId === clientId ? 'AUTH_DPOP_INVALID' : 'AUTH_CLIENT_REJECTED',
        { hint: 'send the second factor like the first one' }
      )
    }

    await secondFactors.verify(user, answer, first.id, by)
    const issued = await secondFactors.complete(first, async amr => {
      const profile = await profiles.createProfile(user)

      try {
        return await sessions.open(profile, {
          by,
          device,
          persistent,
          authenticatedAt,
          amr,
          clientId,
          proof,
          replaces: transport.readReplacedToken(request, inCookie),
          actor: 'client',
          assertSendable: tokens => {
            transport.assertSendable(tokens, inCookie)
          }
        })
      } catch (error) {
        // All sessions of the user were revoked since the request arrived.
        throw error instanceof SessionRefusedError
          ? new TokenAuthError('AUTH_ONE_TIME_USED')
          : error
      }
    })

    if (inCookie) {
      transport.removePrevious(reply)
    }

    const { id: userId, passwordHash } = user
    const subject = { userId, passwordHash, deviceToken }
    const trusted = throttle === null || passwordHash === null
      ? null
      : throttle.issueDeviceToken(userId, passwordHash, subject, true)

    return sendTokens(
      reply,
      transport.toResponse(reply, { ...issued, deviceToken: trusted }, inCookie)
    )
  })
}
