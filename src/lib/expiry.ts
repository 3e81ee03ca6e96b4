import type { Millis } from './time.js'

/** Deletes the entries of a Map whose moment has passed. The Map must be in the order of expiry. */
export function deleteExpired (
  entries: Map<string, Millis | { readonly until: Millis }>,
  now: Millis
): void {
  for (const [key, entry] of entries) {
    if ((typeof entry === 'number' ? entry : entry.until) > now) {
      break
    }

    entries.delete(key)
  }
}
