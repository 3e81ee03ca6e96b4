// The routes of the server: how they are asked, and what their answers are.

import { clientPaths, transportHeader } from '../protocol.js'
import type { SessionListResponse, TokenResponse } from '../protocol.js'
import type { AuthClientOptions, SignOutReason } from './types.js'
import { AuthError, toError } from './errors.js'
import type { WithTimeout } from './async.js'
import type { Platform } from './platform.js'
import type { Access } from './session.js'
import { COOKIE_MARKER } from './storage.js'

export interface Tokens {
  readonly access: Access
  /** The refresh token, or what stands for it; `undefined` where it stays as it was. */
  readonly kept: string | undefined
  /** What proves at the next login that the device is known. */
  readonly device: string | undefined
  readonly reason?: undefined
}

/** That a session is over. */
interface Refusal {
  readonly access?: undefined
  readonly kept: null
  readonly reason: SignOutReason
}

/** Nothing of it is sure: others than the server may have answered. */
type Answer = Pick<TokenResponse, 'expires_in'> & Partial<TokenResponse & SessionListResponse>

export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

export interface ApiRequest {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
}

export interface ApiClient {
  /**
   * @param id Of a session.
   * @returns What a JSON body holds.
   * @throws AuthError
   */
  ask(
    fetch: Fetch,
    route: keyof typeof clientPaths,
    question: ApiRequest,
    id?: string
  ): Promise<Answer>
  /** @throws AuthError */
  login(credentials: object, signal: AbortSignal): Promise<Tokens>
  /** @throws AuthError where it may work another time */
  refresh(token: string | null, signal: AbortSignal): Promise<Tokens | Refusal>
  /**
   * Resolves when there is nothing left to end.
   *
   * @param access Proves as much where there is no `token`.
   * @throws AuthError where it is worth another try
   */
  logout(token: string, access?: string | null): Promise<unknown>
}

/**
 * @param root The URL of the server, with the prefix and no slash at its end.
 * @param usesCookie Whether the refresh token travels in a cookie.
 */
export function createApiClient (
  { now }: Platform,
  limit: WithTimeout,
  fetch: Fetch,
  root: string,
  paths: AuthClientOptions['paths'],
  usesCookie: boolean
): ApiClient {
  const ask: ApiClient['ask'] = (fetch, route, question, id) =>
    limit(question.signal, async signal => {
      const response = await fetch(
        root + { ...clientPaths, ...paths }[route].replace(':id', encodeURIComponent(id as string)),
        {
          method: 'POST',
          credentials: usesCookie ? 'include' : 'omit',
          // A token or a password would go along.
          redirect: 'error',
          ...question,
          signal
        }
      ).catch((error: unknown) => {
        throw error instanceof AuthError ? error : new AuthError('network')
      })

      if (!response.ok) {
        throw await toError(response)
      }

      // Who answers with anything else, such as a captive portal, is not the server.
      const body = response.status === 204 ? {} : await response.json().catch(() => null)

      if (!body) {
        throw new AuthError('network')
      }

      return body as Answer
    })

  const post = (
    route: 'login' | 'refresh' | 'logout',
    body: object,
    signal?: AbortSignal,
    access?: string | null
  ): Promise<Answer> =>
    ask(fetch, route, {
      headers: {
        'content-type': 'application/json',
        ...(usesCookie && { [transportHeader]: 'cookie' }),
        ...(access && { authorization: `Bearer ${access}` })
      },
      body: JSON.stringify(body),
      signal
    })

  /** Cookies are sent without being told. */
  const held = (token: string | null): object => ({
    refresh_token: usesCookie ? null : token || null
  })

  async function tokens (
    route: 'login' | 'refresh',
    body: object,
    signal: AbortSignal
  ): Promise<Tokens> {
    const since = now()
    const {
      access_token: token = null,
      refresh_token: kept,
      device_token: device,
      expires_in: seconds,
      user
    } = await post(route, body, signal)

    // Of a captive portal, say.
    if (!(seconds >= 0 && (token || usesCookie))) {
      throw new AuthError('network')
    }

    return {
      access: { token, life: seconds * 1000, since, user },
      kept: usesCookie ? COOKIE_MARKER : kept,
      device
    }
  }

  return {
    ask,
    login: (credentials, signal) => tokens('login', credentials, signal),
    async refresh (token, signal) {
      if (!token && !usesCookie) {
        return { kept: null, reason: 'AUTH_REFRESH_MISSING' }
      }

      return tokens('refresh', held(token), signal).catch((error: AuthError) => {
        if (!/^401AUTH_REFRESH_/.test(error.status + error.code)) {
          throw error
        }

        return { kept: null, reason: error.code as SignOutReason }
      })
    },
    logout: (token, access) =>
      post('logout', held(token), undefined, token ? null : access).catch((error: AuthError) => {
        // What the server refuses in its own words, it refuses for ever.
        if (!/^40.AUTH_/.test(error.status + error.code)) {
          throw error
        }
      })
  }
}
