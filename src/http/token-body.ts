/**
 * Members of request bodies about tokens.
 *
 * @module
 */

import { createBadRequestError } from '../errors.js'
import { MAX_TOKEN_LENGTH } from '../tokens/jwt-codec.js'

/** Body of a request with a refresh token. Absent if the token travels elsewhere. */
export type RefreshTokenBody =
  | { readonly refresh_token?: string | null, readonly remember_me?: RememberMe }
  | null
  | undefined

/** Value of `remember_me` in JSON or in a form. */
export type RememberMe = boolean | string | number | null

const TRUE_VALUES: ReadonlySet<unknown> = new Set([true, 1, 'true', 'on', 'yes', '1'])

/** Whether a request asks for cookies that outlive the browser. */
export function wantsPersistence (body: { readonly remember_me?: RememberMe } | null): boolean {
  return TRUE_VALUES.has(body?.remember_me)
}

/**
 * Reads the refresh token of a body.
 *
 * @returns The token, or `null` if there is none.
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if the token is not a string or too long.
 */
export function readBodyToken (body: RefreshTokenBody): string | null {
  const token = body?.refresh_token || null

  // A hook of the app can remove the schema of the route.
  if (token !== null && typeof token !== 'string') {
    throw createBadRequestError('refresh_token must be a string')
  }

  // A JSON Schema would count characters one by one.
  if (token !== null && token.length > MAX_TOKEN_LENGTH) {
    throw createBadRequestError('refresh_token is too long')
  }

  return token
}
