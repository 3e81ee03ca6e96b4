// What the tabs know of their session: who is signed in, and the access token, which is kept nowhere else.

import type { AuthState, SignOutReason } from './auth-client.js'
import type { Platform } from './platform.js'
import { openTabChannel } from './tab-channel.js'
import type { TabChannel } from './tab-channel.js'

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
  readonly left: number
  readonly isLogin: boolean
  readonly reason?: SignOutReason
}

/** Nothing of it is sure. */
interface Claims {
  readonly exp: number
  readonly sid?: string
}

const MARGIN = 60_000

export class Session {
  state: AuthState = { status: 'starting', user: null }
  /** The access token; `null` also where a cookie holds it. */
  token: string | null = null
  /**
   * Raised with each other session: what was begun for the one before is not for this one. 0 until somebody was signed out for
   * sure: before that, `signed-out` is how it seems, where the server could not be asked.
   */
  epoch = 0
  readonly listeners = new Set<(state: AuthState) => void>()
  readonly #platform: Platform
  readonly #channel: TabChannel
  #era = new AbortController()
  #dueAt = 0
  #goodUntil = 0

  /** @param name The same in all tabs; `null` where they share nothing. */
  constructor (platform: Platform, name: string | null) {
    this.#platform = platform
    this.#channel = openTabChannel<Message>(platform, name, message => { this.#hear(message) })
  }

  /** Aborted as soon as another token is there, or none, and by {@link close}: what began before is void. */
  get era (): AbortSignal {
    return this.#era.signal
  }

  /** Milliseconds that the access token is good for. */
  get left (): number {
    return this.#goodUntil - this.#platform.now()
  }

  /** Whether it is time to refresh, though the token may be good for a while. */
  get isDue (): boolean {
    return !(this.#platform.now() < this.#dueAt)
  }

  /** Whether somebody was signed out for sure. */
  get isOver (): boolean {
    return this.state.status === 'signed-out' && this.epoch > 0
  }

  /** Signs in, or goes on with another token, here and in the other tabs. */
  begin (access: Access, isLogin: boolean): void {
    this.#begin(access, isLogin)
    this.#channel.tell({ ...access, user: this.state.user, left: this.left, isLogin })
  }

  /** Signs out, here and in the other tabs. */
  end (reason: SignOutReason): void {
    const { token, state: { status } } = this
    this.#end(reason)
    if (status === 'signed-in') this.#channel.tell({ reason, token })
  }

  /** Takes the access token for one that has ended. */
  distrust (): void {
    this.#goodUntil = this.#dueAt = 0
  }

  close (): void {
    this.listeners.clear()
    this.#era.abort()
    this.#channel.close()
  }

  /** Tells who listens, where there is something to tell. */
  show (state: AuthState): void {
    if (JSON.stringify(state) === JSON.stringify(this.state)) return
    this.state = state
    for (const listener of this.listeners) {
      try {
        listener(state)
      } catch (error) {
        console.error(error)
      }
    }
  }

  #hear (message: Message): void {
    const { token, left, life, isLogin, reason } = message
    // It may have been told before a logout, and be heard after it.
    if (this.isOver && !isLogin) return
    if (!isLogin && !this.#is(token)) {
      // One of the two is late. The cookie, or the storage, knows which.
      if (!reason) this.distrust()
    } else if (reason) this.#end(reason)
    else if (left > (isLogin ? 0 : this.left)) this.#begin({ ...message, since: this.#platform.now() + left - life }, isLogin)
  }

  /** Whether a token is one of this session, as far as can be told. */
  #is (token: string | null): boolean {
    const { sid } = claimsOf(token)
    return !sid || (claimsOf(this.token).sid ?? sid) === sid
  }

  #begin ({ token, life, since, user = this.state.user }: Access, isLogin: boolean): void {
    if (isLogin || !this.#is(token)) this.epoch++
    this.token = token
    this.#goodUntil = since + life
    this.#dueAt = this.#goodUntil - Math.min(life / 5, MARGIN) * (1 + this.#platform.random() / 2)
    this.#change({ status: 'signed-in', user })
  }

  #end (reason: SignOutReason): void {
    this.epoch++
    this.token = null
    this.distrust()
    this.#change({ status: 'signed-out', user: null, ...(this.state.status !== 'starting' && { reason }) })
  }

  #change (state: AuthState): void {
    this.#era.abort()
    this.#era = new AbortController()
    this.show(state)
  }
}

/** What a token says of itself; nothing where it is no JWT. Proves nothing. */
export function claimsOf (token: string | null): Claims {
  try {
    return JSON.parse(atob(((token as string).split('.')[1] as string).replace(/-/g, '+').replace(/_/g, '/'))) ?? {}
  } catch {
    return {} as Claims
  }
}
