import { functions } from './functions.js'

// An entry becomes visible when its transaction commits. So readers follow the numbers of
// transactions (`xid`) and not the clock, which is for windows and sweeps.
const feed = `
  CREATE TABLE IF NOT EXISTS token_auth_revocations (
    xid bigint NOT NULL DEFAULT txid_current(),
    id bigint GENERATED ALWAYS AS IDENTITY,
    stored_at bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    entry text NOT NULL,
    PRIMARY KEY (xid, id)
  );
  CREATE INDEX IF NOT EXISTS token_auth_revocations_by_time
    ON token_auth_revocations (stored_at, id);`

/**
 * Migrations of `PostgresStore`. Item n takes the schema from version n to n + 1.
 *
 * Each item records its version at its end. Every statement can be repeated: `migrate` executes all
 * of them again if a table, an index or a function is missing.
 *
 * Strings compare byte by byte (collation "C"). A rotation changes no indexed column and finds free
 * space in its page, so that PostgreSQL makes a heap-only (HOT) update. A revocation moves its row
 * in the index by user. So a list reads no revoked sessions, however many the user has.
 */
export const postgresMigrations: readonly string[] = [
  `
  CREATE TABLE IF NOT EXISTS token_auth_migrations (
    version integer NOT NULL PRIMARY KEY
  );
  CREATE TABLE IF NOT EXISTS token_auth_sessions (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    realm text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    secret_hash text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    confirmed_generation bigint NOT NULL,
    created_at bigint NOT NULL,
    authenticated_at bigint NOT NULL,
    rotated_at bigint NOT NULL,
    rotated_by_address text,
    rotated_by_user_agent text,
    grace_from bigint NOT NULL,
    last_used_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    ends_at bigint NOT NULL,
    revoked_at bigint,
    revoked_for text,
    device_label text,
    device_user_agent text,
    device_address text,
    replay_generation bigint NOT NULL,
    replay_length bigint NOT NULL,
    sweep_after bigint NOT NULL
  ) WITH (fillfactor = 75);
  CREATE INDEX IF NOT EXISTS token_auth_sessions_by_user
    ON token_auth_sessions (realm, user_id, revoked_at, created_at, id);
  CREATE INDEX IF NOT EXISTS token_auth_sessions_by_end ON token_auth_sessions (sweep_after);
  CREATE TABLE IF NOT EXISTS token_auth_user_not_befores (
    realm text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    before bigint NOT NULL,
    keep text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    reason text NOT NULL,
    sweep_after bigint NOT NULL,
    PRIMARY KEY (realm, user_id, before, keep)
  );
  CREATE INDEX IF NOT EXISTS token_auth_user_not_befores_by_end
    ON token_auth_user_not_befores (sweep_after);
  CREATE TABLE IF NOT EXISTS token_auth_realm_not_befores (
    realm text COLLATE "C" NOT NULL PRIMARY KEY,
    before bigint NOT NULL,
    at bigint NOT NULL,
    reason text NOT NULL
  );
  ${feed}
  CREATE TABLE IF NOT EXISTS token_auth_attempts (
    subject text COLLATE "C" NOT NULL PRIMARY KEY,
    attempts bigint NOT NULL,
    since bigint NOT NULL,
    next_at bigint NOT NULL,
    forget_at bigint NOT NULL
  );
  CREATE INDEX IF NOT EXISTS token_auth_attempts_by_end ON token_auth_attempts (forget_at);
  ${Object.values(functions).join('\n')}
  INSERT INTO token_auth_migrations (version) VALUES (1) ON CONFLICT DO NOTHING;
  `
]
