// Answers become text here, which no reply serializer and no `preSerialization` hook of the app rewrites.

import type { FastifyReply } from 'fastify'

/** An answer with tokens (RFC 6749 section 5.1), but for those that cookies hold. */
interface Tokens {
  readonly access_token?: string
  readonly refresh_token?: string | undefined
  readonly token_type: string
  readonly expires_in: number
  readonly scope?: string | undefined
}

/** */
export function sendJson (reply: FastifyReply, answer: object): FastifyReply {
  return sendText(reply, JSON.stringify(answer))
}

/**
 * The same, for what holds tokens of ours. They are most of the text and need no escaping, being base64url and dots; V8 would
 * look at each of their characters, which takes longer than to sign them.
 */
export function sendTokens (
  reply: FastifyReply,
  { access_token: access, refresh_token: refresh, ...rest }: Tokens
): FastifyReply {
  const first = access === undefined ? '' : `"access_token":"${access}",`
  const second = refresh === undefined ? '' : `"refresh_token":"${refresh}",`
  return sendText(reply, `{${first}${second}${JSON.stringify(rest).slice(1)}`)
}

function sendText (reply: FastifyReply, json: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json)
}
