import { inspect } from 'node:util'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../src/index.js'
import { resolveOptions } from '../../src/options/resolve.js'
import type { ResolvedOptions } from '../../src/options/resolve.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { SECRET } from '../helpers/app.js'

export const OTHER_SECRET = 'Zr4Kp9Xs2Wd7Vf1Bg6Nh3Mj8Qk5Tl0Yc'
export const THIRD_SECRET = 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq'

export const users = { findByLogin: () => null, findById: () => null }
export const store = new MemoryStore()
export const required = { secret: SECRET, store, users }

/** Resolves the required options together with the given ones. */
export function resolve (given: object, mountedAt?: string): ResolvedOptions {
  return resolveOptions({ ...required, ...given } as TokenAuthOptions, mountedAt)
}

/** Returns the message that options are rejected with, or `null` if they are accepted. */
export function findError (given: object, mountedAt?: string): string | null {
  return findMessage(() => resolve(given, mountedAt))
}

/** Returns the message of the `TypeError` that a function throws, or `null` if it returns. */
export function findMessage (work: () => unknown): string | null {
  try {
    work()
  } catch (error) {
    if (error instanceof TypeError) {
      return error.message
    }

    throw error
  }

  return null
}

export type Rejection = readonly [given: object, message: RegExp | string]

/** Asserts that each set of options is rejected with its message. */
export function assertRejected (t: Test, rejections: readonly Rejection[]): void {
  for (const [given, expected] of rejections) {
    const message = findError(given) ?? 'accepted'
    const label = inspect(given, { breakLength: Infinity }).slice(0, 100)
    t.match(message, /^fastify-token-auth: /, label)
    t.match(message, expected, label)
  }
}
