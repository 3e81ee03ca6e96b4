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
  AUTH_ONE_TIME_EXPIRED: 'This link or code has expired. Request a new one.',
  AUTH_ONE_TIME_INVALID: 'This link or code is wrong. Check it, or request a new one.',
  AUTH_ONE_TIME_USED: 'This link or code was used before, or is outdated. Request a new one.',
  AUTH_PASSWORD_REJECTED: 'The server does not accept this password. Choose another one.',
  AUTH_SECOND_FACTOR_REJECTED: 'The code is wrong, or it was used before.',
  AUTH_SECOND_FACTOR_REQUIRED: 'This account has two-step sign-in. Sign in on the page Account.',
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
