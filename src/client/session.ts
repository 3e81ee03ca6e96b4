/**
 * Signed-in state of a tab, including the access token, which exists only in memory.
 *
 * @module
 */

import type { Platform } from './platform.js'
import { openTabChannel } from './tabs.js'
import type { AuthState, SignOutReason } from './types.js'

/** Access token as received from the server. */
export interface AccessToken {
  /** The token; `null` if a cookie carries it. */
  readonly token: string | null
  /** Lifetime in milliseconds, counted from {@link requestedAt}. */
  readonly lifetime: number
  /** Time of the request on the monotonic clock. */
  readonly requestedAt: number
  /** The user; `undefined` if unchanged. */
  readonly user?: object | null | undefined
}

/**
 * Message between tabs: a new token or, if it has a `reason`, a sign-out with the last token.
 *
 * Monotonic clocks of two tabs have different origins, so the message contains the remaining time.
 */
interface SessionMessage extends Omit<AccessToken, 'requestedAt'> {
  readonly remainingMs: number
  readonly isLogin: boolean
  readonly reason?: SignOutReason
}

/** Claims of an unverified access token. */
interface UnverifiedClaims {
  readonly exp: number
  readonly sid?: string
}

/** Session of a tab. Changes reach the other tabs and the listeners. */
export interface Session {
  readonly state: AuthState
  /** The access token; `null` if no user is signed in or a cookie carries it. */
  readonly token: string | null
  /**
   * Number that grows with each login and sign-out.
   *
   * Work that started with another version must not affect this session.
   */
  readonly sessionVersion: number
  readonly listeners: Set<(state: AuthState) => void>
  /** Aborted when the token changes or the client is disposed. */
  readonly signal: AbortSignal
  /** Milliseconds until the access token expires. */
  readonly remainingMs: number
  /** Whether a refresh is due. The access token may still be valid. */
  readonly shouldRefresh: boolean
  /**
   * Whether the sign-out is certain.
   *
   * After a start without a connection, `signed-out` is only an assumption.
   */
  readonly isSignOutConfirmed: boolean
  /** Sets the access token of a new or current session, in all tabs. */
  setToken(accessToken: AccessToken, isLogin: boolean): void
  /**
   * Signs out in all tabs.
   *
   * @param isRequested - Whether the user requested it now. Otherwise other tabs are notified only
   *   if this tab was signed in, because its knowledge may be outdated.
   */
  signOut(reason: SignOutReason, isRequested?: boolean): void
  /** Treats the access token as expired. */
  invalidate(): void
  /** Sets the state and notifies the listeners if it changed. */
  setState(state: AuthState): void
  close(): void
}

/** A refresh is due at 80 % of the lifetime, but at most 60 s before the token expires. */
const MAX_REFRESH_MARGIN = 60_000

/**
 * Creates the session of a tab.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 */
export function createSession (platform: Platform, name: string | null): Session {
  const { now } = platform
  const listeners: Session['listeners'] = new Set()
  let state: AuthState = { status: 'starting', user: null }
  let token: string | null = null
  let sessionVersion = 0
  let tokenController = new AbortController()
  let refreshAt = 0
  let expiresAt = 0

  const channel = openTabChannel<SessionMessage>(platform, name, message => {
    const { remainingMs, lifetime, isLogin, reason } = message

    // The message may have been sent before a logout and may arrive after it.
    if (session.isSignOutConfirmed && !isLogin) {
      return
    }

    if (!isLogin && !isSameSession(message.token)) {
      // One of the two tabs is outdated. The next refresh finds out by the cookie or the storage.
      invalidate()
    } else if (reason) {
      signOut(reason)
    } else if (remainingMs > (isLogin ? -9e9 : session.remainingMs)) {
      setToken({ ...message, requestedAt: now() + remainingMs - lifetime }, isLogin)
    }
  })

  /** Whether a token belongs to this session, or its session is unknown. */
  function isSameSession (other: string | null): boolean {
    const { sid } = decodeClaims(other)
    return !sid || (decodeClaims(token).sid ?? sid) === sid
  }

  function invalidate (): void {
    expiresAt = refreshAt = 0
  }

  function setToken (accessToken: AccessToken, isLogin: boolean): void {
    const { lifetime, requestedAt, user = state.user } = accessToken

    if (isLogin || !isSameSession(accessToken.token)) {
      sessionVersion++
    }

    token = accessToken.token
    expiresAt = requestedAt + lifetime
    const margin = Math.min(lifetime / 5, MAX_REFRESH_MARGIN)
    refreshAt = expiresAt - margin * (1 + platform.random() / 2)
    changeTo({ status: 'signed-in', user })
  }

  function signOut (reason: SignOutReason): void {
    sessionVersion++
    token = null
    invalidate()
    changeTo({ status: 'signed-out', user: null, ...(state.status !== 'starting' && { reason }) })
  }

  function changeTo (next: AuthState): void {
    tokenController.abort()
    tokenController = new AbortController()
    setState(next)
  }

  function setState (next: AuthState): void {
    if (JSON.stringify(next) === JSON.stringify(state)) {
      return
    }

    state = next

    for (const listener of listeners) {
      try {
        listener(next)
      } catch (error) {
        console.error(error)
      }
    }
  }

  const session: Session = {
    get state () {
      return state
    },
    get token () {
      return token
    },
    get sessionVersion () {
      return sessionVersion
    },
    get signal () {
      return tokenController.signal
    },
    get remainingMs () {
      return expiresAt - now()
    },
    get shouldRefresh () {
      // Negated, so that an unknown lifetime (NaN) also results in a refresh.
      return !(now() < refreshAt)
    },
    get isSignOutConfirmed () {
      return state.status === 'signed-out' && sessionVersion > 0
    },
    listeners,
    invalidate,
    setState,

    setToken (accessToken, isLogin) {
      setToken(accessToken, isLogin)
      const { remainingMs } = session
      channel.post({ ...accessToken, user: state.user, remainingMs, isLogin })
    },

    signOut (reason, isRequested) {
      if (isRequested || state.status === 'signed-in') {
        channel.post({ reason, token })
      }

      signOut(reason)
    },

    close () {
      listeners.clear()
      tokenController.abort()
      channel.close()
    }
  }
  return session
}

/**
 * Decodes the claims of a token without verification.
 *
 * @returns An empty object if the token is not a JWT.
 */
export function decodeClaims (token: string | null): UnverifiedClaims {
  try {
    return JSON.parse(
      atob(((token as string).split('.')[1] as string).replace(/-/g, '+').replace(/_/g, '/'))
    ) ?? {}
  } catch {
    return {} as UnverifiedClaims
  }
}
