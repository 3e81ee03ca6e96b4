import type { FastifyError, FastifyInstance } from 'fastify'
import { TokenAuthError } from '../errors.js'
import { removeFromHeader } from '../http/headers.js'
import { sendJson } from '../http/reply.js'
import { errorHeader } from '../protocol.js'
import type { ErrorCode } from '../protocol.js'

/**
 * Value of `error` in an error response (RFC 6749, section 5.2; RFC 8707, section 2; RFC 9449,
 * sections 5 and 8).
 */
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

type ErrorResponse = readonly [code: OAuthErrorCode, description: string, statusCode?: number]

const INVALID_CLIENT = ['invalid_client', 'Client authentication failed'] as const

// One description for all causes, because details about a token would help an attacker.
const INVALID_GRANT: ErrorResponse = [
  'invalid_grant',
  'Token is invalid, expired, revoked or issued to another client'
]
const INVALID_REQUEST: ErrorResponse = ['invalid_request', 'Request is malformed']
const SERVER_ERROR: ErrorResponse = ['server_error', 'Internal server error', 500]

const RESPONSES: { readonly [Code in ErrorCode]?: ErrorResponse } = {
  AUTH_REQUEST_INVALID: INVALID_REQUEST,
  AUTH_CLIENT_REJECTED: [...INVALID_CLIENT, 401],
  AUTH_DPOP_INVALID: ['invalid_dpop_proof', 'DPoP proof is missing or invalid'],
  AUTH_DPOP_NONCE: ['use_dpop_nonce', 'DPoP proof requires the nonce of the DPoP-Nonce header'],
  AUTH_CLAIMS_INSUFFICIENT: ['invalid_scope', 'Requested scope exceeds the granted scope'],
  AUTH_TOO_MANY_ATTEMPTS: [
    'temporarily_unavailable',
    'Too many attempts, try again later',
    429
  ],
  AUTH_STORE_UNAVAILABLE: [
    'temporarily_unavailable',
    'Session store is unavailable',
    503
  ]
}

/** Error of an OAuth endpoint that has no `TokenAuthError` code. */
export class OAuthError extends Error {
  readonly response: ErrorResponse

  /** @param description - Printable ASCII without `"` and `\`. */
  constructor (code: OAuthErrorCode, description: string) {
    super(description)
    this.response = [code, description]
  }

  /**
   * Creates the error for a client that failed to authenticate without the `Authorization` header
   * (RFC 6749, section 5.2).
   */
  static invalidClient (): OAuthError {
    return new OAuthError(...INVALID_CLIENT)
  }
}

/**
 * Sends all errors of a scope, including Fastify's own, in the format of OAuth
 * (RFC 6749, section 5.2).
 *
 * @param realm - Realm of the challenge to a client that failed to authenticate.
 */
export function setOAuthErrorHandler (scope: FastifyInstance, realm: string): void {
  scope.setErrorHandler<FastifyError | TokenAuthError | OAuthError>((error, request, reply) => {
    const [code, description, statusCode = 400] = getErrorResponse(error)

    if (code === 'server_error') {
      request.log.error({ err: error }, 'OAuth endpoint failed')
    }

    // An `onError` hook of the outer scope has added a Bearer challenge, and the code of the error,
    // which would reveal the cause. Its `Retry-After` stays.
    reply.removeHeader('www-authenticate')
    reply.removeHeader(errorHeader)
    removeFromHeader(reply, 'access-control-expose-headers', errorHeader)

    if (statusCode === 401) {
      void reply.header('www-authenticate', `Basic realm="${realm}"`)
    }

    return sendJson(reply.code(statusCode), { error: code, error_description: description })
  })
}

function getErrorResponse (error: FastifyError | TokenAuthError | OAuthError): ErrorResponse {
  if (error instanceof OAuthError) {
    return error.response
  }

  if (error instanceof TokenAuthError) {
    return RESPONSES[error.code] ??
      (error.code.startsWith('AUTH_REFRESH_') ? INVALID_GRANT : SERVER_ERROR)
  }

  const { statusCode = 500 } = error

  // A rate limiter of the app rejected the request. The client can retry it.
  if (statusCode === 429 || statusCode === 503) {
    return ['temporarily_unavailable', 'Try again later', statusCode]
  }

  return statusCode < 500 ? INVALID_REQUEST : SERVER_ERROR
}
