import { columns } from '../sql/rows.js'

// The rows of these two tables revoke a session `s`.
const userNotBefores = `
  SELECT at, reason FROM token_auth_user_not_befores AS n
  WHERE n.realm = s.realm AND n.user_id = s.user_id
    AND n.not_before >= s.authenticated_at AND n.kept_id <> s.id`
const realmNotBefores = `
  SELECT at, reason FROM token_auth_realm_not_befores AS n
  WHERE n.realm = s.realm AND n.not_before >= s.authenticated_at`
const notBefores = `${userNotBefores} UNION ALL ${realmNotBefores}`

// The first not-before counts.
const sessionsWithNotBefore = `
  SELECT s.*,
    (SELECT at FROM (${notBefores}) ORDER BY at LIMIT 1) AS not_before_at,
    (SELECT reason FROM (${notBefores}) ORDER BY at LIMIT 1) AS not_before_reason
  FROM token_auth_sessions AS s`

// The sessions that a not-before `n` of a user revokes.
const revokedSessions = `
  FROM token_auth_sessions AS s
  WHERE s.realm = n.realm AND s.user_id = n.user_id
    AND s.authenticated_at <= n.not_before AND s.id <> n.kept_id`

const oldSessions = `
  SELECT id FROM token_auth_sessions WHERE sweep_after < ? ORDER BY sweep_after LIMIT ?`
const oldNotBefores = `
  SELECT realm, user_id, not_before, kept_id FROM token_auth_user_not_befores
  WHERE sweep_after < ? ORDER BY sweep_after LIMIT ?`

/** Statements of `SqliteStore`. */
export const statements = {
  exists: 'SELECT 1 FROM token_auth_sessions WHERE id = ?',
  findLatestNotBefore: `
    SELECT max(not_before) AS not_before FROM (
      SELECT not_before FROM token_auth_user_not_befores
      WHERE realm = ? AND user_id = ? AND not_before >= ? AND kept_id <> ?
      UNION ALL
      SELECT not_before FROM token_auth_realm_not_befores WHERE realm = ? AND not_before >= ?
    )`,
  create: `
    INSERT INTO token_auth_sessions (${columns.join(', ')})
    VALUES (${columns.map(() => '?').join(', ')})`,
  // Has no RETURNING, because drivers take longer to read a row than to write it.
  rotate: `
    UPDATE token_auth_sessions AS s
    SET generation = ?, confirmed_generation = max(confirmed_generation, ?), rotated_at = ?,
      rotated_by_address = ?, rotated_by_user_agent = ?, grace_from = max(grace_from, ?),
      last_used_at = max(last_used_at, ?), expires_at = min(?, ends_at)
    WHERE id = ? AND realm = ? AND secret_hash = ? AND generation = ? AND revoked_at IS NULL
      AND (? = 1 OR (
        expires_at > ? AND (generation = 0 OR grace_from <= ? OR grace_from > ?)
      ))
      AND NOT EXISTS (${notBefores})`,
  find: `${sessionsWithNotBefore} WHERE s.id = ? AND s.realm = ?`,
  findAll: `${sessionsWithNotBefore} WHERE s.id IN (SELECT value FROM json_each(?))`,
  // IDs start with the creation. In its order, the sessions that the realm revoked are one range,
  // and the index excludes them.
  list: `
    SELECT * FROM token_auth_sessions AS s
    WHERE realm = ? AND user_id = ? AND revoked_at IS NULL AND expires_at > ?
      AND created_at > coalesce(
        (SELECT not_before FROM token_auth_realm_not_befores WHERE realm = ?), -1
      )
      AND NOT EXISTS (${notBefores})
    ORDER BY created_at DESC, id DESC LIMIT ?`,
  revokeSession: `
    UPDATE token_auth_sessions AS s SET revoked_at = ?, revoked_for = ?
    WHERE id = ? AND realm = ? AND secret_hash = coalesce(?, secret_hash) AND revoked_at IS NULL
      AND NOT EXISTS (${notBefores})
    RETURNING user_id`,
  findLatestCreation: `
    SELECT max(created_at) AS created_at FROM token_auth_sessions AS s
    WHERE realm = ? AND user_id = ? AND revoked_at IS NULL AND NOT EXISTS (${notBefores})`,
  addUserNotBefore: `
    INSERT INTO token_auth_user_not_befores AS n
      (realm, user_id, not_before, kept_id, at, reason, sweep_after)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET at = excluded.at, reason = excluded.reason WHERE excluded.at < n.at`,
  // Writes the details of the first not-before: a crash may have left sessions of an earlier call.
  markSessions: `
    UPDATE token_auth_sessions AS s
    SET (revoked_at, revoked_for) = (${userNotBefores} ORDER BY at LIMIT 1)
    WHERE id IN (
      SELECT id FROM token_auth_sessions AS s
      WHERE realm = ? AND user_id = ? AND revoked_at IS NULL AND authenticated_at <= ? AND id <> ?
        AND NOT EXISTS (${realmNotBefores})
      ORDER BY created_at, id LIMIT ?
    )`,
  setRealmNotBefore: `
    INSERT INTO token_auth_realm_not_befores AS n (realm, not_before, at, reason)
    VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE
    SET not_before = excluded.not_before, at = excluded.at, reason = excluded.reason
    WHERE excluded.not_before > n.not_before`,
  touch: `
    UPDATE token_auth_sessions AS s
    SET last_used_at = max(s.last_used_at, t.last_used_at),
      confirmed_generation =
        max(s.confirmed_generation, min(t.confirmed_generation, s.generation)),
      grace_from = iif(s.generation = t.generation, max(s.grace_from, t.grace_from), s.grace_from),
      replay_generation =
        iif(s.generation = t.generation,
          max(s.replay_generation, t.replay_generation), s.replay_generation),
      replay_length = iif(
        s.generation = t.generation AND t.replay_generation > s.replay_generation,
        t.replay_length, s.replay_length)
    FROM (
      SELECT ? AS realm, ? AS id, ? AS generation, ? AS last_used_at, ? AS confirmed_generation,
        ? AS grace_from, ? AS replay_generation, ? AS replay_length
    ) AS t
    WHERE s.id = t.id AND s.realm = t.realm`,
  sweepSessions: `
    DELETE FROM token_auth_sessions WHERE expires_at < ? AND id IN (${oldSessions})`,
  postponeSessions: `
    UPDATE token_auth_sessions SET sweep_after = expires_at
    WHERE expires_at >= ? AND id IN (${oldSessions})`,
  sweepNotBefores: `
    DELETE FROM token_auth_user_not_befores AS n
    WHERE not_before < ? AND (realm, user_id, not_before, kept_id) IN (${oldNotBefores})
      AND NOT EXISTS (SELECT 1 ${revokedSessions})`,
  postponeNotBefores: `
    UPDATE token_auth_user_not_befores AS n
    SET sweep_after = max(?, (SELECT max(expires_at) ${revokedSessions}))
    WHERE (realm, user_id, not_before, kept_id) IN (${oldNotBefores})
      AND EXISTS (SELECT 1 ${revokedSessions})`
} as const
