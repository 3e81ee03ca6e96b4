// The client: its parts put together. It is functions and not a class, as are its parts, since names of members are not
// shortened on the way to a browser, and since functions may be taken off it.

import type { SessionAnswer } from '../protocol.js'
import type { AuthClient, AuthClientOptions, AuthState } from './auth-client.js'
import { authorizedFetch } from './authorized-fetch.js'
import { AuthError } from './errors.js'
import { createLeaver } from './leaver.js'
import { FOREVER, createLimit } from './limit.js'
import { globals, resolvePlatform } from './platform.js'
import { createRefresher } from './refresher.js'
import { Session } from './session.js'
import { OUT, createVault, isOut, pageStorage, tokenOf } from './storage.js'
import { createTabLock } from './tab-lock.js'
import { createWire } from './wire.js'

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
  const { name = usesCookie && 'auth' } = options
  // Not the function itself, which a test or a monitor may replace later, and which must not be called on another object.
  const send: typeof globalThis.fetch = options.fetch ?? ((...request) => globalThis.fetch(...request))
  const { href } = new URL((baseUrl || globals.location?.origin) as string)
  if (!/^http/.test(href)) throw new TypeError('bad baseUrl')
  const root = href.replace(/\/+$/, '') + prefix
  const key = `token-auth:${name}:${usesCookie}:${root}`
  const shared = storage === 'memory' || !name ? null : key

  const platform = resolvePlatform(options.platform)
  const end = new AbortController()
  const limit = createLimit(platform, end.signal)
  const session = new Session(platform, shared)
  const vault = createVault(typeof storage === 'object' ? storage : pageStorage(platform, usesCookie, key), limit)
  const known = device && createVault(device, limit)
  const wire = createWire(platform, limit, send, root, paths, usesCookie)
  const lock = createTabLock(platform, limit, shared)
  const leave = createLeaver(platform, vault, wire, lock, end.signal)
  const { refresh, settle } = createRefresher(platform, session, vault, wire, lock)
  const whenSettled = (signal?: AbortSignal | null): Promise<void> => limit(signal, settle)
  const fetch = authorizedFetch(platform, session, whenSettled, send, href)
  /** How often somebody has signed out: a login that began before is void. */
  let logouts = 0

  function signOut (): void {
    logouts++
    session.end('logout')
  }

  async function start (): Promise<AuthState> {
    await refresh().catch(() => {})
    const stored = await vault().catch(() => 'unknown')
    // Where it could not be found out now: whoever was signed in before most likely still is.
    if (session.state.status === 'starting') session.show({ status: stored === null ? 'signed-out' : 'signed-in', user: null })
    if (isOut(stored)) void leave(stored)
    return session.state
  }

  return {
    ready: start(),
    get state () { return session.state },
    fetch,

    async getAccessToken ({ signal } = {}) {
      await whenSettled(signal)
      return session.token
    },

    login: (credentials, { signal } = {}) => limit(signal, signal => {
      const before = logouts
      const isVoid = (): boolean => logouts !== before || signal.aborted
      return lock(async () => {
        const token = await known?.().catch(() => null)
        const { access, kept = null, device } =
          await wire.login({ ...credentials, ...(token && { device_token: token }) }, signal)
        if (device) known?.(() => device).catch(() => {})
        let replaced: string | null
        try {
          replaced = await vault(stored => isVoid() ? stored : kept)
          if (isVoid()) throw new AuthError('signed-out')
        } catch (error) {
          // The session has begun at the server, and is of no use to anybody.
          void leave(kept, access.token)
          throw error
        }
        session.begin(access, true)
        if (replaced) void leave(replaced)
        return session.state
      }, signal)
    }, FOREVER),

    logout: ({ signal } = {}) => limit(signal, async () => {
      const { token } = session
      signOut()
      await leave(await vault(stored => OUT + tokenOf(stored)).catch(() => null), token)
    }, FOREVER),

    async logoutEverywhere ({ signal } = {}) {
      await wire.ask(fetch, 'logoutAll', { signal })
      signOut()
      await vault(() => null)
    },

    async sessions ({ signal } = {}) {
      const { sessions } = await wire.ask(fetch, 'sessions', { method: 'GET', signal })
      return sessions as SessionAnswer[]
    },

    async endSession (id, { signal } = {}) {
      await wire.ask(fetch, 'session', { method: 'DELETE', signal }, id)
    },

    async endOtherSessions ({ signal } = {}) {
      await wire.ask(fetch, 'otherSessions', { method: 'DELETE', signal })
    },

    subscribe (listener) {
      session.listeners.add(listener)
      return () => { session.listeners.delete(listener) }
    },

    dispose () {
      end.abort()
      session.close()
    }
  }
}
