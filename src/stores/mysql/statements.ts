import { columns } from '../sql/rows.js'
import type { SqlValue } from '../sql/rows.js'

// A batch is one parameter: JSON with IDs and strings in hex, so that no character set changes
// them.
function batchTable (...fields: string[]): string {
  const paths = ['id VARCHAR(510)', ...fields].map((field, i) => `${field} PATH '$[${i}]'`)
  return `JSON_TABLE(?, '$[*]' COLUMNS (${paths.join(', ')})) AS batch STRAIGHT_JOIN`
}

const allColumns = columns.join(', ')
const placeholders = columns.map(() => '?').join(', ')
const touchedRows = batchTable('used_at BIGINT', 'confirmed BIGINT')
const rotatedRows = batchTable(
  'gen BIGINT',
  'at BIGINT',
  'address LONGTEXT',
  'user_agent LONGTEXT',
  'used_at BIGINT',
  'end_at BIGINT'
)

/**
 * Statements of `MysqlStore`, for MariaDB 10.6 and MySQL 8.
 *
 * LIMIT gets its number as a string: most driver versions send numbers as DOUBLE, which MySQL
 * rejects there.
 */
export const statements = {
  create: `INSERT INTO token_auth_sessions (${allColumns}) VALUES (${placeholders})`,
  notBefore: 'SELECT 1 FROM token_auth_revoked_users WHERE user_id = ? AND revoked_at >= ?',
  rotate: `
    UPDATE token_auth_sessions
    SET generation = generation + 1, rotated_at = ?,
      rotated_by_address = ?, rotated_by_user_agent = ?,
      last_used_at = GREATEST(last_used_at, ?), expires_at = LEAST(ends_at, ?)
    WHERE id = ? AND secret_hash = ? AND generation = ? AND revoked_at IS NULL AND expires_at > ?
      AND (generation = 0 OR rotated_at <= ? OR rotated_at > ?)`,
  takeForRotation: `
    SELECT ${columns.map(column => `kept.${column}`).join(', ')}
    FROM ${batchTable()} token_auth_sessions AS kept ON kept.id = UNHEX(batch.id) FOR UPDATE`,
  rotateTaken: `
    UPDATE ${rotatedRows}
      token_auth_sessions AS kept ON kept.id = UNHEX(batch.id)
    SET kept.generation = batch.gen, kept.rotated_at = batch.at,
      kept.rotated_by_address = CONVERT(UNHEX(batch.address) USING utf8mb4),
      kept.rotated_by_user_agent = CONVERT(UNHEX(batch.user_agent) USING utf8mb4),
      kept.last_used_at = batch.used_at, kept.expires_at = batch.end_at`,
  find: `SELECT ${allColumns} FROM token_auth_sessions WHERE id = ?`,
  list: `
    SELECT ${allColumns} FROM token_auth_sessions
    WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ?
    ORDER BY created_at DESC, id LIMIT ?`,
  revokeOne: `
    UPDATE token_auth_sessions SET revoked_at = ?, revoked_for = ?
    WHERE id = ? AND revoked_at IS NULL`,
  // Forces this index: at READ COMMITTED, a scan of the primary key skips uncommitted rows instead
  // of waiting for them, and a login would outlive the revocation. The index must see `user_id`
  // alone: for a range of IDs, MySQL also locks the first session of the next user.
  revokeUser: `
    UPDATE token_auth_sessions FORCE INDEX (token_auth_sessions_by_user)
    SET revoked_at = ?, revoked_for = ?
    WHERE user_id = ? AND NOT (id <=> ?) AND revoked_at IS NULL`,
  // The time is given twice, because the engines disagree on how to name the new row.
  setNotBefore: `
    INSERT INTO token_auth_revoked_users (user_id, revoked_at) VALUES (?, ?)
    ON DUPLICATE KEY UPDATE revoked_at = GREATEST(revoked_at, ?)`,
  touch: `
    UPDATE ${touchedRows} token_auth_sessions AS kept ON kept.id = UNHEX(batch.id)
    SET kept.last_used_at = GREATEST(kept.last_used_at, batch.used_at),
      kept.confirmed_generation = GREATEST(
        kept.confirmed_generation, LEAST(batch.confirmed, kept.generation))`,
  // Two index ranges: the engines read `(revoked_at, id) > (?, ?)` from the start of the index.
  revocations: `
    SELECT revoked_at, id FROM token_auth_sessions
    WHERE (revoked_at = ? AND id > ?) OR revoked_at > ?
    ORDER BY revoked_at, id LIMIT ?`,
  takeSessions: `
    SELECT id, expires_at FROM token_auth_sessions WHERE sweep_after < ?
    ORDER BY sweep_after LIMIT ? FOR UPDATE SKIP LOCKED`,
  deleteSessions:
    `DELETE kept FROM ${batchTable()} token_auth_sessions AS kept ON kept.id = UNHEX(batch.id)`,
  postponeSweep: `
    UPDATE ${batchTable()} token_auth_sessions AS kept ON kept.id = UNHEX(batch.id)
    SET kept.sweep_after = kept.expires_at`,
  takeUsers: `
    SELECT user_id FROM token_auth_revoked_users WHERE revoked_at < ?
    LIMIT ? FOR UPDATE SKIP LOCKED`,
  deleteUsers: `
    DELETE kept FROM ${batchTable()} token_auth_revoked_users AS kept
    ON kept.user_id = UNHEX(batch.id)`
} as const

/** Encodes rows for a batch. Sorts them, so that transactions lock rows in the same order. */
export function toBatch (
  rows: ReadonlyArray<readonly [id: unknown, ...values: SqlValue[]]>
): string {
  const encoded = rows.map(([id, ...values]) => [toHex(id as string | Buffer), ...values] as const)
  return JSON.stringify(encoded.sort(([a], [b]) => a < b ? -1 : 1))
}

/** Encodes a string in hex. */
export function toHex (text: string | Buffer): string {
  return Buffer.from(text as string).toString('hex')
}
