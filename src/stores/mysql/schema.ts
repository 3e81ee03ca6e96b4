/**
 * Migrations of `MysqlStore`. Item n takes the schema from version n to n + 1.
 *
 * DDL commits implicitly, and a version that failed halfway runs again from its start. So each
 * statement must be repeatable. Statements end with a semicolon and contain no other one.
 *
 * IDs are bytes, because every collation of both engines ignores case, accents or trailing spaces.
 * The index `by_user` continues with the ID, so that all sessions of a user are locked in that order.
 */
export const mysqlMigrations: readonly string[] = [
  `
  CREATE TABLE IF NOT EXISTS token_auth_sessions (
    id VARBINARY(255) NOT NULL PRIMARY KEY,
    user_id VARBINARY(255) NOT NULL,
    secret_hash VARBINARY(255) NOT NULL,
    generation BIGINT NOT NULL,
    confirmed_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    rotated_by_address TEXT,
    rotated_by_user_agent TEXT,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_for VARCHAR(32),
    device_label TEXT,
    device_user_agent TEXT,
    device_address TEXT,
    sweep_after BIGINT NOT NULL,
    KEY token_auth_sessions_by_user (user_id, id),
    KEY token_auth_sessions_by_revocation (revoked_at, id),
    KEY token_auth_sessions_by_end (sweep_after)
  ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  CREATE TABLE IF NOT EXISTS token_auth_revoked_users (
    user_id VARBINARY(255) NOT NULL PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    KEY token_auth_revoked_users_by_time (revoked_at)
  ) ENGINE = InnoDB;
  `,
  `
  CREATE TABLE IF NOT EXISTS token_auth_attempts (
    subject VARBINARY(255) NOT NULL PRIMARY KEY,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL,
    KEY token_auth_attempts_by_end (forget_at)
  ) ENGINE = InnoDB;
  `
]
