/**
 * Migrations of `SqliteStore`. Item n takes the schema from version n to n + 1. Released items
 * never change. Each item records its version at its end. Every statement can be repeated.
 *
 * A rotation writes no indexed column. `sweep_after` is the earliest moment when a sweep must look
 * at a record again. Rotations leave it unchanged. A sweep moves it forward if the record is still
 * needed.
 *
 * The index by user contains `revoked_at` and `created_at`. So a list skips sessions that were
 * revoked, and those from before the last revocation of the whole realm.
 *
 * `mark` is a random number, by which a cursor recognizes its entry. After a backup was restored,
 * another entry may have the same ID.
 */
export const sqliteMigrations: readonly string[] = [
  `
  CREATE TABLE IF NOT EXISTS token_auth_migrations (
    version INTEGER NOT NULL PRIMARY KEY
  );

  CREATE TABLE IF NOT EXISTS token_auth_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    realm TEXT NOT NULL,
    user_id TEXT NOT NULL,
    secret_hash TEXT NOT NULL,
    generation INTEGER NOT NULL,
    confirmed_generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    authenticated_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    rotated_by_address TEXT,
    rotated_by_user_agent TEXT,
    grace_from INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_for TEXT,
    device_label TEXT,
    device_user_agent TEXT,
    device_address TEXT,
    replay_generation INTEGER NOT NULL,
    replay_length INTEGER NOT NULL,
    sweep_after INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS token_auth_sessions_by_user
    ON token_auth_sessions (realm, user_id, revoked_at, created_at, id);
  CREATE INDEX IF NOT EXISTS token_auth_sessions_by_end ON token_auth_sessions (sweep_after);

  CREATE TABLE IF NOT EXISTS token_auth_user_not_befores (
    realm TEXT NOT NULL,
    user_id TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    kept_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    sweep_after INTEGER NOT NULL,
    PRIMARY KEY (realm, user_id, not_before, kept_id)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS token_auth_user_not_befores_by_end
    ON token_auth_user_not_befores (sweep_after);

  CREATE TABLE IF NOT EXISTS token_auth_realm_not_befores (
    realm TEXT NOT NULL PRIMARY KEY,
    not_before INTEGER NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS token_auth_revocations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mark INTEGER NOT NULL DEFAULT (random() & 0xFFFFFFFFFF),
    stored_at INTEGER NOT NULL,
    entry TEXT NOT NULL
  );
  CREATE INDEX IF NOT EXISTS token_auth_revocations_by_time ON token_auth_revocations (stored_at);

  CREATE TABLE IF NOT EXISTS token_auth_attempts (
    subject TEXT NOT NULL PRIMARY KEY,
    attempts INTEGER NOT NULL,
    since INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    forget_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS token_auth_attempts_by_end ON token_auth_attempts (forget_at);
  INSERT OR IGNORE INTO token_auth_migrations (version) VALUES (1);
  `
]
