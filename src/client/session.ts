/**
 * Signed-in state of a tab, including the access token, which exists only in memory.
 *
 * @module
 */

import type { Platform } from './platform.js'
import { isRecord } from './responses.js'
import { createSubscriptions } from './subscriptions.js'
import { openTabChannel } from './tabs.js'
import { addTime, decodeClaims, readClocks } from './tokens.js'
import type { AccessToken, Moment } from './tokens.js'
import type { AuthState, SignOutReason } from './types.js'

/**
 * Message to the other tabs: a new token.
 *
 * Monotonic clocks of two tabs have different origins, so the message contains the remaining time.
 */
interface TokenMessage {
  readonly kind: 'token'
  readonly token: string | null
  readonly user: object | null
  readonly lifetime: number
  readonly remaining: number
  /** End on the wall clock, because a frozen tab may receive the message late. */
  readonly expiryDate: number
  readonly hasRefreshToken: boolean
  readonly isLogin: boolean
}

/** Message to the other tabs: a sign-out, with the last token of the session. */
interface SignOutMessage {
  readonly kind: 'sign-out'
  readonly token: string | null
  readonly reason: SignOutReason
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
  /** Aborted when the token changes or the client is disposed. */
  readonly signal: AbortSignal
  /** Milliseconds until the access token expires, by the clock on which less time is left. */
  readonly remaining: number
  /** Whether a refresh is due. The access token may still be valid. */
  readonly isDue: boolean
  /** Milliseconds until a refresh is due; negative if it is. */
  readonly dueIn: number
  /** Whether the client is disposed. */
  readonly isClosed: boolean
  /** Whether the session has a refresh token. Otherwise, it ends with the access token. */
  readonly hasRefreshToken: boolean
  /**
   * Whether the sign-out is certain.
   *
   * After a start without a connection, `signed-out` is only an assumption.
   */
  readonly isSignOutConfirmed: boolean
  /** Whether a token may belong to this session. `true` if the client cannot know it. */
  owns(token: string | null): boolean
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
  /**
   * Postpones the next refresh until the access token expires.
   *
   * For a session whose refresh token is missing now.
   */
  postponeRefresh(): void
  /** Sets the state and notifies the listeners if it changed. */
  setState(state: AuthState): void
  subscribe(listener: (state: AuthState) => void): () => void
  /** Calls the listener after each change of the token, each sign-out and the disposal. */
  onTokenChange(listener: () => void): () => void
  /** Stops all effects of the session. The state stays unchanged. */
  close(): void
}

/**
 * Time in milliseconds between a due refresh and the expiry of the access token.
 *
 * It is 20 % of the lifetime if that is less. Jitter adds up to 50 %, so that clients spread out.
 */
const MAX_REFRESH_MARGIN = 60_000
const PAST: Moment = { now: -Infinity, date: -Infinity }

/**
 * Creates the session of a tab.
 *
 * @param name - The same name in all tabs; `null` if they share nothing.
 */
export function createSession (platform: Platform, name: string | null): Session {
  const subscriptions = createSubscriptions<AuthState>()
  const tokenSubscriptions = createSubscriptions<void>()
  let state: AuthState = Object.freeze({ status: 'starting', user: null })
  let token: string | null = null
  let sessionVersion = 0
  let tokenController = new AbortController()
  let expiry = PAST
  let margin = 0
  let hasRefreshToken = true
  let isClosed = false

  const channel = openTabChannel(platform, name, message => {
    // Other scripts of the page may post anything.
    if (isSignOutMessage(message)) {
      receiveSignOut(message)
    } else if (isTokenMessage(message)) {
      receiveToken(message)
    }
  })

  function receiveSignOut (message: SignOutMessage): void {
    if (session.isSignOutConfirmed) {
      return
    }

    if (session.owns(message.token)) {
      signOut(message.reason)
    } else {
      invalidate()
    }
  }

  function receiveToken (message: TokenMessage): void {
    const { lifetime, isLogin, expiryDate } = message

    // The message may have been sent before a logout and may arrive after it.
    if (session.isSignOutConfirmed && !isLogin) {
      return
    }

    // One of the two tabs is outdated. The next refresh finds out by the cookie or the storage.
    if (!isLogin && !session.owns(message.token)) {
      return invalidate()
    }

    const clocks = readClocks(platform)
    const remaining = Math.min(message.remaining, expiryDate - clocks.date)

    if (isLogin || remaining > session.remaining) {
      setToken({ ...message, requestedAt: addTime(clocks, remaining - lifetime) }, isLogin, false)
    }
  }

  function invalidate (): void {
    expiry = PAST
  }

  function setToken (accessToken: AccessToken, isLogin: boolean, isShared: boolean): void {
    const { lifetime, requestedAt, user = state.user } = accessToken

    if (isLogin || !session.owns(accessToken.token)) {
      sessionVersion++
    }

    token = accessToken.token
    expiry = addTime(requestedAt, lifetime)
    hasRefreshToken = accessToken.hasRefreshToken ?? hasRefreshToken
    margin = Math.min(lifetime / 5, MAX_REFRESH_MARGIN) * (1 + platform.random() / 2)
    renewSignal()

    if (isShared) {
      // Before the listeners are called: one of them may sign out, and that message must come last.
      postToken({ user, lifetime, isLogin })
    }

    setState({ status: 'signed-in', user })
    tokenSubscriptions.notify()
  }

  function postToken (part: Pick<TokenMessage, 'user' | 'lifetime' | 'isLogin'>): void {
    const message: TokenMessage = {
      ...part,
      kind: 'token',
      token,
      remaining: session.remaining,
      expiryDate: expiry.date,
      hasRefreshToken
    }
    channel.post(message)
  }

  function signOut (reason: SignOutReason): void {
    sessionVersion++
    token = null
    invalidate()
    renewSignal()
    setState({
      status: 'signed-out',
      user: null,
      ...(state.status !== 'starting' && { reason })
    })
    tokenSubscriptions.notify()
  }

  function renewSignal (): void {
    tokenController.abort()
    tokenController = new AbortController()
  }

  function setState (next: AuthState): void {
    if (isClosed || JSON.stringify(next) === JSON.stringify(state)) {
      return
    }

    state = freezeDeeply(next)
    subscriptions.notify(state)
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
    get remaining () {
      const { now, date } = readClocks(platform)
      const remaining = expiry.now - now
      // A wrong wall clock must not end a session that cannot be refreshed.
      return hasRefreshToken ? Math.min(remaining, expiry.date - date) : remaining
    },
    get isDue () {
      return session.dueIn <= 0
    },
    get dueIn () {
      return session.remaining - (hasRefreshToken ? margin : 0)
    },
    get isClosed () {
      return isClosed
    },
    get hasRefreshToken () {
      return hasRefreshToken
    },
    get isSignOutConfirmed () {
      return state.status === 'signed-out' && sessionVersion > 0
    },

    owns (other) {
      const { sid } = decodeClaims(other)
      const { sid: ownSid } = decodeClaims(token)
      return sid === undefined || ownSid === undefined || sid === ownSid
    },

    setToken (accessToken, isLogin) {
      if (isClosed) {
        return
      }

      // The server issued the token between the request and the response. A refresh may come too
      // early, but the end of a session must not.
      const requestedAt = accessToken.hasRefreshToken ?? hasRefreshToken
        ? accessToken.requestedAt
        : readClocks(platform)
      setToken({ ...accessToken, requestedAt }, isLogin, true)
    },

    signOut (reason, isRequested = false) {
      if (isClosed) {
        return
      }

      if (isRequested || state.status === 'signed-in') {
        const message: SignOutMessage = { kind: 'sign-out', token, reason }
        channel.post(message)
      }

      signOut(reason)
    },

    invalidate,
    postponeRefresh () {
      margin = 0
    },
    setState,
    subscribe: subscriptions.add,
    onTokenChange: tokenSubscriptions.add,

    close () {
      isClosed = true
      subscriptions.clear()
      tokenController.abort()
      channel.close()
      tokenSubscriptions.notify()
      tokenSubscriptions.clear()
    }
  }
  return session
}

function isTokenMessage (message: unknown): message is TokenMessage {
  return isRecord(message) && message['kind'] === 'token' &&
    (typeof message['token'] === 'string' || message['token'] === null) &&
    typeof message['user'] === 'object' &&
    Number.isFinite(message['lifetime']) && Number.isFinite(message['remaining']) &&
    Number.isFinite(message['expiryDate']) &&
    typeof message['isLogin'] === 'boolean' && typeof message['hasRefreshToken'] === 'boolean'
}

function isSignOutMessage (message: unknown): message is SignOutMessage {
  return isRecord(message) && message['kind'] === 'sign-out' &&
    (typeof message['token'] === 'string' || message['token'] === null) &&
    typeof message['reason'] === 'string'
}

/** Freezes a value and its members, so that a listener cannot change the state of others. */
function freezeDeeply<Value> (value: Value): Value {
  if (isRecord(value) && !Object.isFrozen(value)) {
    Object.freeze(value)
    Object.values(value).forEach(freezeDeeply)
  }

  return value
}
