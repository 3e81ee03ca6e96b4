// Rotations, as many at once as asked for, each of which has to succeed: a store that refuses quickly is not fast.

import assert from 'node:assert/strict'
import type { RotationAttempt, TokenStore } from 'fastify-token-auth'
import { caller, DAY, idOf, secretHashOf } from './fill.js'
import { median } from './rounds.js'

/** One rotation; rejects unless it has moved the session to its next generation. */
export type Rotate = (attempt: RotationAttempt) => Promise<void>

export interface Run {
  readonly perSecond: number
  /** Median of what one rotation took, in milliseconds. */
  readonly p50: number
}

// Prime: every session has its turn before one has its second.
const STRIDE = 7919
const CLOCK_TOLERANCE = 60_000

export function rotateBy (store: TokenStore): Rotate {
  return async attempt => {
    const { swapped, session } = await store.rotate(attempt)

    if (!swapped || session?.generation !== attempt.generation + 1) {
      throw new Error('a rotation did not succeed')
    }
  }
}

/** The sessions of a fill, and how often each was rotated. */
export class Fleet {
  readonly #generations: Uint32Array
  #place = 0

  constructor (count: number) {
    this.#generations = new Uint32Array(count)
  }

  async rotateNext (rotate: Rotate): Promise<void> {
    const n = this.#place = (this.#place + STRIDE) % this.#generations.length
    const generation = this.#generations[n] as number
    const now = Date.now()
    await rotate({
      sessionId: idOf(n),
      secretHash: secretHashOf(n),
      generation,
      now,
      expiresAt: now + 7 * DAY,
      rotatedBefore: now,
      rotatedAfter: now + CLOCK_TOLERANCE,
      by: caller
    })
    this.#generations[n] = generation + 1
  }

  async run (
    rotate: Rotate,
    { atOnce, ms }: { readonly atOnce: number, readonly ms: number }
  ): Promise<Run> {
    const took: number[] = []
    const start = performance.now()
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let at = performance.now(); at < start + ms;) {
        await this.rotateNext(rotate)
        const then = performance.now()
        took.push(then - at)
        at = then
      }
    }))
    return { perSecond: took.length / (performance.now() - start) * 1000, p50: median(took) }
  }

  /** The store has to know of each rotation, whoever did it. */
  async check (store: TokenStore): Promise<void> {
    const every = Math.max(1, Math.floor(this.#generations.length / 1000))

    for (let n = 0; n < this.#generations.length; n += every) {
      const session = await store.find(idOf(n))
      assert.equal(session?.generation, this.#generations[n], `generation of ${idOf(n)}`)
      assert.equal(session?.userId, `u${n}`)
    }
  }
}
