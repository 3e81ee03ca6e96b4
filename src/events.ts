// What happened, told to the app: ids and facts, never a token. Each event goes to the listener in the options and to
// the `node:diagnostics_channel` named `fastify-token-auth:<event>`.

import { channel } from 'node:diagnostics_channel'
import type { Channel } from 'node:diagnostics_channel'
import type { Caller, RevocationReason } from './domain/session.js'
import type { Millis } from './lib/time.js'

/** A session, and who was seen with it. Address and user agent are hints, not proofs. */
export interface SessionEvent extends Caller {
  readonly at: Millis
  readonly sessionId: string
  readonly userId: string
}

/** One side of a reuse: who presented which generation, and when. */
export interface TokenUse extends Caller {
  readonly at: Millis
  readonly generation: number
}

export interface TokenAuthEvents {
  /** Somebody logged in. */
  login: SessionEvent
  /** A login failed; `userId` where there is such a user. All reasons look the same from outside. */
  'login-rejected': Caller & {
    readonly at: Millis
    readonly userId: string | null
    readonly reason:
      | 'unknown-user'
      | 'wrong-password'
      | 'disabled'
      | 'no-password'
      | 'malformed-hash'
      | 'revoked-since'
  }
  /**
   * A login was refused before its password was looked at: too many were wrong, for the account (also one that is not
   * there), from the address, or on a device that is known. `until` is when the next may come.
   */
  'login-throttled': Caller & {
    readonly at: Millis
    readonly userId: string | null
    readonly limit: 'account' | 'address' | 'device'
    readonly until: Millis
  }
  /** A refresh was answered. `rotated` is false where the same token stayed good. */
  refresh: SessionEvent & { readonly generation: number, readonly rotated: boolean }
  /** A token that had just been rotated came again: two tabs, or a retry. Answered with the same successor. */
  replay: SessionEvent & { readonly generation: number }
  /** A rotated token came again late, and nobody had used its successor: the answer was lost. */
  recovery: SessionEvent & { readonly generation: number }
  /**
   * Two parties hold tokens of one session, so it was ended. `presented` came with the old token, `rotated` is who had
   * rotated last; which of them is the thief cannot be told. The session's user should hear of it.
   */
  reuse: SessionEvent & { readonly presented: TokenUse, readonly rotated: TokenUse }
  /**
   * Three generations running, or more, a token came again from another context than the one that had rotated it: somebody
   * follows the session, and is given each successor. Which of the two is its user cannot be told. Only with
   * `refreshToken.shadows`.
   */
  'suspicious-replay': SessionEvent & {
    readonly presented: TokenUse
    readonly rotated: TokenUse
    readonly revoked: boolean
  }
  /** Sessions were ended: one by its id, or `count` of a user. */
  revoke: {
    readonly at: Millis
    readonly sessionId: string | null
    readonly userId: string | null
    readonly count: number
    readonly reason: RevocationReason
  }
  /** Ended sessions were deleted. */
  sweep: { readonly at: Millis, readonly deleted: number, readonly took: Millis }
  /**
   * An authentic token was ahead of the store: the store has lost writes (a restored backup, a promoted replica). One
   * ahead is healed, further ahead is refused. Such a store has lost revocations too: revoke again, by
   * `app.tokenAuth.revokeUser`, everybody whom you revoked since the moment to which it fell back.
   */
  'store-rolled-back': SessionEvent & {
    readonly presented: number
    readonly stored: number
    readonly healed: boolean
  }
  /**
   * What other instances revoke cannot be read, since `since`. Until it can, this instance accepts access tokens of sessions that
   * were ended elsewhere; with `revocations.failAfter` it stops to do so.
   */
  'revocations-stalled': { readonly at: Millis, readonly since: Millis }
  /** A row was written by a clock that is ahead of this one's. Instances must agree within half the grace. */
  'clock-skew': { readonly at: Millis, readonly sessionId: string, readonly ahead: Millis }
}

export type EventName = keyof TokenAuthEvents

/** A listener that throws, or rejects, is logged and changes nothing. */
export type TokenAuthListeners = {
  readonly [Name in EventName]?: (event: TokenAuthEvents[Name]) => unknown
}

/** The part of a logger that is used; Fastify's own fits. */
export interface Logger {
  error(facts: object, message: string): void
  warn(facts: object, message: string): void
  info(facts: object, message: string): void
}

/** */
export class Events {
  readonly #listeners: TokenAuthListeners
  readonly #logger: Logger
  readonly #channels: { [Name in EventName]?: Channel } = {}

  constructor (listeners: TokenAuthListeners, logger: Logger) {
    this.#listeners = listeners
    this.#logger = logger
  }

  emit<Name extends EventName> (name: Name, event: TokenAuthEvents[Name]): void {
    const diagnostics = this.#channels[name] ??= channel(`fastify-token-auth:${name}`)

    if (diagnostics.hasSubscribers) {
      diagnostics.publish(event)
    }

    if (this.#listeners[name] !== undefined) {
      void this.#tell(name, event)
    }
  }

  async #tell<Name extends EventName> (name: Name, event: TokenAuthEvents[Name]): Promise<void> {
    try {
      await this.#listeners[name]?.(event)
    } catch (error) {
      this.#logger.error({ event: name, err: error }, 'event listener failed')
    }
  }
}
