import type { Session } from '../../domain/session.js'
import { toSession } from '../sql/rows.js'
import type { Row, SqlValue } from '../sql/rows.js'

const MAX_ID_LENGTH = 255

/**
 * Converts an ID to the bytes of its column.
 *
 * @throws RangeError if it does not fit. Without strict mode, a server truncates long values, and
 * different IDs would become the same.
 */
export function toStoredBytes (id: string): Buffer {
  const bytes = Buffer.from(id)

  if (bytes.length <= MAX_ID_LENGTH && id.isWellFormed()) {
    return bytes
  }

  throw new RangeError(`IDs must be well-formed strings of at most ${MAX_ID_LENGTH} bytes`)
}

/** Converts a row with `user_not_before` and `realm_not_before` to a session. */
export function decodeSession (row: Row): Session {
  const [notBeforeAt, notBeforeReason] = findEarliest(row.user_not_before, row.realm_not_before)

  return toSession({
    ...row,
    id: decodeText(row.id),
    realm: decodeText(row.realm),
    user_id: decodeText(row.user_id),
    secret_hash: decodeText(row.secret_hash),
    not_before_at: notBeforeAt,
    not_before_reason: notBeforeReason
  })
}

/** Converts bytes of a column to a string. */
export function decodeText (bytes: unknown): string {
  return (bytes as Buffer).toString()
}

/** Encodes a string in hex. */
export function toHex (text: string | Buffer): string {
  return Buffer.from(text as string).toString('hex')
}

/**
 * Encodes rows for `JSON_TABLE`. Sorts them, so that transactions lock rows in the same order.
 *
 * The first value of a row is its ID. IDs and strings are in hex, so that no character set changes
 * them.
 */
export function toBatch (
  rows: ReadonlyArray<readonly [id: string | Buffer, ...values: SqlValue[]]>
): string {
  const encoded = rows.map(([id, ...values]) => [toHex(id), ...values] as const)
  return JSON.stringify(encoded.sort(([a], [b]) => a < b ? -1 : 1))
}

/** Writes a value into the text of a statement, as hex or as digits. */
export function toLiteral (value: unknown): string {
  return Buffer.isBuffer(value) ? `x'${toHex(value)}'` : String(Number(value))
}

/**
 * Writes a statement that is joined with a batch, and disables `sql_safe_updates` for it. MariaDB
 * reads the first comment, MySQL the second.
 *
 * The setting rejects such a statement, although it finds each row by a key. A list of keys cannot
 * replace the join: the server may scan a small table, and wait for rows that others have locked.
 */
export function toKeyedStatement (verb: 'UPDATE' | 'DELETE', rest: string): string {
  return `/*M!100600 SET STATEMENT sql_safe_updates = 0 FOR */
    ${verb} /*+ SET_VAR(sql_safe_updates = 0) */ ${rest}`
}

// The statements return each not-before as `<at> <reason>`.
function findEarliest (...notBefores: readonly unknown[]): readonly [at: unknown, reason: unknown] {
  let earliest: readonly [number, string] | null = null

  for (const notBefore of notBefores) {
    if (typeof notBefore === 'string') {
      const [at, reason] = notBefore.split(' ') as [string, string]

      if (earliest === null || Number(at) < earliest[0]) {
        earliest = [Number(at), reason]
      }
    }
  }

  return earliest ?? [null, null]
}
