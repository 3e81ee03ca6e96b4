import { transportHeader } from '../protocol.js'
import type { ApiClient, Fetch, Tokens } from './api.js'
import { ignore } from './async.js'
import { AuthError } from './errors.js'
import type { PendingLogouts } from './pending-logouts.js'
import { createRepeatableRequest } from './repeatable-request.js'
import type { Session } from './session.js'
import { COOKIE_MARKER } from './storage.js'
import type { StorageQueue } from './storage.js'
import type { TabLock } from './tabs.js'
import { decodeClaims } from './tokens.js'
import type { ElevateCredentials } from './types.js'

/** Parts of a client that a sign-in uses. */
export interface SignInParts {
  readonly session: Session
  readonly storage: StorageQueue
  readonly deviceStorage: StorageQueue | undefined
  readonly api: ApiClient
  readonly lock: TabLock
  readonly pendingLogouts: PendingLogouts
  readonly fetch: Fetch
  /** Sends requests with the access token. */
  readonly authorizedFetch: Fetch
  /** Base of relative URLs. Only its origin receives credentials. */
  readonly baseUrl: string
  readonly usesCookie: boolean
  /** Returns the number of sign-outs. A sign-in that started before the last one is rejected. */
  getSignOutCount(): number
}

/** Signs a user in with the tokens of a response. */
export interface SignIn {
  /** @throws AuthError */
  login(credentials: object, signal: AbortSignal): Promise<void>
  /** @throws AuthError */
  adopt(send: (fetch: Fetch) => Promise<Response>, signal: AbortSignal): Promise<void>
  /**
   * @param step - Credentials, or a function that sends a request to a route of the app.
   * @throws AuthError
   */
  elevate(
    step: ElevateCredentials | (() => Promise<Response>),
    signal: AbortSignal
  ): Promise<void>
}

const MISPLACED = {
  body: 'the server sent the refresh token in JSON, which "storage: \'cookie\'" would drop; ' +
    'set "storage", or "refreshToken.transport" of the server to "both"; with adopt, also use ' +
    'the fetch of its callback, and pass "reply" to openSession',
  cookie: 'the server sent the refresh token in a cookie, which this "storage" cannot read; ' +
    'set "storage: \'cookie\'", or "refreshToken.transport" of the server to "both"'
}

/** Creates the sign-in of a client. */
export function createSignIn (parts: SignInParts): SignIn {
  const { session, storage, deviceStorage, api, lock, pendingLogouts, usesCookie } = parts
  const cookieMarker = usesCookie ? COOKIE_MARKER : null

  /**
   * Requests tokens, stores them and sets the session.
   *
   * Everything happens in one turn of the lock, so that a refresh of the earlier session cannot
   * overwrite the new cookie or the stored value.
   */
  function signIn (
    requestTokens: () => Promise<Tokens>,
    signal: AbortSignal
  ): Promise<void> {
    const signOutCount = parts.getSignOutCount()

    const assertWanted = (): void => {
      if (parts.getSignOutCount() !== signOutCount || signal.aborted) {
        throw new AuthError('signed-out')
      }
    }

    return lock(async () => {
      // Marks the cookie first, because this tab may be closed when the response arrives.
      const before = await storage(stored => stored ?? cookieMarker)

      const restore = (written: string | null): void => {
        storage(stored => stored === written ? before : stored).catch(ignore)
      }

      const tokens = await requestTokens().catch((failure: unknown) => {
        restore(cookieMarker)
        throw failure
      })

      try {
        assertWanted()
        await applyTokens(tokens, before, assertWanted)
      } catch (failure) {
        // A failed or slow write may still save the new value, which must not stay.
        restore(tokens.stored ?? null)
        revokeUnused(tokens)
        throw failure
      }
    }, signal)
  }

  /**
   * Saves the refresh token and sets the session.
   *
   * @param before - Stored value of the earlier session, which is then revoked.
   * @param assertWanted - Throws if the user has signed out since the sign-in started.
   */
  async function applyTokens (
    tokens: Tokens,
    before: string | null,
    assertWanted: () => void
  ): Promise<void> {
    const { accessToken, stored = null } = tokens

    if (isCurrentSession(tokens)) {
      return session.setToken(accessToken, false)
    }

    assertPlaced(tokens)
    await storage(() => stored)
    assertWanted()
    saveDeviceToken(tokens)
    session.setToken({ ...accessToken, hasRefreshToken: stored !== null }, true)

    if (before !== null) {
      void pendingLogouts.logout(before)
    }
  }

  /** Revokes the session of a failed sign-in, which no client will use. */
  function revokeUnused ({ accessToken, stored, misplacedIn }: Tokens): void {
    const refreshToken = misplacedIn === null ? stored : undefined
    void pendingLogouts.logout(refreshToken ?? null, accessToken.token)
  }

  /** Whether the tokens belong to the session that is signed in, as after a step-up. */
  function isCurrentSession ({ accessToken: { token }, stored }: Tokens): boolean {
    const { sid } = decodeClaims(token)

    return sid !== undefined && sid === decodeClaims(session.token).sid &&
      (usesCookie || stored === undefined)
  }

  function saveDeviceToken ({ deviceToken }: Tokens): void {
    if (deviceToken !== undefined) {
      deviceStorage?.(() => deviceToken).catch(ignore)
    }
  }

  /** Adds the device token, so that failed attempts of an attacker do not lock this device out. */
  async function addDeviceToken (credentials: object): Promise<object> {
    const knownDevice = await deviceStorage?.().catch(ignore)
    return { ...credentials, ...(knownDevice && { device_token: knownDevice }) }
  }

  return {
    login: (credentials, signal) =>
      signIn(async () => api.login(await addDeviceToken(credentials), signal), signal),

    async elevate (step, signal) {
      const { sessionVersion } = session
      const { accessToken } = typeof step === 'function'
        ? await api.adopt(step)
        : await api.elevate(parts.authorizedFetch, await addDeviceToken(step), signal)

      // The user has signed out, or another one has signed in.
      if (session.sessionVersion !== sessionVersion || !session.owns(accessToken.token)) {
        throw new AuthError('signed-out')
      }

      session.setToken(accessToken, false)
    },

    adopt: (send, signal) =>
      signIn(() => api.adopt(() => send(createSignInFetch(parts, signal))), signal)
  }
}

/** Creates a `fetch` whose responses carry the refresh token as the client expects it. */
function createSignInFetch (
  { fetch, baseUrl, usesCookie }: SignInParts,
  signal: AbortSignal
): Fetch {
  return async (input, init = {}) => {
    const request = createRepeatableRequest(input, init, baseUrl)
    const { url, headers } = request

    if (url.origin !== new URL(baseUrl).origin) {
      return request.send(fetch)
    }

    if (usesCookie) {
      headers.set(transportHeader, 'cookie')
    }

    return request.send(fetch, {
      credentials: usesCookie ? 'include' : 'omit',
      // A redirect could send a password to another origin, or return tokens of it.
      redirect: 'error',
      headers,
      signal
    })
  }
}

/** @throws AuthError `transport` if the session would end with its first access token */
function assertPlaced ({ misplacedIn }: Tokens): void {
  if (misplacedIn !== null) {
    throw new AuthError('transport', { message: MISPLACED[misplacedIn] })
  }
}
