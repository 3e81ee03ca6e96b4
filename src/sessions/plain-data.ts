import { describeType } from '../lib/describe-type.js'
import { toSafeError } from '../lib/safe-error.js'
import { InvalidUserDataError } from '../stores/guard.js'
import { isMemberName } from './user-record.js'
import type { FoundUser } from './user-record.js'

// Forms of argon2, bcrypt, scrypt, PBKDF2 and crypt.
const HASH = /^\$(?:argon2[a-z]{1,2}|2[abxy]?|scrypt|pbkdf2[\w-]*|[1567y])\$\S{20,}$/
const HASH_START = /\$(?:argon2|2[abxy]?\$|scrypt\$|pbkdf2|[1567y]\$)/

/**
 * Length of the shortest hash, that of DES crypt. Shorter values mark users without a password, for
 * example `!`, and other strings contain them by chance.
 */
const MIN_HASH_LENGTH = 13

type Path = ReadonlyArray<string | number>

/**
 * Converts a result of `users.claims` or `users.present` to plain data.
 *
 * @throws InvalidUserDataError if JSON cannot represent it as an object, or it contains a password
 * hash of the user.
 */
export function toPlainObject (callback: string, user: FoundUser, result: object): object {
  const json = toJson(callback, result)
  const plain: unknown = json === undefined ? undefined : JSON.parse(json)

  if (json === undefined || typeof plain !== 'object' || plain === null || Array.isArray(plain)) {
    throw createError(callback, `, not ${describeType(result)}`)
  }

  for (const hash of getHashes(callback, user, json)) {
    if (json.includes(JSON.stringify(hash).slice(1, -1))) {
      const path = findString(plain, hash, []) ?? []
      throw new InvalidUserDataError(
        `"${callback}" must not return the password hash; remove "${formatPath(path)}"`
      )
    }
  }

  return plain
}

function toJson (callback: string, result: object): string | undefined {
  try {
    return JSON.stringify(result)
  } catch (error) {
    // The message of the error may contain values of the record.
    throw createError(callback, describeInvalidMember(result), { cause: toSafeError(error, true) })
  }
}

function createError (
  callback: string,
  details: string,
  options?: ErrorOptions
): InvalidUserDataError {
  return new InvalidUserDataError(
    `"${callback}" must return an object that JSON can represent${details}`,
    options
  )
}

// The record may have the hash under another name, such as `password_hash`. It is searched only if
// the result has something that looks like a hash.
function getHashes (
  callback: string,
  { passwordHash, record }: FoundUser,
  json: string
): ReadonlySet<string> {
  const hashes = new Set([passwordHash ?? ''].filter(hash => hash.length >= MIN_HASH_LENGTH))

  if (HASH_START.test(json)) {
    const collect = (value: unknown): void => {
      if (typeof value === 'string' && HASH.test(value)) {
        hashes.add(value)
      }
    }

    collectFromJson(callback, record, collect)
    // Also searches the members that `toJSON` hides, such as `dataValues` of an entity.
    collectFromJson(callback, { ...record, toJSON: undefined }, collect)
  }

  return hashes
}

function collectFromJson (
  callback: string,
  record: object,
  collect: (value: unknown) => void
): void {
  try {
    JSON.stringify(record, (_key, value: unknown) => {
      collect(value)
      return typeof value === 'bigint' ? null : value
    })
  } catch (error) {
    throw new InvalidUserDataError(
      `"${callback}" returned a string that looks like a password hash, and the plugin cannot ` +
        'compare it with the user, because JSON cannot represent the user',
      { cause: toSafeError(error, true) }
    )
  }
}

function findString (value: unknown, text: string, path: Path): Path | null {
  if (typeof value === 'string') {
    return value.includes(text) ? path : null
  }

  if (typeof value !== 'object' || value === null) {
    return null
  }

  for (const [key, member] of Object.entries(value)) {
    const memberPath = [...path, Array.isArray(value) ? Number(key) : key]
    const found = key.includes(text) ? memberPath : findString(member, text, memberPath)

    if (found !== null) {
      return found
    }
  }

  return null
}

function describeInvalidMember (result: object): string {
  try {
    const found = findInvalid(result, [], [])
    return found === null ? '' : `; "${formatPath(found.path)}" is ${found.type}`
  } catch {
    return ''
  }
}

// JSON has no bigints and no cycles.
function findInvalid (
  value: unknown,
  path: Path,
  parents: readonly object[]
): { readonly path: Path, readonly type: string } | null {
  if (typeof value === 'bigint') {
    return { path, type: 'a bigint; convert it with String()' }
  }

  if (typeof value !== 'object' || value === null) {
    return null
  }

  if (parents.includes(value)) {
    return { path, type: 'a circular reference' }
  }

  for (const [key, member] of Object.entries(value)) {
    const memberPath = [...path, Array.isArray(value) ? Number(key) : key]
    const found = findInvalid(member, memberPath, [...parents, value])

    if (found !== null) {
      return found
    }
  }

  return null
}

// A key may be a value. Only those that look like the name of a member are shown.
function formatPath (path: Path): string {
  return path
    .map(key => typeof key === 'number' ? `[${key}]` : `.${isMemberName(key) ? key : '*'}`)
    .join('')
    .replace(/^\./, '')
}
