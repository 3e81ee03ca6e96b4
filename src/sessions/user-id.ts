import { describeType } from '../lib/describe-type.js'
import { createTypeError } from '../lib/type-error.js'

/**
 * ID of a user in the app: a non-empty string, a safe integer or a bigint.
 *
 * The plugin works with `String(id)`: in tokens, events, stores and `request.auth.userId`. So `7`,
 * `7n` and `'7'` are the same user.
 */
export type UserId = string | number | bigint

const ID_FORM = 'a non-empty string, a safe integer or a bigint'

/** Converts the ID of a user to the string in tokens. Returns `null` for any other value. */
export function formatUserId (id: unknown): string | null {
  const isId = typeof id === 'string' || typeof id === 'bigint' || Number.isSafeInteger(id)
  return isId ? String(id) || null : null
}

/** Returns the end of an error that begins with `"..." must be`, for a value that is not an ID. */
export function describeUserIdError (id: unknown): string {
  return `${ID_FORM}, not ${describeId(id)}${getFix(id)}`
}

/**
 * Converts an ID that the app passes to a method of `app.tokenAuth`.
 *
 * @throws TypeError if it is no ID.
 */
export function toUserId (id: UserId, method: string, member = 'userId'): string {
  const userId = formatUserId(id)

  if (userId === null) {
    throw createTypeError(`"${member}" of ${method} must be ${describeUserIdError(id)}`)
  }

  return userId
}

function describeId (id: unknown): string {
  if (id === '') {
    return 'an empty string'
  }

  return typeof id === 'number' ? String(id) : describeType(id)
}

function getFix (id: unknown): string {
  if (typeof id === 'number') {
    return '; read it as a string or a bigint'
  }

  if (id instanceof Uint8Array) {
    return '; convert it, for example with user.id.toString("hex")'
  }

  return typeof id === 'object' && id !== null
    ? '; convert it, for example with String(user._id)'
    : ''
}
