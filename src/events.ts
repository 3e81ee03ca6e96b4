import { channel } from 'node:diagnostics_channel'
import type { Channel } from 'node:diagnostics_channel'
import type { Caller, RevocationReason } from './domain/session.js'
import { RateLimit } from './lib/rate-limit.js'
import { describeError } from './lib/safe-error.js'
import { SECOND } from './lib/time.js'
import type { Millis } from './lib/time.js'

/**
 * Cause of an event.
 *
 * - `client`: a request to a route of the plugin. `address` and `userAgent` are its sender.
 * - `app`: a call of `app.tokenAuth` by the app's code, such as an admin page. `address` and
 *   `userAgent` are those of the `request` that the app passed, or `null`.
 * - `plugin`: a rule of the plugin, such as `maxSessions`, the reaction to a reuse, or a timer.
 *
 * For `session-ended`, other instances know the reason only. There, `revoked` counts as `app`, and
 * `replaced` as `client`.
 */
export type Actor = 'client' | 'app' | 'plugin'

/** A session and the sender of the request. Address and user agent are hints and prove nothing. */
export interface SessionEvent extends Caller {
  /** Moment of the event. */
  readonly at: Millis
  /** ID of the session, the `sid` claim of its tokens. */
  readonly sessionId: string
  /** ID of the user, the `sub` claim. */
  readonly userId: string
}

/** One use of a refresh token: its generation, time and sender. */
export interface TokenUse extends Caller {
  /** Moment of the use. */
  readonly at: Millis
  /** Generation of the token. The first one is 0. */
  readonly generation: number
}

/** Reason of the event `refresh-rejected`. */
export type RefreshRejection =
  | 'invalid'
  | 'wrong-client'
  | 'wrong-key'
  | 'unknown'
  | 'expired'
  | 'revoked'
  | 'reused'

/** Purpose of a link or a code in a mail. */
export type LinkPurpose = 'verify-email' | 'reset-password' | 'sign-in-link' | 'sign-in-code'

/** Members of the events by name, without `realm`, and with `actor` only if it varies. */
export interface EventMembers {
  /** A user logged in, or the app opened a session (`actor: 'app'`). */
  login: SessionEvent & { readonly actor?: Actor }
  /**
   * A login failed. `userId` is `null` if the user does not exist. The response is the same for all
   * reasons.
   */
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
   * A login was rejected before its password was checked, because too many attempts failed.
   *
   * `limit` names the exceeded limit: `account` (also of an unknown user), `address` or `device` (a
   * known device). The next attempt is accepted from `until`.
   */
  'login-throttled': Caller & {
    readonly at: Millis
    readonly userId: string | null
    readonly limit: 'account' | 'address' | 'device'
    readonly until: Millis
  }
  /**
   * A refresh token was rejected with 401, so its client is signed out.
   *
   * | reason | cause |
   * |---|---|
   * | `expired` | The idle lifetime or the maximum lifetime of the session has ended. |
   * | `revoked` | The session was revoked for the reason `revokedFor`. |
   * | `reused` | The token is outdated. The event `reuse` or `suspicious-replay` has both sides. |
   * | `unknown` | The store does not have the session. See `session-missing`. |
   * | `wrong-client` | The token belongs to another OAuth client. |
   * | `wrong-key` | The DPoP proof has another key than the session. |
   * | `invalid` | The token is forged, malformed, or signed with another `secret` or `name`. |
   *
   * For `invalid`, session and user are `null`, because nothing in such a token can be trusted. The
   * plugin emits at most one such event per second. `count` is the number of rejected tokens since
   * the last one, so a flood of forged tokens causes no flood of events. For other reasons, `count`
   * is 1.
   */
  'refresh-rejected': Caller & {
    readonly at: Millis
    readonly sessionId: string | null
    readonly userId: string | null
    readonly reason: RefreshRejection
    /** Why the session was revoked. `null` for other reasons than `revoked`. */
    readonly revokedFor: RevocationReason | null
    readonly count: number
  }
  /** A refresh succeeded. `rotated` is `false` if the refresh token stayed the same. */
  refresh: SessionEvent & { readonly generation: number, readonly rotated: boolean }
  /**
   * A client presented the previous refresh token within the grace period, for example from two
   * tabs or in a retry. The response contained the same successor.
   */
  replay: SessionEvent & { readonly generation: number }
  /**
   * A client presented the previous refresh token after the grace period, and nobody had used the
   * successor. The earlier response was lost. The response contained the same successor.
   */
  recovery: SessionEvent & { readonly generation: number }
  /**
   * Two parties hold refresh tokens of one session, so the session was revoked.
   *
   * `presented` is the use of the old token, `rotated` is the last rotation. Either side may be the
   * attacker. Notify the user.
   */
  reuse: SessionEvent & { readonly presented: TokenUse, readonly rotated: TokenUse }
  /**
   * Another client presented the tokens of three or more consecutive generations a second time, or
   * recovered a token that it did not rotate.
   *
   * Either side may be the attacker. `revoked` is `true` if the session was revoked. Emitted unless
   * `refreshToken.replayDetection` is `false`.
   */
  'suspicious-replay': SessionEvent & {
    readonly presented: TokenUse
    readonly rotated: TokenUse
    readonly revoked: boolean
  }
  /**
   * Sessions were revoked: one session, all sessions of a user, or all sessions of the realm.
   *
   * Every instance emits it once for each revocation, whichever instance made it. `local` is `true`
   * on the instance that did. Listen for it to close resources of a session, such as a WebSocket.
   * For a user or the realm, compare the start of the session with `at`. An instance does not emit
   * revocations that it reads at startup. With `revocations: false`, it emits only its own ones.
   * `app.tokenAuth.revokeAll` makes two revocations.
   *
   * @example
   * ```ts
   * on: {
   *   'session-ended': ({ sessionId, userId, keep }) => {
   *     for (const socket of sockets) {
   *       const isOfUser = userId === null || socket.userId === userId
   *       const isEnded = sessionId === null
   *         ? isOfUser && socket.sessionId !== keep
   *         : socket.sessionId === sessionId
   *
   *       if (isEnded) {
   *         socket.close()
   *       }
   *     }
   *   }
   * }
   * ```
   */
  'session-ended': {
    /** Moment of the revocation. */
    readonly at: Millis
    /** `null` if all sessions of a user or of the realm were revoked. */
    readonly sessionId: string | null
    /** `null` if all sessions of the realm were revoked. */
    readonly userId: string | null
    readonly reason: RevocationReason
    readonly actor: Actor
    /** Whether this instance made the revocation. */
    readonly local: boolean
    /** ID of the user's session that was not revoked. Missing if there is none. */
    readonly keep?: string
  }
  /**
   * A link or a code was handed to the callback that sends it, which did not fail.
   *
   * Emitted by `fastify-token-auth/account`, like the next three. For `sendVerification`, the actor
   * is `app`.
   */
  'link-sent': Caller & {
    readonly at: Millis
    readonly userId: string
    readonly purpose: LinkPurpose
    readonly actor?: Actor
  }
  /** A user has verified an e-mail address. */
  'email-verified': Caller & { readonly at: Millis, readonly userId: string }
  /** A user has set a new password by a link. All sessions of the user are revoked. */
  'password-reset': Caller & { readonly at: Millis, readonly userId: string }
  /**
   * A code of a second factor was wrong or used before. The first factor was right, so an attacker
   * may know the password. Notify the user after several of them.
   */
  'second-factor-failed': Caller & {
    readonly at: Millis
    readonly userId: string
    readonly method: string
  }
  /**
   * A service that uses the route `sync` reported `count` tokens that this app did not issue.
   *
   * The reports were ignored. Either the service sends them to the wrong registration, a `secret`
   * was removed while its tokens were valid, or an attacker controls the service. Emitted at most
   * once per request.
   */
  'sync-ignored': Caller & {
    readonly at: Millis
    /** OAuth client of the service. */
    readonly clientId: string
    readonly count: number
  }
  /** Expired records were deleted. */
  sweep: { readonly at: Millis, readonly deleted: number, readonly took: Millis }
  /**
   * An authentic refresh token was ahead of the store, so the store has lost writes. Typical causes
   * are a restored backup and a promoted replica.
   *
   * The row was moved up to the generation `presented`. The store has lost revocations too: call
   * `app.tokenAuth.revokeUser` again for every revocation since the time of the restored data.
   */
  'store-rolled-back': SessionEvent & { readonly presented: number, readonly stored: number }
  /**
   * The store does not have the session of an authentic and unexpired refresh token. Typical causes
   * are a lost database and a sweep by a wrong clock.
   */
  'session-missing': SessionEvent
  /**
   * Revocations of other instances cannot be read since `since`.
   *
   * Emitted once per outage, if the last complete read is older than 10 s and than five
   * `revocations.pollInterval`. The log line `revocations are read again` follows the outage.
   *
   * During the outage, this instance accepts access tokens of sessions that were revoked elsewhere.
   * Set `revocations.failAfter` to limit that time.
   */
  'revocations-stalled': { readonly at: Millis, readonly since: Millis }
  /**
   * A clock is wrong. Sessions are judged by the clock of the store, so nobody is signed out.
   *
   * With the source `store`, the clock of the database has stepped by `ahead` milliseconds. Sweeps
   * pause for an hour. With `instance`, the clock of this instance differs from it by `ahead`
   * milliseconds, which is more than a second. A negative value means that the clock is behind.
   */
  'clock-skew': {
    readonly at: Millis
    readonly source: 'store' | 'instance'
    readonly ahead: Millis
  }
}

/**
 * Events by name. They contain IDs and facts, but never a token or a password.
 *
 * Each event names its cause, and the realm, which is the option `name` of the registration. The
 * plugin calls the listener in `on`, and publishes the event to the `node:diagnostics_channel`
 * `fastify-token-auth:<event>`.
 *
 * Without a listener in `on`, the plugin logs the events `reuse`, `suspicious-replay`,
 * `store-rolled-back`, `session-missing`, `sync-ignored`, `revocations-stalled` and `clock-skew` at
 * level `warn`, each at most 10 times in 10 s.
 */
export type TokenAuthEvents = {
  readonly [Name in keyof EventMembers]:
    & EventMembers[Name]
    & {
      /** The option `name` of the registration. */
      readonly realm: string
      /** Cause of the event. */
      readonly actor: Actor
    }
}

/** Name of an event. */
export type EventName = keyof TokenAuthEvents

/**
 * Listeners by event name. The plugin logs the error of a listener that throws or rejects.
 *
 * @example
 * ```ts
 * await app.register(tokenAuth, {
 *   secret,
 *   store,
 *   users,
 *   on: { reuse: ({ userId }) => notifyUser(userId) }
 * })
 * ```
 */
export type TokenAuthListeners = {
  readonly [Name in EventName]?: (event: TokenAuthEvents[Name]) => unknown
}

/** The methods of a logger that the plugin calls. Fastify's logger is compatible. */
export interface Logger {
  /** Logs a failure that needs an engineer. */
  error(facts: object, message: string): void
  /** Logs a risk, or an outage. */
  warn(facts: object, message: string): void
  /** Logs a completed task, or the end of an outage. */
  info(facts: object, message: string): void
}

/** Cause of each event, unless its members name another one. */
const DEFAULT_ACTORS: { readonly [Name in EventName]: Actor } = {
  login: 'client',
  'login-rejected': 'client',
  'login-throttled': 'client',
  'refresh-rejected': 'client',
  refresh: 'client',
  replay: 'client',
  recovery: 'client',
  reuse: 'client',
  'suspicious-replay': 'client',
  'session-ended': 'client',
  'link-sent': 'client',
  'email-verified': 'client',
  'password-reset': 'client',
  'second-factor-failed': 'client',
  'sync-ignored': 'client',
  sweep: 'plugin',
  'store-rolled-back': 'client',
  'session-missing': 'client',
  'revocations-stalled': 'plugin',
  'clock-skew': 'plugin'
}

/** Log messages of the events that an operator must know about. */
const WARNINGS: { readonly [Name in EventName]?: string } = {
  reuse: 'revoked a session because its refresh token was reused',
  'suspicious-replay': 'another client replays the refresh tokens of a session',
  'store-rolled-back': 'the store has lost writes: a refresh token is newer than its session',
  'session-missing': 'the store does not have the session of a valid refresh token',
  'sync-ignored': 'a service reported tokens that this app did not issue',
  'revocations-stalled': 'revocations of other instances cannot be read',
  'clock-skew': 'a clock is wrong'
}

// A store that lost its table causes one warning for each user.
const MAX_WARNINGS = 10
const WARNING_WINDOW: Millis = 10 * SECOND

/** Sends events to the app's listeners and to the diagnostics channels. */
export class Events {
  readonly #listeners: TokenAuthListeners
  readonly #logger: Logger
  readonly #realm: string
  readonly #channels: { [Name in EventName]?: Channel } = {}
  readonly #limits: { [Name in EventName]?: RateLimit } = {}

  constructor (listeners: TokenAuthListeners, logger: Logger, realm: string) {
    this.#listeners = listeners
    this.#logger = logger
    this.#realm = realm
  }

  /** Publishes an event without waiting for a listener. */
  emit<Name extends EventName> (name: Name, members: EventMembers[Name]): void {
    const diagnostics = this.#channels[name] ??= channel(`fastify-token-auth:${name}`)
    const isHandled = this.#listeners[name] !== undefined
    const warning = isHandled ? undefined : WARNINGS[name]

    if (!isHandled && warning === undefined && !diagnostics.hasSubscribers) {
      return
    }

    const actor = DEFAULT_ACTORS[name]
    const event = { realm: this.#realm, actor, ...members } as TokenAuthEvents[Name]

    if (warning !== undefined) {
      this.#warn(name, event, warning)
    }

    diagnostics.publish(event)
    void this.#notify(name, event)
  }

  // A subscriber of a channel usually only counts events, so the log does not depend on it.
  #warn (name: EventName, event: object, message: string): void {
    const limit = this.#limits[name] ??= new RateLimit(MAX_WARNINGS, WARNING_WINDOW)
    const skipped = limit.next()

    if (skipped !== null) {
      this.#logger.warn({ event: name, ...event, ...(skipped > 0 && { skipped }) }, message)
    }
  }

  async #notify<Name extends EventName> (name: Name, event: TokenAuthEvents[Name]): Promise<void> {
    try {
      await this.#listeners[name]?.(event)
    } catch (error) {
      this.#logger.error(
        { event: name, cause: describeError(error, true) },
        'event listener failed'
      )
    }
  }
}
