import { columns } from '../sql/rows.js'

const allColumns = columns.join(', ')
const placeholders = columns.map(() => '?').join(', ')

// Not-befores of its user that revoke the session `s`, the earliest first.
const userNotBefores = `
  FROM token_auth_not_befores AS n
  WHERE n.realm = s.realm AND n.user_id = s.user_id AND n.not_before >= s.authenticated_at
    AND n.kept <> s.id`
const earliestFirst = 'ORDER BY n.at LIMIT 1'

const sessionColumns = `
  ${columns.map(column => `s.${column}`).join(', ')},
  (SELECT CONCAT(n.at, ' ', n.reason) ${userNotBefores} ${earliestFirst}) AS user_not_before,
  (SELECT CONCAT(r.at, ' ', r.reason) FROM token_auth_realms AS r
    WHERE r.realm = s.realm AND r.not_before >= s.authenticated_at) AS realm_not_before`

// Takes the realm as a parameter and not from the row, so that the server evaluates it once.
const realmNotBefore =
  'COALESCE((SELECT r.not_before FROM token_auth_realms AS r WHERE r.realm = ?), -1)'

// A batch is one parameter: JSON with IDs and strings in hex.
function batchTable (...fields: string[]): string {
  const paths = ['id VARCHAR(510)', ...fields].map((field, i) => `${field} PATH '$[${i}]'`)
  return `JSON_TABLE(?, '$[*]' COLUMNS (${paths.join(', ')})) AS batch`
}

// Forces this index. At READ COMMITTED, a scan of the primary key skips uncommitted rows instead
// of waiting for them. A session of a login that has not committed would then stay unmarked.
const markUser = `
  UPDATE token_auth_sessions AS s FORCE INDEX (token_auth_sessions_by_user)
  SET s.revoked_for = (SELECT n.reason ${userNotBefores} ${earliestFirst}),
    s.revoked_at = (SELECT n.at ${userNotBefores} ${earliestFirst})
  WHERE s.realm = ? AND s.user_id = ? AND s.authenticated_at <= ? AND s.id <> ?
    AND s.revoked_at IS NULL AND s.authenticated_at > ${realmNotBefore}`

/**
 * Statements of sessions, for MariaDB 10.6 and MySQL 8.
 *
 * LIMIT gets its number as a string: most driver versions send numbers as DOUBLE, which MySQL
 * rejects there. Every UPDATE and DELETE has a key in its WHERE, or servers with
 * `sql_safe_updates` reject it.
 */
export const statements = {
  create: `INSERT INTO token_auth_sessions (${allColumns}) VALUES (${placeholders})`,
  findLatestNotBefore: `
    SELECT MAX(not_before) AS not_before FROM (
      SELECT n.not_before FROM token_auth_not_befores AS n
      WHERE n.realm = ? AND n.user_id = ? AND n.not_before >= ? AND n.kept <> ?
      UNION ALL
      SELECT r.not_before FROM token_auth_realms AS r WHERE r.realm = ? AND r.not_before >= ?
    ) AS not_befores`,
  find: `SELECT ${sessionColumns} FROM token_auth_sessions AS s WHERE s.id = ? AND s.realm = ?`,
  // The columns that a touch may change have to be those that the attempt was decided by.
  rotate: `
    UPDATE token_auth_sessions
    SET generation = ?, confirmed_generation = ?, rotated_at = ?,
      rotated_by_address = ?, rotated_by_user_agent = ?,
      grace_from = ?, last_used_at = ?, expires_at = ?
    WHERE id = ? AND revoked_at IS NULL AND generation = ? AND confirmed_generation = ?
      AND grace_from = ? AND last_used_at = ? AND replay_generation = ?`,
  takeForRotation: `
    SELECT ${sessionColumns}
    FROM ${batchTable()} STRAIGHT_JOIN token_auth_sessions AS s ON s.id = UNHEX(batch.id)
    FOR UPDATE`,
  // Inserts nothing, because the rows exist and are locked. `sql_safe_updates` rejects an UPDATE
  // that is joined with a batch.
  rotateTaken: `
    INSERT INTO token_auth_sessions (
      id, realm, user_id, secret_hash, generation, confirmed_generation, created_at,
      authenticated_at, rotated_at, grace_from, last_used_at, expires_at, ends_at,
      replay_generation, replay_length, sweep_after)
    SELECT UNHEX(batch.id), '', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM ${
    batchTable(
      'gen BIGINT',
      'confirmed BIGINT',
      'at BIGINT',
      'address LONGTEXT',
      'user_agent LONGTEXT',
      'grace BIGINT',
      'used_at BIGINT',
      'end_at BIGINT'
    )
  }
    ON DUPLICATE KEY UPDATE generation = batch.gen, confirmed_generation = batch.confirmed,
      rotated_at = batch.at,
      rotated_by_address = CONVERT(UNHEX(batch.address) USING utf8mb4),
      rotated_by_user_agent = CONVERT(UNHEX(batch.user_agent) USING utf8mb4),
      grace_from = batch.grace, last_used_at = batch.used_at, expires_at = batch.end_at`,
  // IDs start with the creation. In its order, the sessions that the realm revoked are one range,
  // and the index excludes them.
  list: `
    SELECT ${sessionColumns}
    FROM token_auth_sessions AS s FORCE INDEX (token_auth_sessions_by_creation)
    WHERE s.realm = ? AND s.user_id = ? AND s.revoked_at IS NULL AND s.expires_at > ?
      AND s.created_at > ${realmNotBefore} AND s.authenticated_at > ${realmNotBefore}
      AND NOT EXISTS (SELECT 1 ${userNotBefores})
    ORDER BY s.created_at DESC, s.id DESC LIMIT ?`,
  revokeOne: `
    UPDATE token_auth_sessions SET revoked_at = ?, revoked_for = ?
    WHERE id = ? AND revoked_at IS NULL`,
  // Returns the moment as the insert ID. The values are given twice, because the engines disagree
  // on how to name the new row.
  setUserNotBefore: `
    INSERT INTO token_auth_not_befores
      (realm, user_id, not_before, kept, at, reason, sweep_after)
    SELECT ?, ?, LAST_INSERT_ID(latest.moment), ?, ?, ?, latest.moment
    FROM (
      SELECT GREATEST(CAST(? AS SIGNED), COALESCE(MAX(s.created_at), 0)) AS moment
      FROM token_auth_sessions AS s FORCE INDEX (token_auth_sessions_by_user)
      WHERE s.realm = ? AND s.user_id = ? AND s.revoked_at IS NULL
        AND s.authenticated_at > ${realmNotBefore}
    ) AS latest
    ON DUPLICATE KEY UPDATE reason = IF(? < token_auth_not_befores.at, ?, reason),
      at = LEAST(token_auth_not_befores.at, ?)`,
  // No range of IDs here: MySQL also locks the row after a range, which may be another user's.
  findLate: `
    SELECT id FROM token_auth_sessions FORCE INDEX (token_auth_sessions_by_user)
    WHERE realm = ? AND user_id = ? AND authenticated_at <= ? AND created_at > ? AND id <> ?`,
  markUser: `${markUser} LIMIT ?`,
  markUserRange: `${markUser} AND s.id > ? AND s.id <= ?`,
  findUserRange: `
    SELECT id FROM token_auth_sessions FORCE INDEX (token_auth_sessions_by_user)
    WHERE realm = ? AND user_id = ? AND id > ? ORDER BY id LIMIT 1 OFFSET ?`,
  addRealm: `
    INSERT INTO token_auth_realms (realm, not_before, at, reason) VALUES (?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE realm = token_auth_realms.realm`,
  setRealmNotBefore: `
    UPDATE token_auth_realms SET not_before = ?, at = ?, reason = ?
    WHERE realm = ? AND not_before < ?`
} as const
