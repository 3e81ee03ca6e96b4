import { columns } from '../sql/rows.js'

/** Channel of NOTIFY. A notification says that something was revoked, but not what. */
export const CHANNEL = 'token_auth_revoked'

const allColumns = columns.join(', ')
const qualify = (table: string): string => columns.map(column => `${table}.${column}`).join(', ')

const attempts = `
  unnest(
    $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[],
    $6::bigint[], $7::bigint[], $8::text[], $9::text[]
  )
  AS a (
    id, secret, at_generation, now, until,
    rotated_before, rotated_after, by_address, by_user_agent
  )`

const canRotate = `
  s.secret_hash = a.secret COLLATE "C" AND s.generation = a.at_generation
  AND s.revoked_at IS NULL AND s.expires_at > a.now
  AND (s.generation = 0 OR s.rotated_at <= a.rotated_before OR s.rotated_at > a.rotated_after)`

const assignments = (attempt: string): string => `
  generation = s.generation + 1, rotated_at = ${attempt}.now,
  rotated_by_address = ${attempt}.by_address, rotated_by_user_agent = ${attempt}.by_user_agent,
  last_used_at = greatest(s.last_used_at, ${attempt}.now),
  expires_at = least(${attempt}.until, s.ends_at)`

/** Statements of `PostgresStore`. */
export const statements = {
  create: `
    INSERT INTO token_auth_sessions (${allColumns})
    SELECT ${columns.map((_, i) => `$${i + 1}`).join(', ')}
    WHERE NOT EXISTS (
      SELECT 1 FROM token_auth_revoked_users WHERE user_id = $2 AND revoked_at >= $7
    )
    ON CONFLICT (id) DO NOTHING RETURNING id`,
  deleteIfRevoked: `
    DELETE FROM token_auth_sessions s USING token_auth_revoked_users u
    WHERE s.id = $1 AND u.user_id = s.user_id AND u.revoked_at >= s.authenticated_at
    RETURNING s.id`,
  // One column and typed parameters, because parsing and planning take longer than the rotation.
  rotateOne: `
    SELECT token_auth_rotate(
      $1::text, $2::text, $3::bigint, $4::bigint, $5::bigint,
      $6::bigint, $7::bigint, $8::text, $9::text
    ) AS outcome`,
  // The sessions that can rotate. Most can, and these need no lock before the update.
  rotateFitting: `
    UPDATE token_auth_sessions s SET ${assignments('a')}
    FROM ${attempts} WHERE s.id = a.id COLLATE "C" AND ${canRotate}
    RETURNING true AS swapped, ${qualify('s')}`,
  // The other sessions. Locks rows in the order of their IDs and evaluates them after the lock, so
  // that the loser of a race returns the row of the winner and writes nothing.
  rotate: `
    WITH shown AS (
      SELECT s.*, a.now, a.until, a.by_address, a.by_user_agent, ${canRotate} AS fits
      FROM ${attempts} JOIN token_auth_sessions s ON s.id = a.id COLLATE "C"
      ORDER BY s.id FOR UPDATE OF s
    ), swapped AS (
      UPDATE token_auth_sessions s SET ${assignments('shown')}
      FROM shown WHERE s.id = shown.id AND shown.fits RETURNING ${qualify('s')}
    )
    SELECT true AS swapped, ${qualify('swapped')} FROM swapped
    UNION ALL SELECT false, ${qualify('shown')} FROM shown WHERE NOT shown.fits`,
  // Names every column: the result of a prepared statement must not change with the table.
  find: `SELECT ${allColumns} FROM token_auth_sessions WHERE id = $1`,
  list: `
    SELECT ${allColumns} FROM token_auth_sessions
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
    ORDER BY created_at DESC, id LIMIT $3`,
  revokeOne: `
    WITH revoked AS (
      UPDATE token_auth_sessions SET revoked_at = $2, revoked_for = $3
      WHERE id = $1 AND revoked_at IS NULL RETURNING id
    )
    SELECT id, pg_notify('${CHANNEL}', '') FROM revoked`,
  setNotBefore: `
    INSERT INTO token_auth_revoked_users (user_id, revoked_at) VALUES ($1, $2)
    ON CONFLICT (user_id) DO UPDATE
    SET revoked_at = greatest(token_auth_revoked_users.revoked_at, excluded.revoked_at)`,
  revokeUser: `
    WITH mine AS (
      SELECT id FROM token_auth_sessions
      WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $4 ORDER BY id FOR UPDATE
    ), revoked AS (
      UPDATE token_auth_sessions s SET revoked_at = $2, revoked_for = $3
      FROM mine WHERE s.id = mine.id RETURNING s.id
    )
    SELECT id, pg_notify('${CHANNEL}', '') FROM revoked`,
  touch: `
    WITH seen AS (
      SELECT id, max(used_at) AS used_at, max(generation) AS generation
      FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS t (id, used_at, generation) GROUP BY id
    ), locked AS (
      SELECT id FROM token_auth_sessions WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE
    )
    UPDATE token_auth_sessions s
    SET last_used_at = greatest(s.last_used_at, seen.used_at),
      confirmed_generation = greatest(s.confirmed_generation, least(seen.generation, s.generation))
    FROM seen, locked WHERE s.id = locked.id AND s.id = seen.id COLLATE "C"`,
  revocations: `
    SELECT revoked_at, id FROM token_auth_sessions
    WHERE revoked_at IS NOT NULL AND (revoked_at, id) > ($1, $2)
    ORDER BY revoked_at, id LIMIT $3`,
  sweepSessions: `
    WITH due AS (
      SELECT id, expires_at FROM token_auth_sessions
      WHERE sweep_after < $1 ORDER BY sweep_after LIMIT $2 FOR UPDATE SKIP LOCKED
    ), deleted AS (
      DELETE FROM token_auth_sessions s USING due
      WHERE s.id = due.id AND due.expires_at < $1 RETURNING 1
    ), postponed AS (
      UPDATE token_auth_sessions s SET sweep_after = due.expires_at
      FROM due WHERE s.id = due.id AND due.expires_at >= $1 RETURNING 1
    )
    SELECT (SELECT count(*) FROM deleted) AS deleted,
      (SELECT count(*) FROM postponed) AS postponed`,
  sweepUsers: `
    DELETE FROM token_auth_revoked_users WHERE user_id IN (
      SELECT user_id FROM token_auth_revoked_users WHERE revoked_at < $1
      LIMIT $2 FOR UPDATE SKIP LOCKED
    ) RETURNING user_id`
} as const
