import type { FastifyInstance, FastifyRequest } from 'fastify'
import { createMissingProofError, TokenAuthError } from '../../errors.js'
import type { ErrorCode } from '../../protocol.js'
import { verifyLogoutToken } from '../../sessions/logout-token.js'
import type { LogoutTokenContext } from '../../sessions/logout-token.js'
import type { Sessions } from '../../sessions/sessions.js'
import type { Auth } from '../../tokens/auth.js'
import type { Authenticate } from '../authenticate.js'
import type { RequestDpop } from '../dpop.js'
import type { DescribeRoute } from '../openapi.js'
import { routeDocs } from '../route-docs.js'
import { acceptedContent, emptyResponse, refreshTokenBody } from '../schemas.js'
import type { RefreshTokenBody } from '../token-body.js'
import type { TokenTransport } from '../token-transport.js'

type LogoutRequest = FastifyRequest<{ Body: RefreshTokenBody }>

/**
 * Adds `POST logout`: revokes the session of a refresh token of any age, or of an access token.
 *
 * Also succeeds for unknown tokens and revoked sessions (RFC 7009, section 2.2).
 */
export function addLogoutRoute (
  scope: FastifyInstance,
  url: string,
  transport: TokenTransport,
  sessions: Sessions,
  describe: DescribeRoute
): void {
  scope.post<{ Body: RefreshTokenBody }>(url, {
    ...describe(routeDocs.logout, {
      ...acceptedContent,
      body: refreshTokenBody,
      response: { 204: emptyResponse }
    })
  }, async (request, reply) => {
    const duplicates = transport.readDuplicates(request)
    const presented = duplicates.length > 0 ? duplicates : [transport.readLogoutTokens(request)]

    if (presented.every(({ refresh, access }) => refresh === null && access === null)) {
      throw new TokenAuthError('AUTH_REFRESH_MISSING')
    }

    const owners = presented.map(tokens => sessions.findOwner(tokens)).filter(each => each !== null)

    for (const owner of owners) {
      await sessions.revoke(owner, 'logout')
    }

    if (transport.shouldClearCookies(request, false)) {
      transport.clearCookies(reply)
    }

    return reply.code(204).send()
  })
}

/** Collaborators of the route that revokes all sessions of a user. */
export interface LogoutAllRoute extends LogoutTokenContext {
  readonly transport: TokenTransport
  readonly sessions: Sessions
  readonly authenticate: Authenticate
  /** `null` if DPoP is disabled. */
  readonly dpop: RequestDpop | null
  readonly describe: DescribeRoute
}

/** Codes of a rejected access token, with which a valid refresh token still suffices. */
const CODES_WITHOUT_ACCESS: ReadonlySet<ErrorCode> = new Set([
  'AUTH_ACCESS_MISSING',
  'AUTH_ACCESS_EXPIRED',
  'AUTH_ACCESS_INVALID'
])

/**
 * Adds `POST logout/all`: revokes all sessions of the user.
 *
 * Accepts an access token, or the current or the previous refresh token of a live session. A bound
 * refresh token requires a proof of its key.
 */
export function addLogoutAllRoute (
  scope: FastifyInstance,
  url: string,
  context: LogoutAllRoute
): void {
  const { transport, sessions, authenticate, dpop, describe } = context

  // Returns the user of an access token, or the error that rejects it.
  async function verifyAccess (request: FastifyRequest): Promise<string | TokenAuthError> {
    try {
      await authenticate(request, null)
      return (request.auth as Auth).userId
    } catch (error) {
      if (error instanceof TokenAuthError && CODES_WITHOUT_ACCESS.has(error.code)) {
        return error
      }

      throw error
    }
  }

  async function findUser (request: LogoutRequest): Promise<string> {
    const access = await verifyAccess(request)

    if (typeof access === 'string') {
      return access
    }

    const tokens = transport.readTokens(request)

    // A client refreshes after the error of an access token, and signs the user out after the error
    // of a refresh token. So a damaged bearer token counts as an access token.
    if (tokens.refresh === null || tokens.isUnknownKind) {
      throw access
    }

    const { userId, thumbprint } = await verifyLogoutToken(context, tokens.refresh)

    if (thumbprint !== null) {
      if (dpop === null) {
        throw createMissingProofError()
      }

      await dpop.requireProofOfKey(request, thumbprint)
    }

    return userId
  }

  scope.post<{ Body: RefreshTokenBody }>(url, {
    ...describe(routeDocs.logoutAll, {
      ...acceptedContent,
      body: refreshTokenBody,
      response: { 204: emptyResponse }
    })
  }, async (request, reply) => {
    await sessions.revokeUser(await findUser(request), 'logout-all')

    if (transport.shouldClearCookies(request, true)) {
      transport.clearCookies(reply)
    }

    return reply.code(204).send()
  })
}
