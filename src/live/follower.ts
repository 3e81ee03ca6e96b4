import { inspect } from 'node:util'
import { TokenAuthError } from '../errors.js'
import { SECOND } from '../lib/time.js'
import type { Auth, VerifiedToken } from '../tokens/auth.js'

/** Verified access token whose session can be followed. */
export interface FollowableToken extends VerifiedToken {
  readonly generation: number
}

/**
 * Session of a request that outlives its response, such as a WebSocket, a stream or a job.
 *
 * All members also work after destructuring.
 *
 * @example
 * ```ts
 * import { addAbortListener } from 'node:events'
 *
 * app.get('/events', { onRequest: [app.authenticate] }, async (request, reply) => {
 *   const { signal, end } = app.tokenAuth.follow(request)
 *   const stream = openEventStream(reply)
 *   addAbortListener(signal, () => stream.end())
 *   stream.on('close', end)
 * })
 * ```
 */
export interface FollowedSession {
  /**
   * Aborts when the session is revoked on any instance, or when its access token expires without
   * {@link renew}.
   *
   * `signal.reason` is a `TokenAuthError` with the code `AUTH_SESSION_REVOKED` or
   * `AUTH_ACCESS_EXPIRED`. Failures of the store abort nothing.
   *
   * If the session ended before the call of `follow`, the signal has aborted already and emits no
   * event. Listen with `addAbortListener` of `node:events`, which calls its listener then too. As
   * for every `AbortSignal` of Node.js, an error that a listener throws is an uncaught exception.
   */
  readonly signal: AbortSignal
  /**
   * Replaces the access token with a newer one of the same session, which the client sent on the
   * open connection. Records the use of the new token, as for a request.
   *
   * A DPoP-bound token needs no new proof, but must be bound to the same key. A token that expires
   * at the same time is accepted and changes nothing.
   *
   * @returns User and session of the new token, like `request.auth`.
   * @throws TokenAuthError like `authenticate`. `AUTH_ACCESS_INVALID` also if the token belongs to
   * another session, client or key. `AUTH_ACCESS_EXPIRED` also if it is older than the current one.
   * The session stays followed with its current token.
   * @throws TokenAuthError the reason of the signal, if it has aborted.
   * @throws Error if {@link end} was called.
   */
  readonly renew: (accessToken: string) => Promise<Auth>
  /**
   * Stops following the session and releases its memory. The signal does not abort anymore.
   *
   * Call it when the connection closes. Otherwise the memory is released when the token expires.
   */
  readonly end: () => void
}

/** Codes of the errors with which signals abort. */
export type EndCode = 'AUTH_SESSION_REVOKED' | 'AUTH_ACCESS_EXPIRED'

/** Part of the registry that a {@link Follower} calls. */
export interface FollowerRegistry {
  renew(follower: Follower, accessToken: string): Promise<Auth>
  remove(follower: Follower): void
}

/**
 * One followed session, with its place in the lists of the registry.
 *
 * Adds about 100 bytes to an AbortController of 800 bytes. A server may have many thousands, so it
 * extends the controller: another object would take 40 bytes more.
 */
export class Follower extends AbortController implements FollowedSession {
  readonly userId: string
  readonly sessionId: string
  /** Second since 1970 at which the access token has expired. Takes less memory than `Millis`. */
  endsAtSecond: number
  nextOfUser: Follower | null = null
  previousOfUser: Follower | null = null
  nextOfEnd: Follower | null = null
  previousOfEnd: Follower | null = null
  readonly #clientId: string | null
  readonly #thumbprint: string | null
  #generation: number
  /** `null` if the session is not followed anymore. */
  #registry: FollowerRegistry | null

  constructor (registry: FollowerRegistry, { auth, generation, thumbprint }: FollowableToken) {
    super()
    this.userId = auth.userId
    this.sessionId = auth.sessionId
    this.endsAtSecond = getEndSecond(auth)
    this.#clientId = auth.clientId
    this.#thumbprint = thumbprint
    this.#generation = generation
    this.#registry = registry
  }

  // A function that is created on each read takes no memory in the meantime.
  get renew (): FollowedSession['renew'] {
    return async accessToken => this.getRegistry().renew(this, accessToken)
  }

  get end (): FollowedSession['end'] {
    return () => {
      this.#registry?.remove(this)
      this.#registry = null
    }
  }

  get isFollowed (): boolean {
    return this.#registry !== null
  }

  /**
   * Asserts that the session is followed.
   *
   * @throws TokenAuthError the reason of the signal, if it has aborted.
   * @throws Error if `end` was called.
   */
  getRegistry (): FollowerRegistry {
    this.signal.throwIfAborted()

    if (this.#registry === null) {
      throw new Error('fastify-token-auth: renew cannot be used after end')
    }

    return this.#registry
  }

  /**
   * Asserts that a verified token may replace the current one.
   *
   * @throws TokenAuthError `AUTH_ACCESS_INVALID` or `AUTH_ACCESS_EXPIRED`
   */
  assertReplaceableBy ({ auth, generation, thumbprint }: FollowableToken): void {
    if (auth.sessionId !== this.sessionId || auth.userId !== this.userId) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID', { hint: 'it belongs to another session' })
    }

    if (auth.clientId !== this.#clientId || thumbprint !== this.#thumbprint) {
      throw new TokenAuthError('AUTH_ACCESS_INVALID', { hint: 'it is bound to another client' })
    }

    if (generation < this.#generation || getEndSecond(auth) < this.endsAtSecond) {
      throw new TokenAuthError('AUTH_ACCESS_EXPIRED', {
        hint: 'the connection has a newer token'
      })
    }
  }

  /** Continues with a newer token. Concurrent calls may arrive in any order. */
  replaceToken ({ auth, generation }: FollowableToken): void {
    this.endsAtSecond = Math.max(this.endsAtSecond, getEndSecond(auth))
    this.#generation = Math.max(this.#generation, generation)
  }

  /** Stops following the session, and aborts the signal. */
  override abort (reason: TokenAuthError): void {
    this.end()
    super.abort(reason)
  }

  // A log of the app must not show the other followers in the lists.
  toJSON (): object {
    return { aborted: this.signal.aborted }
  }

  [inspect.custom] (): object {
    return this.toJSON()
  }
}

function getEndSecond ({ expiresAt }: Auth): number {
  return Math.ceil(expiresAt / SECOND)
}
