import type { FastifyReply } from 'fastify'

/** Response with tokens (RFC 6749, section 5.1). Tokens that travel in cookies are missing. */
interface TokenBody {
  readonly access_token?: string
  readonly refresh_token?: string | undefined
  readonly token_type: string
  readonly expires_in: number
  readonly scope?: string | undefined
}

/**
 * Sends an object as JSON.
 *
 * Sends a string, so that no reply serializer or `preSerialization` hook of the app changes it.
 */
export function sendJson (reply: FastifyReply, response: object): FastifyReply {
  return sendBody(reply, JSON.stringify(response))
}

/**
 * Sends a token response as JSON.
 *
 * Tokens consist of base64url and dots, so they need no escaping. Concatenation is faster than
 * `JSON.stringify`, which checks each character.
 */
export function sendTokens (
  reply: FastifyReply,
  { access_token: access, refresh_token: refresh, ...rest }: TokenBody
): FastifyReply {
  const first = access === undefined ? '' : `"access_token":"${access}",`
  const second = refresh === undefined ? '' : `"refresh_token":"${refresh}",`
  return sendBody(reply, `{${first}${second}${JSON.stringify(rest).slice(1)}`)
}

function sendBody (reply: FastifyReply, json: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}
