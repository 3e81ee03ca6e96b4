// Where the refresh token is kept, and what is remembered besides: that there is a session, or that one is still to be ended.

import { AuthError } from './errors.js'
import type { WithTimeout } from './async.js'
import type { FlagsLike, Platform } from './platform.js'
import { createQueue } from './async.js'

/**
 * Keeps one text, such as a phone's keychain does. It holds the refresh token, and after a logout that the server has not
 * acknowledged yet, `out:` and that token.
 */
export interface TokenStorage {
  get(): Promise<string | null>
  /** Resolves when the text would survive a crash: the tokens are not used before. */
  set(value: string): Promise<unknown>
  remove(): Promise<unknown>
}

/** What is stored before the token once its session is to be ended. */
export const PENDING_LOGOUT_PREFIX = 'out:'

/** */
export function isPendingLogout (stored: string | null): boolean {
  return /^out:/.test(stored as string)
}

/** What is stored for a refresh token that is in a cookie. */
export const COOKIE_MARKER = 'in'

/** The refresh token, or what stands for it; empty where there is none. */
export function tokenOf (stored: string | null): string {
  return stored?.replace(PENDING_LOGOUT_PREFIX, '') ?? ''
}

/** In `localStorage` where there is one that works, or else in memory. */
export function pageStorage (platform: Platform, isLasting: boolean, key: string): TokenStorage {
  let inMemory: string | null = null

  const use = async (
    act: (flags: FlagsLike) => string | null | void,
    value = inMemory
  ): Promise<string | null> => {
    inMemory = value

    try {
      if (isLasting && platform.flags) {
        return act(platform.flags) as string | null
      }
    } catch {
      isLasting = false
    }

    return inMemory
  }

  return {
    get: () => use(flags => flags.getItem(key)),
    set: value => use(flags => flags.setItem(key, value), value),
    remove: () => use(flags => flags.removeItem(key), null)
  }
}

/**
 * Replaces what is stored by what `change` makes of it, or only reads; nothing is written where that is the same.
 *
 * @returns What was stored before.
 * @throws AuthError `storage`; what was asked for may happen all the same
 */
export type StorageQueue = (
  change?: (stored: string | null) => string | null
) => Promise<string | null>

/** One access at a time, so that what was asked for last is what stays, however slow the storage is. */
export function createStorageQueue (storage: TokenStorage, limit: WithTimeout): StorageQueue {
  const queue = createQueue()

  return (change = stored => stored) =>
    limit(null, () =>
      queue(async () => {
        const before = await storage.get()
        const after = change(before)

        if (after !== before) {
          await (after === null ? storage.remove() : storage.set(after))
        }

        return before
      })).catch(() => {
        throw new AuthError('storage')
      })
}
