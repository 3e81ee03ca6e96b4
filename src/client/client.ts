import { createApiClient, readSessions } from './api.js'
import type { Fetch } from './api.js'
import { createWithTimeout, DEFAULT_TIMEOUT, ignore, NO_TIMEOUT } from './async.js'
import { createAuthorizedFetch } from './authorized-fetch.js'
import { createAttemptLimit } from './backoff.js'
import { setInternals } from './internals.js'
import { createPendingLogouts } from './pending-logouts.js'
import { getPageOrigin, resolvePlatform } from './platform.js'
import { createRefresher } from './refresher.js'
import { createSession } from './session.js'
import { createSignIn } from './sign-in.js'
import {
  COOKIE_MARKER,
  createPageStorage,
  createStorageQueue,
  getStoredToken,
  isPendingLogout,
  PENDING_LOGOUT_PREFIX
} from './storage.js'
import { createTabLock } from './tabs.js'
import type { AuthClient, AuthClientOptions, AuthState } from './types.js'

/**
 * Creates a client, which immediately starts to find out whether a user is signed in.
 *
 * The type argument is the type of the user that the server returns (`users.present`). The client
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
  const name = options.name ?? (usesCookie ? 'auth' : null)
  // Looks up the global `fetch` on each call, because tests and monitoring may replace it. In
  // browsers, it throws if it is called as a method of another object.
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init))
  const href = parseBaseUrl(baseUrl || getPageOrigin())
  const root = href.replace(/\/+$/, '') + prefix
  const storageKey = `token-auth:${name ?? ''}:${usesCookie}:${root}`
  const sharedName = storage === 'memory' || name === null ? null : storageKey

  const platform = resolvePlatform(options.platform)
  const disposal = new AbortController()
  const withTimeout = createWithTimeout(platform, disposal.signal)
  const session = createSession(platform, sharedName)
  const limit = createAttemptLimit(platform)
  const rawStorage = typeof storage === 'object'
    ? storage
    : createPageStorage(() => usesCookie ? platform.flags : null, storageKey)
  const tokenStorage = createStorageQueue(rawStorage, withTimeout)
  const deviceStorage = device && createStorageQueue(device, withTimeout)
  const api = createApiClient(platform, withTimeout, send, root, paths, usesCookie)
  const lock = createTabLock(platform, withTimeout, sharedName, rawStorage)
  const pendingLogouts = createPendingLogouts(
    platform,
    tokenStorage,
    api,
    lock,
    limit,
    disposal.signal
  )
  // If the storage fails, the user may be signed in.
  const hasStored = tokenStorage().then(stored => stored !== null, () => true)
  const refresher = createRefresher(
    platform,
    session,
    tokenStorage,
    api,
    lock,
    limit,
    hasStored
  )
  const authorizedFetch = createAuthorizedFetch(
    platform,
    session,
    refresher,
    withTimeout,
    send,
    href
  )
  let signOutCount = 0
  const signIn = createSignIn({
    session,
    storage: tokenStorage,
    deviceStorage,
    api,
    lock,
    pendingLogouts,
    fetch: send,
    authorizedFetch,
    baseUrl: href,
    usesCookie,
    getSignOutCount: () => signOutCount
  })

  function signOut (): void {
    signOutCount++
    session.signOut('logout', true)
  }

  /** Repeats a logout that the server has not acknowledged. Returns the stored value. */
  async function resumeLogout (): Promise<string | null> {
    const stored = await tokenStorage().catch(() => COOKIE_MARKER)

    if (isPendingLogout(stored)) {
      void pendingLogouts.logout(stored)
    }

    return stored
  }

  async function start (): Promise<AuthState> {
    await refresher.refresh().catch(ignore)
    const stored = await resumeLogout()

    // The server is unreachable. A user who was signed in before probably still is.
    if (session.state.status === 'starting') {
      session.setState({ status: stored === null ? 'signed-out' : 'signed-in', user: null })
    }

    return session.state
  }

  // The tab that started the logout may be closed before the server acknowledges it.
  session.subscribe(({ reason }) => {
    if (reason === 'logout') {
      void platform.sleep(DEFAULT_TIMEOUT, disposal.signal).then(resumeLogout)
    }
  })

  const stopWakeEvents = platform.onWake?.(() => {
    refresher.wake()
    pendingLogouts.wake()

    // The server was unreachable at startup, so the user is unknown.
    if (session.state.user === null) {
      void refresher.settle()
    }
  })

  const disposed = new Promise<AuthState>(resolve => {
    disposal.signal.addEventListener('abort', () => {
      resolve(session.state)
    })
  })

  const client: AuthClient = {
    ready: Promise.race([start(), disposed]),
    get state () {
      return session.state
    },
    fetch: authorizedFetch,

    getAccessToken: ({ signal } = {}) =>
      withTimeout(signal, async signal => {
        await refresher.waitForToken(signal)

        if (session.state.status !== 'signed-in') {
          await refresher.settle()
        }

        return session.token
      }),

    refresh: ({ signal } = {}) =>
      withTimeout(signal, async () => {
        await refresher.refreshAnew()
        return session.state
      }),

    login: (credentials, { signal } = {}) =>
      withTimeout(signal, async signal => {
        await signIn.login(credentials, signal)
        return session.state
      }, NO_TIMEOUT),

    adopt: (send, { signal } = {}) =>
      withTimeout(signal, async signal => {
        await signIn.adopt(send, signal)
        return session.state
      }, NO_TIMEOUT),

    elevate: (step, { signal } = {}) =>
      withTimeout(signal, async signal => {
        await signIn.elevate(step, signal)
        return session.state
      }, NO_TIMEOUT),

    logout: ({ signal } = {}) =>
      withTimeout(signal, async () => {
        const { token } = session
        signOut()
        const before = await tokenStorage(stored => PENDING_LOGOUT_PREFIX + getStoredToken(stored))
          .catch(() => null)
        await pendingLogouts.logout(before, token)
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
      const { body } = await api.request(authorizedFetch, 'sessions', { method: 'GET', signal })
      return readSessions(body)
    },

    async endSession (id, { signal } = {}) {
      await api.request(authorizedFetch, 'session', { method: 'DELETE', sessionId: id, signal })
    },

    async endOtherSessions ({ signal } = {}) {
      await api.request(authorizedFetch, 'otherSessions', { method: 'DELETE', signal })
    },

    subscribe: session.subscribe,

    dispose () {
      stopWakeEvents?.()
      session.close()
      disposal.abort()
    }
  }
  return setInternals(client, { platform, session, refresher, baseUrl: href })
}

function parseBaseUrl (baseUrl = ''): string {
  try {
    const { href, protocol } = new URL(baseUrl)

    if (/^https?:$/.test(protocol)) {
      return href
    }
  } catch {}

  throw new TypeError('"baseUrl" must be an absolute http(s) URL')
}
