// Errors as OAuth clients know them (RFC 6749 section 5.2): one table, from our codes to theirs. What was wrong with a refresh
// token is not told: one body for all causes.

import type { FastifyError, FastifyInstance } from 'fastify'
import { TokenAuthError } from '../errors.js'
import type { ErrorCode } from '../protocol.js'
import { sendJson } from '../http/reply.js'

/** RFC 6749 section 5.2, RFC 8707 section 2, RFC 9449 sections 5 and 8. */
export type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'unsupported_grant_type'
  | 'invalid_scope'
  | 'invalid_target'
  | 'invalid_dpop_proof'
  | 'use_dpop_nonce'
  | 'temporarily_unavailable'
  | 'server_error'

type Description = readonly [error: OAuthErrorCode, description: string, statusCode?: number]

const unknownClient = [
  'invalid_client',
  'The client is unknown, or has not proved that it is this one'
] as const

const table: { readonly [Code in ErrorCode]?: Description } = {
  AUTH_REQUEST_INVALID: ['invalid_request', 'The request is malformed'],
  AUTH_CLIENT_REJECTED: [...unknownClient, 401],
  AUTH_DPOP_INVALID: ['invalid_dpop_proof', 'The proof of possession is missing or invalid'],
  AUTH_DPOP_NONCE: ['use_dpop_nonce', 'The proof of possession needs the nonce of DPoP-Nonce'],
  AUTH_CLAIMS_INSUFFICIENT: ['invalid_scope', 'More is asked for than there is'],
  AUTH_TOO_MANY_ATTEMPTS: ['temporarily_unavailable', 'Too many attempts', 429],
  AUTH_STORE_UNAVAILABLE: ['temporarily_unavailable', 'Try again', 503]
}
const refused: Description = [
  'invalid_grant',
  'The token is not good for this client, or not any more'
]
const malformed: Description = ['invalid_request', 'The request is malformed']
const failed: Description = ['server_error', 'Something went wrong', 500]

/** An error that our own routes have no code for. */
export class OAuthError extends Error {
  readonly description: Description

  /** @param text Printable ASCII without `"` and `\`. */
  constructor (code: OAuthErrorCode, text: string) {
    super(text)
    this.description = [code, text]
  }

  /** For a client that has not tried to authenticate by the header (RFC 6749 section 5.2). */
  static unknownClient (): OAuthError {
    return new OAuthError(...unknownClient)
  }
}

/**
 * Lets every error of the scope, Fastify's own too, go out in the shape of RFC 6749.
 * @param realm Of the challenge to a client that has not authenticated.
 */
export function answerOAuthErrors (scope: FastifyInstance, realm: string): void {
  scope.setErrorHandler<FastifyError | TokenAuthError | OAuthError>((error, request, reply) => {
    const [code, text, statusCode = 400] = describe(error)

    if (code === 'server_error') {
      request.log.error({ err: error }, 'a route for OAuth clients failed')
    }

    // Of the scope around it, for errors of its own. When to try again, it has said as well.
    reply.removeHeader('www-authenticate')

    if (statusCode === 401) {
      void reply.header('www-authenticate', `Basic realm="${realm}"`)
    }

    return sendJson(reply.code(statusCode), { error: code, error_description: text })
  })
}

function describe (error: FastifyError | TokenAuthError | OAuthError): Description {
  if (error instanceof OAuthError) {
    return error.description
  }

  if (error instanceof TokenAuthError) {
    return table[error.code] ?? (error.code.startsWith('AUTH_REFRESH_') ? refused : failed)
  }

  const { statusCode = 500 } = error

  // Of a limiter of the app's own: a client that comes back later is right.
  if (statusCode === 429 || statusCode === 503) {
    return ['temporarily_unavailable', 'Try again later', statusCode]
  }

  return statusCode < 500 ? malformed : failed
}
