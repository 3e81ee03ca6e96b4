/**
 * Migrations of `SqliteStore`. Item n takes the schema from version n to n + 1. Released items
 * never change.
 *
 * A rotation writes no indexed column. `sweep_after` is a lower bound of the expiry: rotations
 * leave it unchanged, and the sweep moves it forward if the session is still live.
 */
export const sqliteMigrations: readonly string[] = [
  `
  CREATE TABLE token_auth_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,
    confirmed_generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    rotated_by_address TEXT,
    rotated_by_user_agent TEXT,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_for TEXT,
    device_label TEXT,
    device_user_agent TEXT,
    device_address TEXT,
    sweep_after INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX token_auth_sessions_by_user ON token_auth_sessions (user_id, created_at);
  CREATE INDEX token_auth_sessions_by_revocation ON token_auth_sessions (revoked_at, id)
    WHERE revoked_at IS NOT NULL;
  CREATE INDEX token_auth_sessions_by_end ON token_auth_sessions (sweep_after);
  CREATE TABLE token_auth_revoked_users (
    user_id TEXT NOT NULL PRIMARY KEY,
    revoked_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX token_auth_revoked_users_by_time ON token_auth_revoked_users (revoked_at);
  `,
  `
  CREATE TABLE token_auth_attempts (
    subject TEXT NOT NULL PRIMARY KEY,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    forget_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX token_auth_attempts_by_end ON token_auth_attempts (forget_at);
  `
]
