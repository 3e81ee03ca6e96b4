// What the tabs know of their session: who is signed in, and the access token, which is kept nowhere else.

import type { AuthState, SignOutReason } from './types.js'
import type { Platform } from './platform.js'
import { openTabChannel } from './tabs.js'

/** An access token as it arrives. */
export interface Access {
  /** `null` where a cookie holds it. */
  readonly token: string | null
  /** Milliseconds that it is good for, all in all. */
  readonly life: number
  /** When it was asked for, on the monotonic clock. */
  readonly since: number
  /** `undefined` where it is as before. */
  readonly user?: object | null | undefined
}

/**
 * What tabs tell each other: another token, or, with a reason, the last one of a session that is over. The clocks of
 * two tabs have nothing to do with each other, so it is told what is left of the token.
 */
interface Message extends Omit<Access, 'since'> {
  readonly remainingMs: number
  readonly isLogin: boolean
  readonly reason?: SignOutReason
}

/** Nothing of it is sure. */
interface Claims {
  readonly exp: number
  readonly sid?: string
}

const MARGIN = 60_000

export interface Session {
  readonly state: AuthState
  /** The access token; `null` also where a cookie holds it. */
  readonly token: string | null
  /**
   * Raised with each other session: what was begun for the one before is not for this one. 0 until somebody was signed out for
   * sure: before that, `signed-out` is how it seems, where the server could not be asked.
   */
  readonly sessionVersion: number
  readonly listeners: Set<(state: AuthState) => void>
  /** Aborted as soon as another token is there, or none, and by {@link close}: what began before is void. */
  readonly signal: AbortSignal
  /** Milliseconds that the access token is good for. */
  readonly remainingMs: number
  /** Whether it is time to refresh, though the token may be good for a while. */
  readonly shouldRefresh: boolean
  /** Whether somebody was signed out for sure. */
  readonly isOver: boolean
  /** Signs in, or goes on with another token, here and in the other tabs. */
  begin(access: Access, isLogin: boolean): void
  /**
   * Signs out, here and in the other tabs.
   *
   * @param isAsked Whether somebody wants it here and now. What a tab only finds out may come late, and is told where the tab was
   * signed in itself.
   */
  end(reason: SignOutReason, isAsked?: boolean): void
  /** Takes the access token for one that has ended. */
  invalidate(): void
  close(): void
  /** Tells who listens, where there is something to tell. */
  show(state: AuthState): void
}

/** @param name The same in all tabs; `null` where they share nothing. */
export function createSession (platform: Platform, name: string | null): Session {
  const { now } = platform
  const listeners: Session['listeners'] = new Set()
  let state: AuthState = { status: 'starting', user: null }
  let token: string | null = null
  let epoch = 0
  let era = new AbortController()
  let dueAt = 0
  let goodUntil = 0

  const channel = openTabChannel<Message>(platform, name, message => {
    const { remainingMs, life, isLogin, reason } = message

    // It may have been told before a logout, and be heard after it.
    if (session.isOver && !isLogin) {
      return
    }

    if (!isLogin && !isOurs(message.token)) {
      // One of the two is late. The cookie, or the storage, knows which.
      distrust()
    } else if (reason) {
      end(reason)
    } else if (remainingMs > (isLogin ? -9e9 : session.remainingMs)) {
      begin({ ...message, since: now() + remainingMs - life }, isLogin)
    }
  })

  /** Whether a token is one of this session, as far as can be told. */
  function isOurs (other: string | null): boolean {
    const { sid } = claimsOf(other)
    return !sid || (claimsOf(token).sid ?? sid) === sid
  }

  function distrust (): void {
    goodUntil = dueAt = 0
  }

  function begin (access: Access, isLogin: boolean): void {
    const { life, since, user = state.user } = access

    if (isLogin || !isOurs(access.token)) {
      epoch++
    }

    token = access.token
    goodUntil = since + life
    dueAt = goodUntil - Math.min(life / 5, MARGIN) * (1 + platform.random() / 2)
    change({ status: 'signed-in', user })
  }

  function end (reason: SignOutReason): void {
    epoch++
    token = null
    distrust()
    change({ status: 'signed-out', user: null, ...(state.status !== 'starting' && { reason }) })
  }

  function change (next: AuthState): void {
    era.abort()
    era = new AbortController()
    show(next)
  }

  function show (next: AuthState): void {
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
      return epoch
    },
    get signal () {
      return era.signal
    },
    get remainingMs () {
      return goodUntil - now()
    },
    // Also where nobody told how long it lasts.
    get shouldRefresh () {
      return !(now() < dueAt)
    },
    get isOver () {
      return state.status === 'signed-out' && epoch > 0
    },
    listeners,
    invalidate: distrust,
    show,

    begin (access, isLogin) {
      begin(access, isLogin)
      channel.tell({ ...access, user: state.user, remainingMs: session.remainingMs, isLogin })
    },

    end (reason, isAsked) {
      if (isAsked || state.status === 'signed-in') {
        channel.tell({ reason, token })
      }

      end(reason)
    },

    close () {
      listeners.clear()
      era.abort()
      channel.close()
    }
  }
  return session
}

/** What a token says of itself; nothing where it is no JWT. Proves nothing. */
export function claimsOf (token: string | null): Claims {
  try {
    return JSON.parse(
      atob(((token as string).split('.')[1] as string).replace(/-/g, '+').replace(/_/g, '/'))
    ) ?? {}
  } catch {
    return {} as Claims
  }
}
