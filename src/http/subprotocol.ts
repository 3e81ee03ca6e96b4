import { createBadRequestError } from '../errors.js'
import { tokenSubprotocol } from '../protocol.js'
import type { OriginRequest } from './csrf.js'

const BASIC_SCHEME_PATTERN = /^basic /i

/**
 * Reads the access token from the subprotocols that the handshake of a WebSocket offers.
 *
 * The client offers its own subprotocols first, then `bearer.fastify-token-auth` and the token. The
 * server must select one of the others. Browsers do not add the token themselves, so the origin of
 * the page needs no check.
 *
 * @returns `null` if the request is no such handshake, or does not offer that subprotocol.
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if not exactly one token follows it, or if the
 * request also has an `Authorization` header with another scheme than Basic.
 */
export function readSubprotocolToken ({ headers }: Pick<OriginRequest, 'headers'>): string | null {
  const { upgrade, authorization, 'sec-websocket-protocol': offered } = headers

  if (String(upgrade).toLowerCase() !== 'websocket' || offered === undefined) {
    return null
  }

  // Node joins the values of repeated headers with commas.
  const protocols = String(offered).split(',').map(protocol => protocol.trim())
  const index = protocols.indexOf(tokenSubprotocol)

  if (index === -1) {
    return null
  }

  const token = protocols[index + 1]

  // The same subprotocol a second time cannot be the token either.
  if (!token || token === tokenSubprotocol || protocols.length !== index + 2) {
    throw createBadRequestError(`exactly one token must follow the subprotocol ${tokenSubprotocol}`)
  }

  // A proxy in front of the app may require HTTP Basic for itself.
  if (authorization !== undefined && !BASIC_SCHEME_PATTERN.test(String(authorization))) {
    throw createBadRequestError(
      'two access tokens were sent: in Authorization and in Sec-WebSocket-Protocol'
    )
  }

  return token
}
