import type { SessionResponse } from '../protocol.js'
import { createApiClient } from './api.js'
import type { Fetch } from './api.js'
import { createWithTimeout, DEFAULT_TIMEOUT, NO_TIMEOUT } from './async.js'
import { createAuthorizedFetch } from './authorized-fetch.js'
import { AuthError } from './errors.js'
import { createPendingLogouts } from './pending-logouts.js'
import { globals, resolvePlatform } from './platform.js'
import { createRefresher } from './refresher.js'
import { createSession } from './session.js'
import type { AccessToken } from './session.js'
import {
  COOKIE_MARKER,
  createPageStorage,
  createStorageQueue,
  getStoredToken,
  isPendingLogout,
  PENDING_LOGOUT_PREFIX
} from './storage.js'
import type { TokenStorage } from './storage.js'
import { createTabLock } from './tabs.js'
import type { AuthClient, AuthClientOptions, AuthState } from './types.js'

/**
 * Creates a client, which immediately starts to find out whether a user is signed in.
 *
 * The type argument is the user that the server returns, as `users.present` makes it. The client
 * does not check it.
 *
 * @throws TypeError if `baseUrl` is not an absolute http(s) URL
 * @example
 * ```ts
 * import { createAuthClient } from 'fastify-token-auth/client'
 *
 * const auth = createAuthClient<{ name: string }>({ baseUrl: 'https://api.example.org' })
 * const { user } = await auth.login({ username: 'ann', password: 'correct horse' })
 * const response = await auth.fetch('/orders')
 * ```
 */
export function createAuthClient<User extends object = object> (
  options?: AuthClientOptions
): AuthClient<User>

export function createAuthClient (options: AuthClientOptions = {}): AuthClient {
  const { baseUrl, prefix = '/auth', paths, storage = 'cookie', device } = options
  const usesCookie = storage === 'cookie'
  const cookieMarker = usesCookie ? COOKIE_MARKER : null
  const { name = usesCookie && 'auth' } = options
  // Looks up the global `fetch` on each call, because tests and monitoring may replace it. Browsers
  // reject `fetch` as a method of another object.
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init))
  const href = parseBaseUrl(baseUrl || globals.location?.origin)
  const root = href.replace(/\/+$/, '') + prefix
  const storageKey = `token-auth:${name}:${usesCookie}:${root}`
  const sharedName = storage === 'memory' || !name ? null : storageKey

  // Closures instead of classes, because minifiers do not shorten the names of members.
  const platform = resolvePlatform(options.platform)
  const disposal = new AbortController()
  const withTimeout = createWithTimeout(platform, disposal.signal)
  const session = createSession(platform, sharedName)
  const isCustomStorage = (storage as Partial<TokenStorage>).get
  const tokenStorage = createStorageQueue(
    isCustomStorage
      ? storage as TokenStorage
      : createPageStorage(platform, usesCookie, storageKey),
    withTimeout
  )
  const deviceStorage = device && createStorageQueue(device, withTimeout)
  const api = createApiClient(platform, withTimeout, send, root, paths, usesCookie)
  const lock = createTabLock(platform, withTimeout, sharedName)
  const logout = createPendingLogouts(platform, tokenStorage, api, lock, disposal.signal)
  const refresher = createRefresher(platform, session, tokenStorage, api, lock)
  const waitForToken = (signal?: AbortSignal | null): Promise<void> =>
    withTimeout(signal, refresher.waitForToken)
  const authorizedFetch = createAuthorizedFetch(platform, session, waitForToken, send, href)
  /** Number of sign-outs. A login that started before the last one is void. */
  let signOutCount = 0

  function signOut (): void {
    signOutCount++
    session.signOut('logout', true)
  }

  /** Repeats a logout that the server has not acknowledged. Returns the stored value. */
  async function resumeLogout (): Promise<string | null> {
    const stored = await tokenStorage().catch(() => COOKIE_MARKER)

    if (isPendingLogout(stored)) {
      void logout(stored, null)
    }

    return stored
  }

  async function start (): Promise<AuthState> {
    await refresher.refresh().catch(() => {})
    const stored = await resumeLogout()

    // The server is unreachable. A user who was signed in before probably still is.
    if (session.state.status === 'starting') {
      session.setState({ status: stored ? 'signed-in' : 'signed-out', user: null })
    }

    return session.state
  }

  // The tab that started the logout may be closed before the server acknowledges it.
  session.listeners.add(({ reason }) => {
    if (reason === 'logout') {
      void platform.sleep(DEFAULT_TIMEOUT, disposal.signal).then(resumeLogout)
    }
  })

  return {
    ready: start(),
    get state () {
      return session.state
    },
    fetch: authorizedFetch,

    async getAccessToken ({ signal } = {}) {
      await waitForToken(signal)
      return session.token
    },

    login: (credentials, { signal } = {}) =>
      withTimeout(signal, signal => {
        const signOutCountBefore = signOutCount

        const assertWanted = (): void => {
          if (signOutCount !== signOutCountBefore || signal.aborted) {
            throw new AuthError('signed-out')
          }
        }

        return lock(async () => {
          const knownDevice = await deviceStorage?.().catch(() => null)
          // Marks the cookie first, because this tab may be closed when the response arrives.
          const before = await tokenStorage(stored => stored ?? cookieMarker)
          let after = cookieMarker
          let accessToken: AccessToken | undefined
          let isMisplaced = false

          try {
            const tokens = await api.login({
              ...credentials,
              ...(knownDevice && { device_token: knownDevice })
            }, signal)
            const { deviceToken } = tokens
            ;({ stored: after = null, accessToken, isMisplaced } = tokens)
            assertWanted()

            // The session would end with its first access token.
            if (isMisplaced) {
              throw new AuthError(
                'transport',
                0,
                0,
                (usesCookie
                  ? 'the server sent the refresh token in JSON, which "storage: \'cookie\'" would ' +
                    'drop; set "storage"'
                  : 'the server sent the refresh token in a cookie, which this "storage" cannot ' +
                    'read; set "storage: \'cookie\'"') +
                  ', or "refreshToken.transport" of the server to "both"'
              )
            }

            await tokenStorage(() => after)
            assertWanted()

            if (deviceToken) {
              deviceStorage?.(() => deviceToken).catch(() => {})
            }

            session.setToken(accessToken, true)

            if (before) {
              void logout(before)
            }

            return session.state
          } catch (error) {
            // A failed or slow write may still save the new value, which must not stay.
            tokenStorage(stored => stored === after ? before : stored).catch(() => {})

            // The server has created a session that no one will use.
            if (accessToken) {
              void logout(isMisplaced ? null : after, accessToken.token)
            }

            throw error
          }
        }, signal)
      }, NO_TIMEOUT),

    logout: ({ signal } = {}) =>
      withTimeout(signal, async () => {
        const { token } = session
        signOut()
        const before = await tokenStorage(stored => PENDING_LOGOUT_PREFIX + getStoredToken(stored))
          .catch(() => null)
        await logout(before, token)
      }, NO_TIMEOUT),

    async logoutEverywhere ({ signal } = {}) {
      const { sessionVersion } = session
      await api.request(authorizedFetch, 'logoutAll', { signal })

      // A user who has signed in since has another session, which must stay.
      if (session.sessionVersion !== sessionVersion) {
        return
      }

      signOut()
      await tokenStorage(() => null)
    },

    async sessions ({ signal } = {}) {
      const { sessions } = await api.request(authorizedFetch, 'sessions', { method: 'GET', signal })
      return sessions as SessionResponse[]
    },

    async endSession (id, { signal } = {}) {
      await api.request(authorizedFetch, 'session', { method: 'DELETE', signal }, id)
    },

    async endOtherSessions ({ signal } = {}) {
      await api.request(authorizedFetch, 'otherSessions', { method: 'DELETE', signal })
    },

    subscribe (listener) {
      session.listeners.add(listener)
      return () => session.listeners.delete(listener)
    },

    dispose () {
      disposal.abort()
      session.close()
    }
  }
}

function parseBaseUrl (baseUrl: string | undefined): string {
  try {
    const { href } = new URL(baseUrl as string)

    if (/^http/.test(href)) {
      return href
    }
  } catch {}

  throw new TypeError('"baseUrl" must be an absolute http(s) URL')
}
