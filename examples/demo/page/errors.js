/** @type {Partial<Record<string, string>>} */
const messagesByCode = {
  AUTH_CREDENTIALS_REJECTED: 'Name or password is wrong.',
  AUTH_TOO_MANY_ATTEMPTS: 'Too many wrong passwords.',
  AUTH_REFRESH_REVOKED: 'This session was revoked, by another device or by the server.',
  AUTH_REFRESH_EXPIRED: 'This session has expired. Please sign in again.',
  AUTH_REFRESH_REUSED: 'You were signed out, because two sides used the refresh token of this ' +
    'session. One of them may be an attacker. Please sign in again.',
  AUTH_REFRESH_MISSING: 'The browser did not save the cookie. Safari rejects it over http: ' +
    'start the demo with COOKIE_SECURE=false.',
  network: 'The server does not respond. Is it still running?',
  'signed-out': 'You were signed out in the meantime.'
}

/**
 * Describes an error of the client or of `fetch` for the user.
 *
 * @param {unknown} error
 * @returns {string}
 */
export function describeError (error) {
  const { code = '', message, retryAfter } =
    /** @type {Error & { code?: string, retryAfter?: number }} */ (error)
  const isNetworkError = error instanceof TypeError
  const text = messagesByCode[code] ?? (isNetworkError ? messagesByCode.network : message) ?? ''
  return retryAfter ? `${text} Try again in ${retryAfter} s.` : text
}
