import { MAX_DOUBLINGS } from '../../domain/attempt-rule.js'
import { columns } from '../sql/rows.js'
import { hasNoNotBefore, joinNotBefore, latestBefore } from './not-befores.js'

/** Channel of NOTIFY. A notification says that something was revoked, but not what. */
export const CHANNEL = 'token_auth_revoked'

// First keys of advisory locks. The second one is a hash, and a collision only makes callers wait.
const USER_LOCKS = 726_534_811
const ATTEMPT_LOCKS = 726_534_812
const lockOfUser = `${USER_LOCKS}, hashtext(of_realm) # hashtext(of_user)`

const allColumns = columns.join(', ')

// PostgreSQL plans the statements of a function once per connection, also behind a pooler, which
// loses prepared statements. With `enable_seqscan`, a plan from a small table would scan a large
// one (4 ms at 20,000 rows). Functions must stay VOLATILE, so that each statement in them sees
// everything that is committed before it.
const head = 'LANGUAGE plpgsql SET enable_seqscan = off'

// Rotates one session. The UPDATE waits for a concurrent rotation and then matches no row, and the
// SELECT returns the new row. The result is "+" or "-" for rotated or not, and the row as JSON. One
// string is faster to plan than columns.
const rotate = `
  CREATE OR REPLACE FUNCTION token_auth_rotate (
    of_realm text, of_id text, of_secret text, from_generation bigint, to_generation bigint,
    is_healing boolean, at_time bigint, until bigint, grace_before bigint, grace_after bigint,
    by_address text, by_user_agent text
  ) RETURNS text ${head} AS $rotate$
  DECLARE
    rotated token_auth_sessions;
    shown json;
  BEGIN
    UPDATE token_auth_sessions s
    SET generation = to_generation,
      confirmed_generation =
        CASE WHEN is_healing THEN to_generation ELSE s.confirmed_generation END,
      rotated_at = at_time, rotated_by_address = by_address, rotated_by_user_agent = by_user_agent,
      grace_from = greatest(s.grace_from, at_time),
      last_used_at = greatest(s.last_used_at, at_time), expires_at = least(until, s.ends_at)
    WHERE s.id = of_id COLLATE "C" AND s.realm = of_realm COLLATE "C"
      AND s.secret_hash = of_secret COLLATE "C" AND s.generation = from_generation
      AND s.revoked_at IS NULL
      AND (is_healing OR s.expires_at > at_time AND (
        s.generation = 0 OR s.grace_from <= grace_before OR s.grace_from > grace_after
      ))
      AND ${hasNoNotBefore}
    RETURNING s.* INTO rotated;
    IF FOUND THEN RETURN '+' || row_to_json(rotated); END IF;
    SELECT row_to_json(r) INTO shown FROM (
      SELECT s.*, n.not_before_at, n.not_before_reason FROM token_auth_sessions s ${joinNotBefore}
      WHERE s.id = of_id COLLATE "C" AND s.realm = of_realm COLLATE "C"
    ) r;
    RETURN '-' || shown;
  END $rotate$;`

// Saves a session, given as the JSON of its row. Logins share the lock, and it excludes
// `token_auth_revoke_user`. So a login saves its session before the not-before is computed, or sees
// the not-before.
// Otherwise `before` could lie between the authentication and the creation of a session. Access
// tokens show only the creation, so they would outlive the revocation.
// The result is null, 'id-taken', the latest `before`, or 'unsure' if the caller must look again.
const create = `
  CREATE OR REPLACE FUNCTION token_auth_create (of_realm text, of_user text, given json)
  RETURNS text ${head} AS $create$
  DECLARE
    latest bigint;
  BEGIN
    PERFORM pg_advisory_xact_lock_shared(${lockOfUser});
    SELECT ${latestBefore} INTO latest
    FROM json_populate_record(NULL::token_auth_sessions, given) s
    WHERE NOT EXISTS (SELECT FROM token_auth_sessions taken WHERE taken.id = s.id);
    IF latest IS NOT NULL THEN RETURN latest; END IF;
    INSERT INTO token_auth_sessions (${allColumns})
    SELECT ${allColumns} FROM json_populate_record(NULL::token_auth_sessions, given)
    ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN RETURN 'id-taken'; END IF;
    -- Repeatable read does not see what was committed while this waited for the lock.
    IF current_setting('transaction_isolation') <> 'read committed' THEN RETURN 'unsure'; END IF;
    RETURN NULL;
  END $create$;`

// Records the not-before of a user with its entry. Rows are marked in a later transaction: one that
// waits for a row must not delay the not-before, which alone revokes the sessions.
const revokeUser = `
  CREATE OR REPLACE FUNCTION token_auth_revoke_user (
    of_realm text, of_user text, kept text, at_time bigint, why text
  ) RETURNS void ${head} AS $revoke$
  DECLARE
    latest bigint;
  BEGIN
    PERFORM pg_advisory_xact_lock(${lockOfUser});
    SELECT greatest(at_time, max(s.created_at)) INTO latest FROM token_auth_sessions s
    WHERE s.realm = of_realm COLLATE "C" AND s.user_id = of_user COLLATE "C"
      AND s.revoked_at IS NULL AND ${hasNoNotBefore};
    INSERT INTO token_auth_user_not_befores AS n
      (realm, user_id, before, keep, at, reason, sweep_after)
    VALUES (of_realm, of_user, latest, coalesce(kept, ''), at_time, why, latest)
    ON CONFLICT (realm, user_id, before, keep)
    DO UPDATE SET at = excluded.at, reason = excluded.reason WHERE excluded.at < n.at;
    INSERT INTO token_auth_revocations (entry) SELECT json_strip_nulls(json_build_object(
      'realm', of_realm, 'at', at_time, 'reason', why, 'userId', of_user, 'before', latest,
      'keep', kept
    ));
    PERFORM pg_notify('${CHANNEL}', '');
  END $revoke$;`

// Counts one attempt of all keys, or of none. The advisory locks make calls for the same keys wait
// for each other, also if there are no rows yet. The row locks make refunds and resets wait.
const consume = `
  CREATE OR REPLACE FUNCTION token_auth_consume (
    of_keys text[], at_time bigint, free bigint[], most bigint[], waits bigint[], longest bigint[],
    retentions bigint[], are_sliding boolean[]
  ) RETURNS text ${head} AS $consume$
  DECLARE
    lock_key integer;
    blocked text;
  BEGIN
    FOR lock_key IN SELECT DISTINCT hashtext(k) FROM unnest(of_keys) AS k ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(${ATTEMPT_LOCKS}, lock_key);
    END LOOP;
    PERFORM FROM token_auth_attempts a
    WHERE a.subject = ANY (of_keys) ORDER BY a.subject FOR UPDATE;
    SELECT json_build_object('key', a.subject, 'until', a.next_at, 'since', a.since) INTO blocked
    FROM unnest(of_keys) WITH ORDINALITY AS k (subject, n)
    JOIN token_auth_attempts a ON a.subject = k.subject COLLATE "C"
    WHERE a.forget_at > at_time AND a.next_at > at_time ORDER BY k.n LIMIT 1;
    IF FOUND THEN RETURN blocked; END IF;
    INSERT INTO token_auth_attempts (subject, attempts, since, next_at, forget_at)
    SELECT r.subject, c.attempts, c.since,
      CASE WHEN c.attempts >= r.most THEN c.forget_at WHEN c.attempts < r.free THEN 0
        ELSE at_time + least(
          r.longest, r.wait << least(c.attempts - r.free, ${MAX_DOUBLINGS})::integer
        ) END,
      c.forget_at
    FROM unnest(of_keys, free, most, waits, longest, retentions, are_sliding)
      AS r (subject, free, most, wait, longest, retention, is_sliding)
    LEFT JOIN token_auth_attempts a ON a.subject = r.subject COLLATE "C" AND a.forget_at > at_time
    CROSS JOIN LATERAL (
      SELECT coalesce(a.attempts, 0) + 1 AS attempts, coalesce(a.since, at_time) AS since,
        CASE WHEN a.subject IS NULL OR r.is_sliding THEN at_time + r.retention ELSE a.forget_at END
          AS forget_at
    ) c
    ORDER BY r.subject COLLATE "C"
    ON CONFLICT (subject) DO UPDATE SET attempts = excluded.attempts, since = excluded.since,
      next_at = excluded.next_at, forget_at = excluded.forget_at;
    RETURN NULL;
  END $consume$;`

/** Functions of the schema. */
export const functions = { rotate, create, revokeUser, consume } as const
