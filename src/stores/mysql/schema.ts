/**
 * Migrations of `MysqlStore`. Item n takes the schema from version n to n + 1.
 *
 * Each item records its version at its end. DDL commits implicitly, and a version that failed
 * halfway runs again from its start. So each statement must be repeatable. Statements end with a
 * semicolon and contain no other one.
 *
 * IDs are bytes, because every collation of both engines ignores case, accents or trailing spaces.
 * No index contains a column that a rotation changes. `sweep_after` is the moment from which a
 * sweep examines the row. Only a sweep changes it: it moves it forward if the row is still needed.
 *
 * Lists read the index by creation, so that they skip revoked sessions. Updates read the index by
 * user, which they do not change.
 */
export const mysqlMigrations: readonly string[] = [
  `
  CREATE TABLE IF NOT EXISTS token_auth_migrations (
    version INT NOT NULL PRIMARY KEY
  ) ENGINE = InnoDB;
  CREATE TABLE IF NOT EXISTS token_auth_sessions (
    id VARBINARY(255) NOT NULL PRIMARY KEY,
    realm VARBINARY(255) NOT NULL,
    user_id VARBINARY(255) NOT NULL,
    secret_hash VARBINARY(255) NOT NULL,
    generation BIGINT NOT NULL,
    confirmed_generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    rotated_by_address TEXT,
    rotated_by_user_agent TEXT,
    grace_from BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_for VARCHAR(32),
    device_label TEXT,
    device_user_agent TEXT,
    device_address TEXT,
    replay_generation BIGINT NOT NULL,
    replay_length BIGINT NOT NULL,
    sweep_after BIGINT NOT NULL,
    KEY token_auth_sessions_by_user (realm, user_id, id),
    KEY token_auth_sessions_by_creation (realm, user_id, revoked_at, created_at, id),
    KEY token_auth_sessions_by_end (sweep_after)
  ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  CREATE TABLE IF NOT EXISTS token_auth_not_befores (
    realm VARBINARY(255) NOT NULL,
    user_id VARBINARY(255) NOT NULL,
    not_before BIGINT NOT NULL,
    kept VARBINARY(255) NOT NULL,
    at BIGINT NOT NULL,
    reason VARCHAR(32) NOT NULL,
    sweep_after BIGINT NOT NULL,
    PRIMARY KEY (realm, user_id, not_before, kept),
    KEY token_auth_not_befores_by_end (sweep_after)
  ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  CREATE TABLE IF NOT EXISTS token_auth_realms (
    realm VARBINARY(255) NOT NULL PRIMARY KEY,
    not_before BIGINT NOT NULL,
    at BIGINT NOT NULL,
    reason VARCHAR(32) NOT NULL
  ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  CREATE TABLE IF NOT EXISTS token_auth_revocations (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at BIGINT NOT NULL,
    entry TEXT NOT NULL,
    KEY token_auth_revocations_by_time (at, id)
  ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
  CREATE TABLE IF NOT EXISTS token_auth_attempts (
    subject VARBINARY(255) NOT NULL PRIMARY KEY,
    attempts BIGINT NOT NULL,
    since BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    forget_at BIGINT NOT NULL,
    KEY token_auth_attempts_by_end (forget_at)
  ) ENGINE = InnoDB;
  INSERT IGNORE INTO token_auth_migrations (version) VALUES (1);
  `
]
