import type { RouteName } from '../protocol.js'
import type { RouteDoc } from './openapi.js'

/** Names of the routes that exist only with the option `oauth`. */
type OAuthRouteName = 'token' | 'revoke' | 'introspect' | 'sync' | 'metadata'

const jwk = {
  type: 'object',
  additionalProperties: true,
  required: ['kty', 'kid'],
  properties: { kty: { type: 'string' }, kid: { type: 'string' } }
}

/** Documentation of the routes without OAuth. */
export const routeDocs: Readonly<Record<Exclude<RouteName, OAuthRouteName>, RouteDoc>> = {
  login: {
    id: 'Login',
    summary: 'Log in with a password',
    description: 'Requires `username` or `email`.',
    access: 'public',
    namesClient: true,
    sendsTokens: true,
    errors: [
      'AUTH_REQUEST_INVALID',
      'AUTH_CREDENTIALS_REJECTED',
      'AUTH_SECOND_FACTOR_REQUIRED',
      'AUTH_CLIENT_REJECTED',
      'AUTH_DPOP_INVALID',
      'AUTH_DPOP_NONCE',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS',
      'AUTH_STORE_UNAVAILABLE',
      'AUTH_BUSY'
    ]
  },
  refresh: {
    id: 'Refresh',
    summary: 'Exchange a refresh token for new tokens',
    description: 'Send the refresh token in the body, as a bearer token, or in its cookie.',
    access: 'public',
    sendsTokens: true,
    errors: [
      'AUTH_REQUEST_INVALID',
      'AUTH_REFRESH_MISSING',
      'AUTH_REFRESH_INVALID',
      'AUTH_REFRESH_EXPIRED',
      'AUTH_REFRESH_REVOKED',
      'AUTH_REFRESH_REUSED',
      'AUTH_DPOP_INVALID',
      'AUTH_DPOP_NONCE',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS',
      'AUTH_STORE_UNAVAILABLE'
    ]
  },
  elevate: {
    id: 'Elevate',
    summary: 'Confirm the password of the signed-in user',
    description: 'Returns an access token of the same session with the time of this request. ' +
      'A refresh returns to the time of the login.',
    access: 'token',
    errors: [
      'AUTH_CREDENTIALS_REJECTED',
      'AUTH_SECOND_FACTOR_REQUIRED',
      'AUTH_SECOND_FACTOR_REJECTED',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_TOO_MANY_ATTEMPTS',
      'AUTH_BUSY'
    ]
  },
  logout: {
    id: 'Logout',
    summary: 'Log out',
    description: 'Revokes the session of a refresh token of any age, or of an access token. ' +
      'Also succeeds if the session was revoked before.',
    access: 'public',
    errors: [
      'AUTH_REQUEST_INVALID',
      'AUTH_REFRESH_MISSING',
      'AUTH_ORIGIN_REJECTED',
      'AUTH_STORE_UNAVAILABLE'
    ]
  },
  logoutAll: {
    id: 'LogoutAll',
    summary: 'Revoke all sessions of the user',
    description: 'Accepts an access token, or the current or the previous refresh token of a ' +
      'session.',
    access: 'any-token',
    errors: [
      'AUTH_REFRESH_INVALID',
      'AUTH_REFRESH_EXPIRED',
      'AUTH_REFRESH_REVOKED',
      'AUTH_ORIGIN_REJECTED'
    ]
  },
  sessions: { id: 'ListSessions', summary: 'List the sessions of the user', access: 'token' },
  otherSessions: {
    id: 'RevokeOtherSessions',
    summary: 'Revoke all sessions of the user except this one',
    access: 'token',
    errors: ['AUTH_ORIGIN_REJECTED']
  },
  session: {
    id: 'RevokeSession',
    summary: 'Revoke one session of the user',
    description: 'Also succeeds if the session was revoked before, or belongs to another user.',
    access: 'token',
    errors: ['AUTH_ORIGIN_REJECTED']
  },
  me: { id: 'GetUser', summary: 'Get the user', access: 'token' },
  jwks: {
    id: 'GetKeys',
    summary: 'Get the public keys of access tokens',
    description: 'A JSON Web Key Set (RFC 7517).',
    access: 'public',
    documented: {
      response: {
        200: {
          description: 'The keys.',
          content: {
            'application/jwk-set+json': {
              schema: {
                type: 'object',
                required: ['keys'],
                properties: { keys: { type: 'array', items: jwk } }
              }
            }
          }
        }
      }
    }
  }
}
