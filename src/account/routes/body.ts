import { createBadRequestError } from '../../errors.js'

/**
 * Reads a required string of a body.
 *
 * A hook of the app can remove the schema of the route. The store and the callbacks of the app then
 * still get strings only.
 *
 * @throws TokenAuthError `AUTH_REQUEST_INVALID`
 */
export function readString (body: object | null | undefined, name: string): string {
  const value = readOptionalString(body, name)

  if (value === null) {
    throw createBadRequestError(`${name} must be a non-empty string`)
  }

  return value
}

/**
 * Reads an optional string of a body. An empty one counts as missing.
 *
 * @throws TokenAuthError `AUTH_REQUEST_INVALID` if it is not a string.
 */
export function readOptionalString (body: object | null | undefined, name: string): string | null {
  const value = (body as Readonly<Record<string, unknown>> | null | undefined)?.[name] ?? null

  if (value !== null && typeof value !== 'string') {
    throw createBadRequestError(`${name} must be a string`)
  }

  return value || null
}
