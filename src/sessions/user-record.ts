import { describeType } from '../lib/describe-type.js'
import { InvalidUserDataError } from '../stores/guard.js'
import type { AuthUser } from './user-callbacks.js'
import { describeUserIdError, formatUserId } from './user-id.js'

// Names of columns and members. Other keys may contain a value.
const MEMBER_NAME = /^[A-Za-z_][\w-]{0,63}$/
const MAX_NAMES = 50

/** User as the app returned it, with the members that the plugin reads. */
export interface FoundUser {
  readonly id: string
  readonly passwordHash: string | null
  /** Whether the record has no member `passwordHash`, not even with the value `null`. */
  readonly isHashMissing: boolean
  readonly isDisabled: boolean
  readonly username: string | null
  readonly email: string | null
  /** The record of the app, for its callbacks. */
  readonly record: AuthUser
}

/**
 * Reads a result of a look-up. Reads each member once, because it may be a getter.
 *
 * @param callback - Name of the callback that returned the record, for errors.
 * @throws InvalidUserDataError if the record is not a user.
 */
export function readUser (
  callback: string,
  record: AuthUser | null | undefined
): FoundUser | null {
  if (record == null) {
    return null
  }

  assertRecord(callback, record)
  const { id: given, passwordHash, disabled, username, email } = record

  if (given == null) {
    throw new InvalidUserDataError(`the user from "${callback}" has no "id"${describe(record)}`)
  }

  const id = formatUserId(given)

  if (id === null) {
    throw new InvalidUserDataError(
      `"id" of the user from "${callback}" must be ${describeUserIdError(given)}`
    )
  }

  return {
    id,
    passwordHash: readString(callback, 'passwordHash', passwordHash),
    isHashMissing: passwordHash === undefined,
    // Some databases return 1 for true.
    isDisabled: Boolean(disabled),
    username: readString(callback, 'username', username),
    email: readString(callback, 'email', email),
    record
  }
}

/** Returns the names of the members of a record, for logs. Omits those that may be values. */
export function getMemberNames (record: object): string[] {
  return Object.keys(record).filter(name => MEMBER_NAME.test(name)).slice(0, MAX_NAMES)
}

/** Whether a key is the name of a member rather than a value. */
export function isMemberName (key: string): boolean {
  return MEMBER_NAME.test(key)
}

function assertRecord (callback: string, record: unknown): void {
  const expected = `"${callback}" must return a user or null, not`

  if (Array.isArray(record)) {
    throw new InvalidUserDataError(
      `${expected} an array; return its first element, such as rows[0] ?? null`
    )
  }

  if (typeof record !== 'object' || record === null) {
    throw new InvalidUserDataError(`${expected} ${describeType(record)}`)
  }

  const { id, rows } = record as { readonly id?: unknown, readonly rows?: unknown }

  if (id === undefined && Array.isArray(rows)) {
    throw new InvalidUserDataError(
      `${expected} a query result with "rows"; return result.rows[0] ?? null`
    )
  }
}

function describe (record: object): string {
  const names = getMemberNames(record)
  const members = names.length === 0
    ? `; it is ${describeType(record)}`
    : `; its members are ${names.join(', ')}`
  return '_id' in record ? `${members}; add id: String(user._id)` : members
}

function readString (callback: string, member: string, value: unknown): string | null {
  if (value == null || typeof value === 'string') {
    return value ?? null
  }

  throw new InvalidUserDataError(
    `"${member}" of the user from "${callback}" must be a string or null, ` +
      `not ${describeType(value)}`
  )
}
