// The client: its parts put together. It is functions and not a class, as are its parts, since names of members are not
// shortened on the way to a browser, and since functions may be taken off it.

import type { SessionResponse } from '../protocol.js'
import type { AuthClient, AuthClientOptions, AuthState } from './types.js'
import { authorizedFetch } from './authorized-fetch.js'
import { AuthError } from './errors.js'
import { createPendingLogouts } from './pending-logouts.js'
import { createWithTimeout, DEFAULT_TIMEOUT, NO_TIMEOUT } from './async.js'
import { globals, resolvePlatform } from './platform.js'
import { createRefresher } from './refresher.js'
import { createSession } from './session.js'
import type { Access } from './session.js'
import {
  COOKIE_MARKER,
  createStorageQueue,
  isPendingLogout,
  pageStorage,
  PENDING_LOGOUT_PREFIX,
  tokenOf
} from './storage.js'
import type { TokenStorage } from './storage.js'
import { createTabLock } from './tabs.js'
import { createApiClient } from './api.js'
import type { Fetch } from './api.js'

/**
 * Makes a client, which begins to find out at once who is signed in.
 *
 * ```ts
 * const auth = createAuthClient({ baseUrl: 'https://api.example.org' })
 * await auth.login({ username, password })
 * const answer = await auth.fetch('/orders')
 * ```
 *
 * @throws TypeError where `baseUrl` is no http(s) URL
 */
export function createAuthClient (options: AuthClientOptions = {}): AuthClient {
  const { baseUrl, prefix = '/auth', paths, storage = 'cookie', device } = options
  const usesCookie = storage === 'cookie'
  const inCookie = usesCookie ? COOKIE_MARKER : null
  const { name = usesCookie && 'auth' } = options
  // Not the function itself, which a test or a monitor may replace later, and which must not be called on another object.
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init))
  const { href } = new URL((baseUrl || globals.location?.origin) as string)

  if (!/^http/.test(href)) {
    throw new TypeError(href)
  }

  const root = href.replace(/\/+$/, '') + prefix
  const key = `token-auth:${name}:${usesCookie}:${root}`
  const shared = storage === 'memory' || !name ? null : key

  const platform = resolvePlatform(options.platform)
  const end = new AbortController()
  const limit = createWithTimeout(platform, end.signal)
  const session = createSession(platform, shared)
  // A text has no `get`.
  const isOwn = (storage as Partial<TokenStorage>).get
  const vault = createStorageQueue(
    isOwn ? storage as TokenStorage : pageStorage(platform, usesCookie, key),
    limit
  )
  const known = device && createStorageQueue(device, limit)
  const wire = createApiClient(platform, limit, send, root, paths, usesCookie)
  const lock = createTabLock(platform, limit, shared)
  const leave = createPendingLogouts(platform, vault, wire, lock, end.signal)
  const { refresh, settle } = createRefresher(platform, session, vault, wire, lock)
  const whenSettled = (signal?: AbortSignal | null): Promise<void> => limit(signal, settle)
  const authorized = authorizedFetch(platform, session, whenSettled, send, href)
  /** How often somebody has signed out: a login that began before is void. */
  let logouts = 0

  function signOut (): void {
    logouts++
    session.end('logout', true)
  }

  /** Ends what somebody has signed out of and the server does not know of yet. */
  async function finish (): Promise<string | null> {
    const stored = await vault().catch(() => COOKIE_MARKER)

    if (isPendingLogout(stored)) {
      void leave(stored, null)
    }

    return stored
  }

  async function start (): Promise<AuthState> {
    await refresh().catch(() => {})
    const stored = await finish()

    // Where it could not be found out now: whoever was signed in before most likely still is.
    if (session.state.status === 'starting') {
      session.show({ status: stored ? 'signed-in' : 'signed-out', user: null })
    }

    return session.state
  }

  // The tab in which it was asked for may be closed by now.
  session.listeners.add(({ reason }) => {
    if (reason === 'logout') {
      void platform.sleep(DEFAULT_TIMEOUT, end.signal).then(finish)
    }
  })

  return {
    ready: start(),
    get state () {
      return session.state
    },
    fetch: authorized,

    async getAccessToken ({ signal } = {}) {
      await whenSettled(signal)
      return session.token
    },

    login: (credentials, { signal } = {}) =>
      limit(signal, signal => {
        const count = logouts

        const check = (): void => {
          if (logouts !== count || signal.aborted) {
            throw new AuthError('signed-out')
          }
        }

        return lock(async () => {
          const token = await known?.().catch(() => null)
          // A cookie is there as soon as it arrives, and this tab may be gone by then.
          const before = await vault(stored => stored ?? inCookie)
          let kept = inCookie
          let access: Access | undefined

          try {
            const answer = await wire.login({
              ...credentials,
              ...(token && { device_token: token })
            }, signal)
            const { device } = answer
            ;({ kept = null, access } = answer)
            check()
            await vault(() => kept)
            check()

            if (device) {
              known?.(() => device).catch(() => {})
            }

            session.begin(access, true)

            if (before) {
              void leave(before)
            }

            return session.state
          } catch (error) {
            // It may be kept all the same, or later.
            vault(stored => stored === kept ? before : stored).catch(() => {})

            // The session has begun at the server, and is of no use to anybody.
            if (access) {
              void leave(kept, access.token)
            }

            throw error
          }
        }, signal)
      }, NO_TIMEOUT),

    logout: ({ signal } = {}) =>
      limit(signal, async () => {
        const { token } = session
        signOut()
        await leave(
          await vault(stored => PENDING_LOGOUT_PREFIX + tokenOf(stored)).catch(() => null),
          token
        )
      }, NO_TIMEOUT),

    async logoutEverywhere ({ signal } = {}) {
      const { sessionVersion: epoch } = session
      await wire.ask(authorized, 'logoutAll', { signal })

      // Whoever has signed in since has another session.
      if (session.sessionVersion !== epoch) {
        return
      }

      signOut()
      await vault(() => null)
    },

    async sessions ({ signal } = {}) {
      return (await wire.ask(authorized, 'sessions', { method: 'GET', signal }))
        .sessions as SessionResponse[]
    },

    async endSession (id, { signal } = {}) {
      await wire.ask(authorized, 'session', { method: 'DELETE', signal }, id)
    },

    async endOtherSessions ({ signal } = {}) {
      await wire.ask(authorized, 'otherSessions', { method: 'DELETE', signal })
    },

    subscribe (listener) {
      session.listeners.add(listener)
      return () => session.listeners.delete(listener)
    },

    dispose () {
      end.abort()
      session.close()
    }
  }
}
