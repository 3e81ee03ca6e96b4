import assert from 'node:assert/strict'
import type { RotationAttempt, TokenStore } from 'fastify-token-auth'
import { median } from '../comparison.js'
import { caller, createSecretHash, createSessionId, DAY, REALM } from './seed.js'

/** Rotates a session. Rejects if the session did not move to its next generation. */
export type Rotate = (attempt: RotationAttempt) => Promise<void>

/** Result of a run. */
export interface RotationRun {
  readonly perSecond: number
  /** Median duration of a rotation, in milliseconds. */
  readonly p50: number
}

// A prime number, so that every session is rotated before one is rotated again.
const STRIDE = 7919
const GRACE = 10_000

/** Creates a function that rotates sessions with a store. */
export function createStoreRotation (store: TokenStore): Rotate {
  return async attempt => {
    const { swapped, session } = await store.rotate(attempt)

    if (!swapped || session?.generation !== attempt.to) {
      throw new Error('Store did not rotate a session')
    }
  }
}

/** Rotates the sessions of a seed, and tracks their generations. */
export class RotationLoad {
  readonly #generations: Uint32Array
  #position = 0

  constructor (sessionCount: number) {
    this.#generations = new Uint32Array(sessionCount)
  }

  /** Rotates sessions for a time. A store that rejects rotations fails instead of being fast. */
  async run (
    rotate: Rotate,
    { concurrency, ms }: { readonly concurrency: number, readonly ms: number }
  ): Promise<RotationRun> {
    const durations: number[] = []
    const startTime = performance.now()
    await Promise.all(Array.from({ length: concurrency }, async () => {
      for (let sentAt = performance.now(); sentAt < startTime + ms;) {
        await this.#rotateNext(rotate)
        const now = performance.now()
        durations.push(now - sentAt)
        sentAt = now
      }
    }))

    return {
      perSecond: durations.length / (performance.now() - startTime) * 1000,
      p50: median(durations)
    }
  }

  /** Asserts that the store has saved every rotation. Reads about 1,000 sessions. */
  async assertSaved (store: TokenStore): Promise<void> {
    const step = Math.max(1, Math.floor(this.#generations.length / 1000))

    for (let n = 0; n < this.#generations.length; n += step) {
      const id = createSessionId(n)
      const session = await store.find(REALM, id)
      assert.equal(session?.generation, this.#generations[n], `generation of ${id}`)
      assert.equal(session?.userId, `u${n}`)
    }
  }

  async #rotateNext (rotate: Rotate): Promise<void> {
    const n = this.#position = (this.#position + STRIDE) % this.#generations.length
    const generation = this.#generations[n] as number
    const now = Date.now()
    await rotate({
      realm: REALM,
      sessionId: createSessionId(n),
      userId: `u${n}`,
      secretHash: createSecretHash(n),
      from: generation,
      to: generation + 1,
      heals: false,
      now,
      expiresAt: now + 7 * DAY,
      graceBefore: now,
      graceAfter: now + GRACE,
      by: caller
    })
    this.#generations[n] = generation + 1
  }
}
