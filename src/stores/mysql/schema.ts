import type { Row } from '../sql/rows.js'
import type { MysqlConnection } from './connection.js'

// Locks belong to the server, not to a database. Their names have at most 64 characters.
const MIGRATION_LOCK = 'CONCAT(\'token_auth:\', LEFT(SHA2(DATABASE(), 256), 40))'
const MIGRATION_WAIT_SECONDS = 60
const MIGRATION_LOCKED =
  `another instance has not finished its migration after ${MIGRATION_WAIT_SECONDS} s; ` +
  'stop that instance if it hangs, and call "migrate" again'

/**
 * Migrations of `MysqlStore`. Item n takes the schema from version n to n + 1.
 *
 * DDL commits implicitly, and a version that failed halfway runs again from its start. So each
 * statement must be repeatable. Statements end with a semicolon and contain no other one.
 *
 * A rotation changes no indexed column. `sweep_after` is a lower bound of the expiry: rotations
 * leave it unchanged, and the sweep moves it forward if the session is still live.
 *
 * IDs are bytes, because every collation of both engines ignores case, accents or trailing spaces.
 * The index `by_user` continues with the ID, so that all sessions of a user are locked in that
 * order.
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

/** Runs the missing migrations on a connection, under a lock of the server. */
export async function migrate (connection: MysqlConnection): Promise<void> {
  const [[lock]] = await connection.query(
    `SELECT GET_LOCK(${MIGRATION_LOCK}, ${MIGRATION_WAIT_SECONDS}) AS held`
  ) as [Row[], unknown]

  if (Number(lock?.held) !== 1) {
    throw new Error(MIGRATION_LOCKED)
  }

  await connection.query(
    'CREATE TABLE IF NOT EXISTS token_auth_migrations (version INT NOT NULL PRIMARY KEY) ' +
      'ENGINE = InnoDB'
  )
  const [[latest]] = await connection.query(
    'SELECT MAX(version) AS version FROM token_auth_migrations'
  ) as [Row[], unknown]

  for (let version = Number(latest?.version ?? 0); version < mysqlMigrations.length; version++) {
    const steps = (mysqlMigrations[version] as string).split(';').filter(step => step.trim() !== '')

    for (const step of steps) {
      await connection.query(step)
    }

    await connection.query(`INSERT INTO token_auth_migrations (version) VALUES (${version + 1})`)
  }

  await connection.query(`SELECT RELEASE_LOCK(${MIGRATION_LOCK})`)
}
