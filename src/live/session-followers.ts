import { AsyncResource } from 'node:async_hooks'
import { TokenAuthError } from '../errors.js'
import { LinkedLists } from '../lib/linked-lists.js'
import { SECOND } from '../lib/time.js'
import type { Millis } from '../lib/time.js'
import type { KnownRevocation, RevokedSessions } from '../revocations/revoked.js'
import type { AccessTokenVerifier, Auth } from '../tokens/auth.js'
import { Follower } from './follower.js'
import type { EndCode, FollowableToken, FollowedSession, FollowerRegistry } from './follower.js'

/** Collaborators of {@link SessionFollowers}. */
export interface SessionFollowersContext {
  readonly revoked: RevokedSessions
  readonly clock: () => Millis
  /** Verifies the tokens that replace the first one. */
  readonly verifier: AccessTokenVerifier<FollowableToken>
}

/** Maximum number of signals to abort in one turn of the event loop. Each takes 10 µs or more. */
const MAX_ABORTS = 200

/**
 * Followed sessions of one registration.
 *
 * A revocation of a session or a user checks the followers of that user only. Expired tokens are
 * looked up once a second, by the clock that verifies tokens. So no follower needs a timer, and a
 * jump of the clock skips none.
 */
export class SessionFollowers implements FollowerRegistry {
  readonly #context: SessionFollowersContext
  readonly #byUser = new LinkedLists<string, 'nextOfUser' | 'previousOfUser', Follower>(
    'nextOfUser',
    'previousOfUser'
  )

  readonly #byEnd = new LinkedLists<number, 'nextOfEnd' | 'previousOfEnd', Follower>(
    'nextOfEnd',
    'previousOfEnd'
  )

  // Listeners and timers must not run in the async context of the request that caused them.
  readonly #runInOwnContext = AsyncResource.bind((work: () => void) => {
    work()
  })

  #size = 0
  #timer: NodeJS.Timeout | undefined

  constructor (context: SessionFollowersContext) {
    this.#context = context
    context.revoked.onAdd(revocation => {
      if (this.#size > 0) {
        this.#check(this.#findAffected(revocation))
      }
    })
  }

  /** Number of sessions that are followed, once for each call of {@link follow}. */
  get size (): number {
    return this.#size
  }

  /** Follows the session of a verified token. The signal has aborted if the session has ended. */
  follow (token: FollowableToken): FollowedSession {
    const follower = new Follower(this, token)
    const code = this.#findEnd(follower, this.#context.clock())
    this.#size++
    this.#byUser.add(follower.userId, follower)
    this.#byEnd.add(follower.endsAtSecond, follower)

    if (code !== null) {
      follower.abort(new TokenAuthError(code))
    }

    this.#schedule()
    return follower
  }

  /** Implements {@link FollowedSession.renew}. */
  async renew (follower: Follower, accessToken: string): Promise<Auth> {
    const { verifier } = this.#context

    // The message of a client may contain any type.
    if (typeof accessToken !== 'string') {
      throw new TokenAuthError('AUTH_ACCESS_INVALID')
    }

    const token = await verifier.verify(accessToken, `Bearer ${accessToken}`)
    follower.assertReplaceableBy(token)

    // The client proved possession of the same key when it opened the connection.
    if (token.thumbprint !== null) {
      await verifier.onPossessionProved?.(token)
    }

    follower.getRegistry()
    this.#byEnd.remove(follower.endsAtSecond, follower)
    follower.replaceToken(token)
    this.#byEnd.add(follower.endsAtSecond, follower)
    return token.auth
  }

  /** Removes a follower from the lists. */
  remove (follower: Follower): void {
    this.#size--
    this.#byUser.remove(follower.userId, follower)
    this.#byEnd.remove(follower.endsAtSecond, follower)
  }

  /** Stops following all sessions. No signal aborts. */
  close (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined

    for (const follower of this.#listAll()) {
      follower.end()
    }
  }

  #findAffected (revocation: KnownRevocation): Follower[] {
    const userId = 'userId' in revocation ? revocation.userId : undefined
    return userId === undefined ? this.#listAll() : this.#byUser.get(userId)
  }

  #listAll (): Follower[] {
    return [...this.#byUser.keys()].flatMap(userId => this.#byUser.get(userId))
  }

  #schedule (): void {
    if (this.#timer !== undefined || this.#size === 0) {
      return
    }

    this.#runInOwnContext(() => {
      this.#timer = setTimeout(() => {
        this.#timer = undefined
        this.#checkEnds()
        this.#schedule()
      }, SECOND - this.#context.clock() % SECOND).unref()
    })
  }

  // Checks every second that has a follower, so that a jump of the clock skips none.
  #checkEnds (): void {
    const now = this.#context.clock()
    const seconds = [...this.#byEnd.keys()].filter(second => second * SECOND <= now)
    this.#check(seconds.flatMap(second => this.#byEnd.get(second)))
  }

  /** Aborts the signals of those followers whose session or token has ended. */
  #check (followers: readonly Follower[]): void {
    if (followers.length > 0) {
      this.#runInOwnContext(() => {
        this.#checkFrom(followers, 0)
      })
    }
  }

  #checkFrom (followers: readonly Follower[], start: number): void {
    const now = this.#context.clock()
    let aborts = 0

    for (let i = start; i < followers.length; i++) {
      const follower = followers[i] as Follower
      const code = follower.isFollowed ? this.#findEnd(follower, now) : null

      if (code === null) {
        continue
      }

      // Other requests must not wait for all of them.
      if (aborts++ === MAX_ABORTS) {
        setImmediate(() => {
          this.#checkFrom(followers, i)
        })
        return
      }

      follower.abort(new TokenAuthError(code))
    }
  }

  #findEnd ({ sessionId, userId, endsAtSecond }: Follower, now: Millis): EndCode | null {
    if (this.#context.revoked.has(sessionId, userId)) {
      return 'AUTH_SESSION_REVOKED'
    }

    return now >= endsAtSecond * SECOND ? 'AUTH_ACCESS_EXPIRED' : null
  }
}
