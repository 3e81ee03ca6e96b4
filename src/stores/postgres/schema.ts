/**
 * Migrations of `PostgresStore`. Item n takes the schema from version n to n + 1.
 *
 * Strings compare byte by byte (collation "C"). A rotation changes no indexed column and finds free
 * space in its page, so that PostgreSQL makes a heap-only (HOT) update. `sweep_after` is a lower
 * bound of the expiry: rotations leave it unchanged, and the sweep moves it forward if the session
 * is still live.
 */
export const postgresMigrations: readonly string[] = [
  `
  CREATE TABLE token_auth_sessions (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    secret_hash text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    confirmed_generation bigint NOT NULL,
    created_at bigint NOT NULL,
    authenticated_at bigint NOT NULL,
    rotated_at bigint NOT NULL,
    rotated_by_address text,
    rotated_by_user_agent text,
    last_used_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    revoked_at bigint,
    revoked_for text,
    device_label text,
    device_user_agent text,
    device_address text,
    sweep_after bigint NOT NULL
  ) WITH (fillfactor = 75);
  CREATE INDEX token_auth_sessions_by_user ON token_auth_sessions (user_id, created_at);
  CREATE INDEX token_auth_sessions_by_revocation ON token_auth_sessions (revoked_at, id)
    WHERE revoked_at IS NOT NULL;
  CREATE INDEX token_auth_sessions_by_end ON token_auth_sessions (sweep_after);
  CREATE TABLE token_auth_revoked_users (
    user_id text COLLATE "C" NOT NULL PRIMARY KEY,
    revoked_at bigint NOT NULL
  );
  CREATE INDEX token_auth_revoked_users_by_time ON token_auth_revoked_users (revoked_at);
  `,
  `
  CREATE TABLE token_auth_attempts (
    subject text COLLATE "C" NOT NULL PRIMARY KEY,
    attempts bigint NOT NULL,
    next_at bigint NOT NULL,
    forget_at bigint NOT NULL
  );
  CREATE INDEX token_auth_attempts_by_end ON token_auth_attempts (forget_at);
  `,
  // Rotates one session. PostgreSQL plans the statements of a function once per connection, also
  // behind a pooler, which loses prepared statements. The function must stay VOLATILE, so that each
  // statement in it sees everything that is committed before it: the UPDATE waits for a concurrent
  // rotation and then matches no row, and the SELECT returns the new row.
  // The result is "+" or "-" for rotated or not, and the row as JSON. One string is faster to plan
  // than columns. A plan from a small table would scan a large one: 4 ms at 20,000 rows.
  `
  CREATE OR REPLACE FUNCTION token_auth_rotate (
    of_id text, secret text, at_generation bigint, at_time bigint, until bigint,
    rotated_before bigint, rotated_after bigint,
    by_address text, by_user_agent text
  ) RETURNS text LANGUAGE plpgsql SET enable_seqscan = off AS $rotate$
  DECLARE
    shown token_auth_sessions;
  BEGIN
    UPDATE token_auth_sessions s
    SET generation = s.generation + 1, rotated_at = at_time, rotated_by_address = by_address,
      rotated_by_user_agent = by_user_agent, last_used_at = greatest(s.last_used_at, at_time),
      expires_at = least(until, s.ends_at)
    WHERE s.id = of_id COLLATE "C" AND s.secret_hash = secret COLLATE "C"
      AND s.generation = at_generation
      AND s.revoked_at IS NULL AND s.expires_at > at_time
      AND (s.generation = 0 OR s.rotated_at <= rotated_before OR s.rotated_at > rotated_after)
    RETURNING s.* INTO shown;
    IF FOUND THEN RETURN '+' || row_to_json(shown); END IF;
    SELECT s.* INTO shown FROM token_auth_sessions s WHERE s.id = of_id COLLATE "C";
    IF FOUND THEN RETURN '-' || row_to_json(shown); END IF;
    RETURN NULL;
  END $rotate$;
  `
]
