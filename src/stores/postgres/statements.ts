import { columns } from '../sql/rows.js'
import { hasNoNotBefore, joinNotBefore, latestBefore } from './not-befores.js'
import { CHANNEL } from './functions.js'

const qualify = (table: string): string => columns.map(column => `${table}.${column}`).join(', ')

const attempts = `
  unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[]::boolean[],
    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[]
  )
  AS a (
    realm, id, secret, from_generation, to_generation, heals,
    now, until, grace_before, grace_after, by_address, by_user_agent
  )`

const canRotate = `
  s.secret_hash = a.secret COLLATE "C" AND s.generation = a.from_generation
  AND s.revoked_at IS NULL
  AND (a.heals OR s.expires_at > a.now AND (
    s.generation = 0 OR s.grace_from <= a.grace_before OR s.grace_from > a.grace_after
  ))
  AND ${hasNoNotBefore}`

const assignments = (attempt: string): string => `
  generation = ${attempt}.to_generation,
  confirmed_generation =
    CASE WHEN ${attempt}.heals THEN ${attempt}.to_generation ELSE s.confirmed_generation END,
  rotated_at = ${attempt}.now,
  rotated_by_address = ${attempt}.by_address, rotated_by_user_agent = ${attempt}.by_user_agent,
  grace_from = greatest(s.grace_from, ${attempt}.now),
  last_used_at = greatest(s.last_used_at, ${attempt}.now),
  expires_at = least(${attempt}.until, s.ends_at)`

/** Statements of `PostgresStore`. */
export const statements = {
  create: 'SELECT token_auth_create($1::text, $2::text, $3::text::json) AS refusal',
  deleteIfRevoked: `
    DELETE FROM token_auth_sessions s WHERE s.id = $1 AND NOT (${hasNoNotBefore})
    RETURNING ${latestBefore} AS before`,
  // One column and typed parameters, because parsing and planning take longer than the rotation.
  rotateOne: `
    SELECT token_auth_rotate(
      $1::text, $2::text, $3::text, $4::bigint, $5::bigint, $6::text::boolean,
      $7::bigint, $8::bigint, $9::bigint, $10::bigint, $11::text, $12::text
    ) AS outcome`,
  // The sessions that can rotate. Most can, and these need no lock before the update.
  rotateFitting: `
    UPDATE token_auth_sessions s SET ${assignments('a')}
    FROM ${attempts}
    WHERE s.id = a.id COLLATE "C" AND s.realm = a.realm COLLATE "C" AND ${canRotate}
    RETURNING true AS swapped, ${qualify('s')}`,
  // The other sessions. Locks rows in the order of their IDs and evaluates them after the lock. So
  // the second of two concurrent attempts writes nothing and returns the row of the first one.
  rotate: `
    WITH shown AS (
      SELECT s.*, a.to_generation, a.heals, a.now, a.until, a.by_address, a.by_user_agent,
        n.not_before_at, n.not_before_reason, ${canRotate} AS fits
      FROM ${attempts}
      JOIN token_auth_sessions s ON s.id = a.id COLLATE "C" AND s.realm = a.realm COLLATE "C"
      ${joinNotBefore}
      ORDER BY s.id FOR UPDATE OF s
    ), swapped AS (
      UPDATE token_auth_sessions s SET ${assignments('shown')}
      FROM shown WHERE s.id = shown.id AND shown.fits RETURNING ${qualify('s')}
    )
    SELECT true AS swapped, NULL::bigint AS not_before_at, NULL::text AS not_before_reason,
      ${qualify('swapped')} FROM swapped
    UNION ALL SELECT false, not_before_at, not_before_reason, ${qualify('shown')} FROM shown
    WHERE NOT shown.fits`,
  // Names every column: the result of a prepared statement must not change with the table.
  find: `
    SELECT ${qualify('s')}, n.not_before_at, n.not_before_reason
    FROM token_auth_sessions s ${joinNotBefore}
    WHERE s.id = $1 AND s.realm = $2`,
  // IDs start with the creation. In its order, the sessions that the realm revoked are one range,
  // and the index excludes them. `revoked_at` must be in the order, or all of them are sorted.
  list: `
    SELECT ${qualify('s')} FROM token_auth_sessions s
    WHERE s.realm = $1 AND s.user_id = $2 AND s.revoked_at IS NULL AND s.expires_at > $3
      AND s.created_at > coalesce(
        (SELECT r.before FROM token_auth_realm_not_befores r WHERE r.realm = $1), -1
      )
      AND ${hasNoNotBefore}
    ORDER BY s.revoked_at DESC, s.created_at DESC, s.id DESC LIMIT $4`,
  // $1 realm, $2 ID, $3 secret or null, $4 moment, $5 reason
  revokeOne: `
    WITH revoked AS (
      UPDATE token_auth_sessions s SET revoked_at = $4::bigint, revoked_for = $5::text
      WHERE s.id = $2 AND s.realm = $1 AND s.revoked_at IS NULL
        AND s.secret_hash = coalesce($3::text, s.secret_hash) AND ${hasNoNotBefore}
      RETURNING s.realm, s.id, s.user_id
    ), told AS (
      INSERT INTO token_auth_revocations (entry) SELECT json_build_object(
        'realm', realm, 'at', $4::bigint, 'reason', $5::text, 'sessionId', id, 'userId', user_id
      ) FROM revoked
    )
    SELECT id, pg_notify('${CHANNEL}', '') FROM revoked`,
  revokeUser: 'SELECT token_auth_revoke_user($1::text, $2::text, $3::text, $4::bigint, $5::text)',
  // Marks the next rows that not-befores of the user revoke, each with the earliest of them. So a
  // revocation keeps its time if a crash interrupted it. The realm needs no marks.
  // $1 realm, $2 user, $3 and $4 creation and ID of the last row before, $5 size of a batch
  markRows: `
    WITH mine AS (
      SELECT s.id, n.at, n.reason FROM token_auth_sessions s
      CROSS JOIN LATERAL (
        SELECT u.at, u.reason FROM token_auth_user_not_befores u
        WHERE u.realm = s.realm AND u.user_id = s.user_id AND u.before >= s.authenticated_at
          AND u.keep <> s.id
        ORDER BY u.at LIMIT 1
      ) n
      WHERE s.realm = $1 AND s.user_id = $2 AND (s.created_at, s.id) > ($3::bigint, $4)
        AND s.revoked_at IS NULL
        AND NOT EXISTS (
          SELECT FROM token_auth_realm_not_befores r
          WHERE r.realm = s.realm AND r.before >= s.authenticated_at OFFSET 0
        )
      ORDER BY s.revoked_at, s.created_at, s.id LIMIT $5 FOR UPDATE OF s
    )
    UPDATE token_auth_sessions s SET revoked_at = mine.at, revoked_for = mine.reason
    FROM mine WHERE s.id = mine.id RETURNING s.created_at, s.id`,
  revokeRealm: `
    WITH noted AS (
      INSERT INTO token_auth_realm_not_befores AS n (realm, before, at, reason)
      VALUES ($1, $2, $2, $3)
      ON CONFLICT (realm) DO UPDATE SET before = excluded.before, at = excluded.at,
        reason = excluded.reason WHERE excluded.before > n.before
      RETURNING n.realm, n.before, n.at, n.reason
    ), told AS (
      INSERT INTO token_auth_revocations (entry) SELECT json_build_object(
        'realm', realm, 'at', at, 'reason', reason, 'before', before
      ) FROM noted
    )
    SELECT realm, pg_notify('${CHANNEL}', '') FROM noted`,
  // The generation of a row counts after its lock. The greatest array is the latest run, and in a
  // tie the first one.
  touch: `
    WITH locked AS (
      SELECT id, realm, generation FROM token_auth_sessions WHERE id = ANY ($2::text[])
      ORDER BY id FOR UPDATE
    ), seen AS (
      SELECT locked.id, max(t.used_at) AS used_at, max(t.confirmed) AS confirmed,
        max(t.grace_from) FILTER (WHERE t.generation = locked.generation) AS grace_from,
        max(ARRAY[t.replay_generation, -t.n, t.replay_length])
          FILTER (WHERE t.generation = locked.generation AND t.replay_generation IS NOT NULL) AS run
      FROM unnest(
        $1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[], $8::bigint[]
      ) WITH ORDINALITY AS t (
        realm, id, generation, used_at, confirmed, grace_from, replay_generation, replay_length, n
      )
      JOIN locked ON locked.id = t.id COLLATE "C" AND locked.realm = t.realm COLLATE "C"
      GROUP BY locked.id
    )
    UPDATE token_auth_sessions s
    SET last_used_at = greatest(s.last_used_at, seen.used_at),
      confirmed_generation = greatest(s.confirmed_generation, least(seen.confirmed, s.generation)),
      grace_from = greatest(s.grace_from, seen.grace_from),
      replay_generation = greatest(s.replay_generation, seen.run[1]),
      replay_length =
        CASE WHEN seen.run[1] > s.replay_generation THEN seen.run[3] ELSE s.replay_length END
    FROM seen WHERE s.id = seen.id`,
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
  // A not-before that still revokes a session is postponed to the end of this session. So a sweep
  // does not examine all of them each time.
  sweepNotBefores: `
    WITH due AS (
      SELECT realm, user_id, before, keep FROM token_auth_user_not_befores
      WHERE sweep_after < $1::bigint ORDER BY sweep_after LIMIT $2 FOR UPDATE SKIP LOCKED
    ), judged AS (
      SELECT due.*, (
        SELECT max(s.expires_at) FROM token_auth_sessions s
        WHERE s.realm = due.realm AND s.user_id = due.user_id AND s.authenticated_at <= due.before
      ) AS last_end
      FROM due
    ), deleted AS (
      DELETE FROM token_auth_user_not_befores n USING judged j
      WHERE (n.realm, n.user_id, n.before, n.keep) = (j.realm, j.user_id, j.before, j.keep)
        AND j.last_end IS NULL
      RETURNING 1
    ), postponed AS (
      UPDATE token_auth_user_not_befores n SET sweep_after = greatest(j.last_end, $1::bigint)
      FROM judged j
      WHERE (n.realm, n.user_id, n.before, n.keep) = (j.realm, j.user_id, j.before, j.keep)
        AND j.last_end IS NOT NULL
      RETURNING 1
    )
    SELECT (SELECT count(*) FROM deleted) AS deleted,
      (SELECT count(*) FROM postponed) AS postponed`,
  sweepEntries: `
    WITH deleted AS (
      DELETE FROM token_auth_revocations WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM token_auth_revocations
        WHERE stored_at < $1 ORDER BY stored_at LIMIT $2 FOR UPDATE SKIP LOCKED
      ))
      RETURNING 1
    )
    SELECT count(*) AS deleted, 0 AS postponed FROM deleted`
} as const
