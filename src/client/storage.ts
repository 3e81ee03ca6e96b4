/**
 * Storage of the refresh token.
 *
 * @module
 */

import { createQueue } from './async.js'
import type { WithTimeout } from './async.js'
import { AuthError } from './errors.js'
import type { FlagsLike } from './platform.js'

/**
 * Storage for one string, such as an entry in the keychain of a phone.
 *
 * The value is the refresh token. After a logout that the server has not acknowledged yet, the
 * value is `out:` followed by the token.
 *
 * @example
 * ```ts
 * import type { TokenStorage } from 'fastify-token-auth/client'
 * import * as SecureStore from 'expo-secure-store'
 *
 * const storage: TokenStorage = {
 *   get: () => SecureStore.getItemAsync('refresh-token'),
 *   set: value => SecureStore.setItemAsync('refresh-token', value),
 *   remove: () => SecureStore.deleteItemAsync('refresh-token')
 * }
 * ```
 */
export interface TokenStorage {
  /** Returns the value; `null` if nothing is saved. */
  get(): Promise<string | null>
  /**
   * Saves the value.
   *
   * Must resolve only when the value would survive a crash. The client uses new tokens afterwards.
   */
  set(value: string): Promise<unknown>
  /** Deletes the value. */
  remove(): Promise<unknown>
  /**
   * Runs work while no other owner of the storage, such as another process, runs work.
   *
   * Set it if several processes share the storage. The client reads the value again after it has
   * the lock and before it sends a request. Must reject, without running the work, if the signal is
   * aborted or the lock cannot be acquired.
   *
   * @default none; the tabs of a browser use Web Locks
   */
  lock?<Result>(work: () => Promise<Result>, signal: AbortSignal): Promise<Result>
}

/**
 * Reads the stored value and replaces it with the result of `change`.
 *
 * Writes nothing if `change` is missing or returns the same value.
 *
 * @returns The value before the change.
 * @throws AuthError `storage`; the change may still happen
 */
export type StorageQueue = (
  change?: (stored: string | null) => string | null
) => Promise<string | null>

/** Prefix of the stored value after a logout that the server has not acknowledged yet. */
export const PENDING_LOGOUT_PREFIX = 'out:'

/** Stored value for a refresh token that a cookie carries. */
export const COOKIE_MARKER = 'in'

/** Whether a stored value belongs to a logout that the server has not acknowledged yet. */
export function isPendingLogout (stored: string | null): boolean {
  return stored?.startsWith(PENDING_LOGOUT_PREFIX) ?? false
}

/**
 * Returns the refresh token of a stored value.
 *
 * @returns The token or {@link COOKIE_MARKER}; an empty string if nothing is stored.
 */
export function getStoredToken (stored: string | null): string {
  return stored?.replace(PENDING_LOGOUT_PREFIX, '') ?? ''
}

/**
 * Creates a storage in memory, which uses `localStorage` as well if it is available.
 *
 * @param flags - Returns the storage that all tabs share; `null` for memory only.
 */
export function createPageStorage (flags: () => FlagsLike | null, key: string): TokenStorage {
  let memory: string | null = null
  let isAvailable = true

  /** Sandboxed pages and full storages throw. From then on, only memory is used. */
  function access (act: (flags: FlagsLike) => string | null): string | null {
    try {
      const shared = isAvailable ? flags() : null
      return shared === null ? memory : act(shared)
    } catch {
      isAvailable = false
      return memory
    }
  }

  return {
    get: async () => access(flags => flags.getItem(key)),
    async set (value) {
      memory = value
      access(flags => {
        flags.setItem(key, value)
        return value
      })
    },
    async remove () {
      memory = null
      access(flags => {
        flags.removeItem(key)
        return null
      })
    }
  }
}

/** Creates a queue of storage accesses, so that the last call wins even if the storage is slow. */
export function createStorageQueue (
  storage: TokenStorage,
  withTimeout: WithTimeout
): StorageQueue {
  const queue = createQueue()

  const access: StorageQueue = (change = stored => stored) =>
    queue(async () => {
      // Native modules return `undefined` for a missing value.
      const before = await storage.get() ?? null
      const after = change(before)

      if (after !== before) {
        await (after === null ? storage.remove() : storage.set(after))
      }

      return before
    })

  return async change => {
    try {
      return await withTimeout(null, () => access(change))
    } catch (failure) {
      throw new AuthError('storage', { cause: failure })
    }
  }
}
