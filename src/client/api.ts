/**
 * Calls of the server's routes.
 *
 * @module
 */

import { clientPaths, transportHeader } from '../protocol.js'
import type { SessionListResponse, TokenResponse } from '../protocol.js'
import type { WithTimeout } from './async.js'
import { AuthError, createResponseError } from './errors.js'
import type { Platform } from './platform.js'
import type { AccessToken } from './session.js'
import { COOKIE_MARKER } from './storage.js'
import type { AuthClientOptions, SignOutReason } from './types.js'

/** Tokens of a successful login or refresh. */
export interface Tokens {
  readonly accessToken: AccessToken
  /** Value to store: the refresh token or {@link COOKIE_MARKER}; `undefined` if unchanged. */
  readonly stored: string | undefined
  /** Proves at the next login that this device is known; `undefined` if the server sent none. */
  readonly deviceToken: string | undefined
  /** Whether the refresh token came in JSON instead of a cookie, or in a cookie instead of JSON. */
  readonly isMisplaced: boolean
  readonly reason?: undefined
}

/** Result of a refresh if the session no longer exists. */
interface RefreshRejection {
  readonly accessToken?: undefined
  readonly stored: null
  readonly reason: SignOutReason
}

/** Unverified response body: a proxy or a captive portal may have sent it. */
type ResponseBody =
  & Pick<TokenResponse, 'expires_in'>
  & Partial<TokenResponse & SessionListResponse>
  & { readonly [transportHeader]: string | null }

/** Signature of `fetch`, without its extra members. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/** Options of a single request. */
export interface ApiRequest {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
}

/** Client of the server's routes. */
export interface ApiClient {
  /**
   * Calls a route.
   *
   * @param fetch - Sends the request, with or without an access token.
   * @param sessionId - Replaces `:id` in the path.
   * @returns The JSON body and the transport header; an empty body for status 204.
   * @throws AuthError
   */
  request(
    fetch: Fetch,
    route: keyof typeof clientPaths,
    request: ApiRequest,
    sessionId?: string
  ): Promise<ResponseBody>
  /** @throws AuthError */
  login(credentials: object, signal: AbortSignal): Promise<Tokens>
  /** @throws AuthError if a later attempt may succeed */
  refresh(token: string | null, signal: AbortSignal): Promise<Tokens | RefreshRejection>
  /**
   * Revokes a session. Also resolves if the session no longer exists.
   *
   * @param accessToken - Identifies the session if `token` is empty.
   * @throws AuthError if a later attempt may succeed
   */
  logout(token: string, accessToken?: string | null): Promise<unknown>
}

/**
 * Creates a client of the server's routes.
 *
 * @param root - URL of the server with the prefix and without a slash at the end.
 * @param usesCookie - Whether a cookie carries the refresh token.
 */
export function createApiClient (
  { now }: Platform,
  withTimeout: WithTimeout,
  fetch: Fetch,
  root: string,
  paths: AuthClientOptions['paths'],
  usesCookie: boolean
): ApiClient {
  const request: ApiClient['request'] = (fetch, route, options, sessionId) =>
    withTimeout(options.signal, async signal => {
      const path = { ...clientPaths, ...paths }[route]
        .replace(':id', encodeURIComponent(sessionId as string))
      const response = await fetch(root + path, {
        method: 'POST',
        credentials: usesCookie ? 'include' : 'omit',
        // A redirect could send the token or the password to another origin.
        redirect: 'error',
        ...options,
        signal
      }).catch((error: unknown) => {
        throw error instanceof AuthError ? error : new AuthError('network')
      })

      if (!response.ok) {
        throw await createResponseError(response)
      }

      // A body that is not JSON comes from something else, such as a captive portal.
      const body = response.status === 204 ? {} : await response.json().catch(() => null)

      if (!body) {
        throw new AuthError('network')
      }

      return Object.assign(body, {
        [transportHeader]: response.headers.get(transportHeader)
      }) as ResponseBody
    })

  const post = (
    route: 'login' | 'refresh' | 'logout',
    body: object,
    signal?: AbortSignal,
    accessToken?: string | null
  ): Promise<ResponseBody> =>
    request(fetch, route, {
      headers: {
        'content-type': 'application/json',
        ...(usesCookie && { [transportHeader]: 'cookie' }),
        ...(accessToken && { authorization: `Bearer ${accessToken}` })
      },
      body: JSON.stringify(body),
      signal
    })

  const createTokenBody = (token: string | null): object => ({
    refresh_token: usesCookie ? null : token || null
  })

  async function requestTokens (
    route: 'login' | 'refresh',
    body: object,
    signal: AbortSignal
  ): Promise<Tokens> {
    const requestedAt = now()
    const {
      access_token: token = null,
      refresh_token: refreshToken,
      device_token: deviceToken,
      expires_in: seconds,
      [transportHeader]: transport,
      user
    } = await post(route, body, signal)

    // JSON without tokens comes from something else, such as a captive portal.
    if (!(seconds >= 0 && (token || usesCookie || transport))) {
      throw new AuthError('network')
    }

    return {
      accessToken: { token, lifetime: seconds * 1000, requestedAt, user },
      stored: usesCookie ? COOKIE_MARKER : refreshToken,
      deviceToken,
      isMisplaced: usesCookie ? !!refreshToken : transport === 'cookie' && !refreshToken
    }
  }

  return {
    request,
    login: (credentials, signal) => requestTokens('login', credentials, signal),
    async refresh (token, signal) {
      if (!token && !usesCookie) {
        return { stored: null, reason: 'AUTH_REFRESH_MISSING' }
      }

      return requestTokens('refresh', createTokenBody(token), signal).catch((error: AuthError) => {
        if (!/^401AUTH_REFRESH_/.test(error.status + error.code)) {
          throw error
        }

        return { stored: null, reason: error.code as SignOutReason }
      })
    },
    logout: (token, accessToken) =>
      post('logout', createTokenBody(token), undefined, token ? null : accessToken).catch(
        (error: AuthError) => {
          // A refusal with a code of the server is final: a retry would have the same result.
          if (!/^40.AUTH_/.test(error.status + error.code)) {
            throw error
          }
        }
      )
  }
}
