import { columns } from '../sql/rows.js'

/** Statements of `SqliteStore`. */
export const statements = {
  create: `
    INSERT INTO token_auth_sessions (${columns.join(', ')})
    SELECT ${columns.map(() => '?').join(', ')}
    WHERE NOT EXISTS (
      SELECT 1 FROM token_auth_revoked_users WHERE user_id = ? AND revoked_at >= ?
    )
    ON CONFLICT (id) DO NOTHING`,
  // Without RETURNING, because drivers take longer to read a row than to write it.
  rotate: `
    UPDATE token_auth_sessions
    SET generation = generation + 1, rotated_at = ?,
      rotated_by_address = ?, rotated_by_user_agent = ?,
      last_used_at = max(last_used_at, ?), expires_at = min(?, ends_at)
    WHERE id = ? AND secret_hash = ? AND generation = ? AND revoked_at IS NULL AND expires_at > ?
      AND (generation = 0 OR rotated_at <= ? OR rotated_at > ?)`,
  find: 'SELECT * FROM token_auth_sessions WHERE id = ?',
  findAll: 'SELECT * FROM token_auth_sessions WHERE id IN (SELECT value FROM json_each(?))',
  list: `
    SELECT * FROM token_auth_sessions WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ?
    ORDER BY created_at DESC, id LIMIT ?`,
  revokeOne: `
    UPDATE token_auth_sessions SET revoked_at = ?, revoked_for = ?
    WHERE id = ? AND revoked_at IS NULL`,
  revokeUser: `
    UPDATE token_auth_sessions SET revoked_at = ?, revoked_for = ?
    WHERE user_id = ? AND id IS NOT ? AND revoked_at IS NULL`,
  setNotBefore: `
    INSERT INTO token_auth_revoked_users (user_id, revoked_at) VALUES (?, ?)
    ON CONFLICT (user_id) DO UPDATE SET revoked_at = max(revoked_at, excluded.revoked_at)`,
  touch: `
    UPDATE token_auth_sessions
    SET last_used_at = max(last_used_at, ?),
      confirmed_generation = max(confirmed_generation, min(?, generation))
    WHERE id = ?`,
  revocations: `
    SELECT revoked_at, id FROM token_auth_sessions
    WHERE revoked_at IS NOT NULL AND (revoked_at, id) > (?, ?)
    ORDER BY revoked_at, id LIMIT ?`,
  sweepSessions: `
    DELETE FROM token_auth_sessions WHERE expires_at < ?
    AND id IN (
      SELECT id FROM token_auth_sessions WHERE sweep_after < ? ORDER BY sweep_after LIMIT ?)`,
  postponeSweep: `
    UPDATE token_auth_sessions SET sweep_after = expires_at WHERE expires_at >= ?
    AND id IN (
      SELECT id FROM token_auth_sessions WHERE sweep_after < ? ORDER BY sweep_after LIMIT ?)`,
  sweepUsers: `
    DELETE FROM token_auth_revoked_users
    WHERE user_id IN (SELECT user_id FROM token_auth_revoked_users WHERE revoked_at < ? LIMIT ?)`
} as const
