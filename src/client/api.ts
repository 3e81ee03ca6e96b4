/**
 * Calls of the server's routes.
 *
 * @module
 */

import { clientPaths, transportHeader } from '../protocol.js'
import type { SessionResponse } from '../protocol.js'
import type { WithTimeout } from './async.js'
import { AuthError, toAuthError } from './errors.js'
import type { Platform } from './platform.js'
import {
  assertResponse,
  createResponseError,
  isRecord,
  readHeader,
  readJson
} from './responses.js'
import { COOKIE_MARKER } from './storage.js'
import { readClocks } from './tokens.js'
import type { AccessToken, Moment } from './tokens.js'
import type { AuthClientOptions, SignOutReason } from './types.js'

/** Tokens of a successful login or refresh. */
export interface Tokens {
  readonly accessToken: AccessToken
  /** Value to store: the refresh token or {@link COOKIE_MARKER}; `undefined` if there is none. */
  readonly stored: string | undefined
  /** Proves at the next login that this device is known; `undefined` if the server sent none. */
  readonly deviceToken: string | undefined
  /**
   * Place of the refresh token in the response, if the client cannot save it from there.
   *
   * `null` if there is no such problem.
   */
  readonly misplacedIn: 'body' | 'cookie' | null
  readonly reason?: undefined
}

/** Result of a refresh if the session no longer exists. */
interface RefreshRejection {
  readonly accessToken?: undefined
  readonly stored: null
  readonly reason: SignOutReason
}

/** Signature of `fetch`, without its extra members. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/** Route that a client calls. */
export type ClientRoute = keyof typeof clientPaths

/** Options of a single request. */
export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly body?: object
  /** Replaces `:id` in the path. */
  readonly sessionId?: string
  /** Access token to send. */
  readonly accessToken?: string | null
  readonly signal?: AbortSignal | undefined
}

/** Response with a success status. */
export interface ApiResponse {
  readonly headers: Headers
  /** The JSON object in the body; empty for status 204. */
  readonly body: Record<string, unknown>
}

/** Client of the server's routes. */
export interface ApiClient {
  /**
   * Calls a route.
   *
   * @param fetch - Sends the request, with or without an access token.
   * @throws AuthError
   */
  request(fetch: Fetch, route: ClientRoute, request: ApiRequest): Promise<ApiResponse>
  /** @throws AuthError */
  login(credentials: object, signal: AbortSignal): Promise<Tokens>
  /**
   * Reads the tokens of a response to a request that the app has sent.
   *
   * @throws AuthError
   */
  adopt(send: () => Promise<Response>): Promise<Tokens>
  /**
   * Confirms the password of the signed-in user.
   *
   * @param fetch - Sends the request with the access token.
   * @throws AuthError
   */
  elevate(fetch: Fetch, credentials: object, signal: AbortSignal): Promise<Tokens>
  /** @throws AuthError if a later attempt may succeed */
  refresh(token: string | null, signal: AbortSignal): Promise<Tokens | RefreshRejection>
  /**
   * Revokes a session. Also resolves if the session no longer exists.
   *
   * @param accessToken - Identifies the session if `token` is empty.
   * @throws AuthError if a later attempt may succeed
   */
  logout(token: string, accessToken: string | null): Promise<void>
}

const NO_TOKENS = 'the response contains no tokens'

/**
 * Creates a client of the server's routes.
 *
 * @param root - URL of the server with the prefix and without a slash at the end.
 * @param usesCookie - Whether a cookie carries the refresh token.
 */
export function createApiClient (
  platform: Platform,
  withTimeout: WithTimeout,
  fetch: Fetch,
  root: string,
  paths: AuthClientOptions['paths'],
  usesCookie: boolean
): ApiClient {
  const request: ApiClient['request'] = (fetch, route, options) => {
    const { method = 'POST', body, sessionId = '', accessToken, signal } = options
    const path = paths?.[route] ?? clientPaths[route]
    const init: RequestInit = {
      method,
      credentials: usesCookie ? 'include' : 'omit',
      // A redirect could send the token or the password to another origin.
      redirect: 'error',
      headers: {
        ...(body && { 'content-type': 'application/json' }),
        ...(usesCookie && { [transportHeader]: 'cookie' }),
        ...(accessToken && { authorization: `Bearer ${accessToken}` })
      },
      ...(body && { body: JSON.stringify(body) })
    }

    return withTimeout(
      signal,
      signal =>
        readResponse(() =>
          fetch(root + path.replace(':id', encodeURIComponent(sessionId)), { ...init, signal })
        )
    )
  }

  /**
   * Sends a request and reads its response.
   *
   * Any failure becomes an AuthError, also if a wrapper of `fetch` throws or returns no response.
   */
  async function readResponse (send: () => Promise<Response>): Promise<ApiResponse> {
    try {
      const response = await send()
      assertResponse(response)
      const { headers, ok, status } = response

      if (!ok) {
        throw await createResponseError(response, platform.date())
      }

      const body = status === 204 ? {} : await readJson(response)

      if (body === null) {
        throw new AuthError('network', { status, message: 'the response is not JSON' })
      }

      return { headers, body }
    } catch (failure) {
      throw toAuthError(failure)
    }
  }

  function readTokens ({ headers, body }: ApiResponse, requestedAt: Moment): Tokens | null {
    const { access_token: token, refresh_token: refreshToken, device_token: deviceToken } = body
    const { expires_in: seconds, user } = body
    const accessToken = typeof token === 'string' ? token : null

    const transport = readHeader(headers, transportHeader)

    // JSON without tokens comes from something else, such as a captive portal.
    if (!isLifetime(seconds) || (accessToken === null && !usesCookie && transport !== 'cookie')) {
      return null
    }

    const inBody = typeof refreshToken === 'string' ? refreshToken : undefined

    return {
      accessToken: {
        token: accessToken,
        lifetime: seconds * 1000,
        requestedAt,
        user: isRecord(user) ? user : undefined
      },
      stored: usesCookie && transport !== 'none' ? COOKIE_MARKER : inBody,
      deviceToken: typeof deviceToken === 'string' ? deviceToken : undefined,
      misplacedIn: findMisplaced(inBody !== undefined, transport === 'cookie')
    }
  }

  /** Returns the place of a refresh token that the client cannot save. */
  function findMisplaced (isInBody: boolean, isInCookie: boolean): Tokens['misplacedIn'] {
    if (usesCookie) {
      return isInBody ? 'body' : null
    }

    return isInCookie && !isInBody ? 'cookie' : null
  }

  async function requestTokens (
    route: 'login' | 'refresh' | 'elevate',
    body: object,
    signal: AbortSignal,
    send = fetch
  ): Promise<Tokens> {
    const requestedAt = readClocks(platform)
    const response = await request(send, route, { body, signal })
    const tokens = readTokens(response, requestedAt)

    if (tokens === null) {
      throw new AuthError('network', { message: NO_TOKENS })
    }

    return tokens
  }

  const createTokenBody = (token: string | null): object => ({
    refresh_token: usesCookie ? null : token || null
  })

  return {
    request,
    login: (credentials, signal) => requestTokens('login', credentials, signal),

    elevate: (fetch, credentials, signal) => requestTokens('elevate', credentials, signal, fetch),

    async adopt (send) {
      const requestedAt = readClocks(platform)
      const tokens = readTokens(await readResponse(send), requestedAt)

      if (tokens === null) {
        throw new AuthError('refused', { message: NO_TOKENS })
      }

      return tokens
    },

    async refresh (token, signal) {
      if (!token && !usesCookie) {
        return { stored: null, reason: 'AUTH_REFRESH_MISSING' }
      }

      try {
        return await requestTokens('refresh', createTokenBody(token), signal)
      } catch (failure) {
        const error = toAuthError(failure)

        if (error.status !== 401 || !isSignOutReason(error.code)) {
          throw error
        }

        return { stored: null, reason: error.code }
      }
    },

    async logout (token, accessToken) {
      try {
        const body = createTokenBody(token)
        await request(fetch, 'logout', { body, accessToken: token ? null : accessToken })
      } catch (failure) {
        const { code, status } = toAuthError(failure)

        // A refusal with a code of the server is final: a retry would have the same result.
        if (status < 400 || status > 409 || !code.startsWith('AUTH_')) {
          throw failure
        }
      }
    }
  }
}

/**
 * Reads the list of sessions.
 *
 * @throws AuthError `network` if something other than the plugin sent the response
 */
export function readSessions ({ sessions }: ApiResponse['body']): readonly SessionResponse[] {
  if (!Array.isArray(sessions)) {
    throw new AuthError('network', { message: 'the response contains no sessions' })
  }

  return sessions
}

function isLifetime (seconds: unknown): seconds is number {
  return typeof seconds === 'number' && seconds >= 0 && Number.isFinite(seconds)
}

function isSignOutReason (code: string): code is Exclude<SignOutReason, 'logout'> {
  return code.startsWith('AUTH_REFRESH_')
}
