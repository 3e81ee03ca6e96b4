import { randomBytes } from 'node:crypto'
import type { RotationAttempt } from '../../domain/rotation.js'
import type { Session } from '../../domain/session.js'
import type { Millis } from '../../lib/time.js'
import type { SessionRevocation, Touch } from '../token-store.js'
import type { RedisConnection } from './connection.js'
import { getShard } from './keys.js'
import { getTimeToLive, toFields, toRotatedFields } from './rows.js'
import type { RotatedPart } from './rows.js'

/** Result of {@link RedisSessions.rotate}. */
export type Rotated =
  | { readonly swapped: false, readonly session: Session | null }
  | { readonly swapped: true, readonly session: Session, readonly previous: RotatedPart }

/** Result of {@link RedisSessions.mark}. */
export interface Marked {
  readonly state: 'gone' | 'revoked' | 'unmarked' | 'marked'
  /** `null` if the session is gone or not revoked. */
  readonly authenticatedAt: Millis | null
}

/** Reads and writes the rows of sessions. Knows nothing of not-befores. */
export class RedisSessions {
  readonly #redis: RedisConnection

  constructor (redis: RedisConnection) {
    this.#redis = redis
  }

  /**
   * Saves a session, unless its ID is taken.
   *
   * @returns A function that deletes the session again; `null` if the ID is taken.
   */
  async create (session: Session): Promise<(() => Promise<unknown>) | null> {
    const { id, expiresAt } = session
    const { keys } = this.#redis
    const place = [keys.session(id), keys.ends(getShard(id))]
    const mark = randomBytes(9).toString('base64url')
    const values = [getTimeToLive(session), mark, id, expiresAt, ...toFields(session)]
    const created = await this.#redis.run('create', { keys: place, values })

    return Number(created) === 0
      ? null
      : () => this.#redis.run('deleteCreated', { keys: place, values: [mark, id] })
  }

  // A script, because cluster clients may send plain reads to a replica.
  async read (sessionId: string): Promise<Session | null> {
    const found = await this.#redis.run('find', { keys: this.#getKeys(sessionId) })
    return found === null ? null : JSON.parse(String(found)) as Session
  }

  async rotate (attempt: RotationAttempt, signal: AbortSignal | undefined): Promise<Rotated> {
    const values = [
      attempt.realm,
      attempt.secretHash,
      attempt.from,
      attempt.to,
      attempt.heals,
      attempt.now,
      attempt.expiresAt,
      attempt.graceBefore,
      attempt.graceAfter,
      JSON.stringify(attempt.by)
    ]
    const keys = this.#getKeys(attempt.sessionId)
    return JSON.parse(String(await this.#redis.run('rotate', { keys, values, signal }))) as Rotated
  }

  /** Restores what a rotation changed, unless the row has rotated again. */
  async undoRotation (
    { sessionId, to, now, by }: RotationAttempt,
    previous: RotatedPart
  ): Promise<void> {
    const values = [to, now, JSON.stringify(by), ...toRotatedFields(previous)]
    await this.#redis.run('undoRotation', { keys: this.#getKeys(sessionId), values })
  }

  /** Revokes a session with its entry. Returns 0 if it is revoked already. */
  async revoke (entry: SessionRevocation): Promise<number> {
    const { keys } = this.#redis
    const { sessionId, at, reason } = entry
    const revoked = await this.#redis.run('revoke', {
      keys: [keys.session(sessionId), keys.feed(getShard(sessionId))],
      values: [at, reason, JSON.stringify(entry), keys.channel]
    })
    return Number(revoked)
  }

  /** Marks a session with the first not-before that revokes it. `values` are the script's. */
  async mark (sessionId: string, values: ReadonlyArray<string | number>): Promise<Marked> {
    const [state, authenticatedAt] = await this.#redis.run('mark', {
      keys: this.#getKeys(sessionId),
      values
    }) as [unknown, unknown?]

    return {
      state: String(state) as Marked['state'],
      authenticatedAt: authenticatedAt === undefined ? null : Number(authenticatedAt)
    }
  }

  async touch (touch: Touch): Promise<void> {
    const values = [
      touch.realm,
      touch.generation,
      touch.lastUsedAt,
      touch.confirmedGeneration,
      touch.graceFrom ?? '',
      touch.replayRun === null ? '' : JSON.stringify(touch.replayRun)
    ]
    await this.#redis.run('touch', { keys: this.#getKeys(touch.sessionId), values })
  }

  #getKeys (sessionId: string): string[] {
    return [this.#redis.keys.session(sessionId)]
  }
}
