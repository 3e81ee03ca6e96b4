// The tables of PostgresStore, as text. See schema.ts.
//
// Texts compare byte by byte (collation "C"). A rotation changes no column of an index and finds room in its page, so that
// PostgreSQL updates it in place (HOT).

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
  CREATE INDEX token_auth_sessions_by_revocation ON token_auth_sessions (revoked_at, id) WHERE revoked_at IS NOT NULL;
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
  `
]
