import type { Millis } from './time.js'

/** Deletes the entries of a Map whose moment has passed. The Map must be in the order of expiry. */
export function deleteExpired (expiries: Map<string, Millis>, now: Millis): void {
  for (const [key, until] of expiries) {
    if (until > now) {
      break
    }

    expiries.delete(key)
  }
}
