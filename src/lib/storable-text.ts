/**
 * Returns a hint of a client, such as a user agent, in a form that every database can store.
 *
 * Cuts it to `maxLength` UTF-16 units. Replaces NUL, which PostgreSQL rejects, and lone surrogates,
 * which UTF-8 does not have, by U+FFFD.
 */
export function toStorableText (text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed().replaceAll('\0', '\uFFFD')
}
