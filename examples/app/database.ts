import { CamelCasePlugin, Kysely, SqliteDialect } from 'kysely'
import type { Generated, Selectable } from 'kysely'
import Database from 'libsql'

export type Role = 'admin' | 'member'

/** Row of the table `users`. */
export type User = Selectable<UserTable>

/** Database of the app. Kysely checks all queries against these types. */
export type AppDatabase = Kysely<{ users: UserTable }>

interface UserTable {
  readonly id: Generated<number>
  readonly username: string
  readonly passwordHash: string
  readonly role: Generated<Role>
}

/** Opens the SQLite file, and creates the tables that are missing. */
export async function openDatabase (file: string): Promise<AppDatabase> {
  const db: AppDatabase = new Kysely({
    dialect: new SqliteDialect({ database: new Database(file, { timeout: 1000 }) }),
    // The column is password_hash, and the plugin reads passwordHash.
    plugins: [new CamelCasePlugin()]
  })
  await db.schema.createTable('users').ifNotExists()
    .addColumn('id', 'integer', column => column.primaryKey().autoIncrement())
    .addColumn('username', 'text', column => column.notNull().unique())
    .addColumn('passwordHash', 'text', column => column.notNull())
    .addColumn('role', 'text', column => column.notNull().defaultTo('member'))
    .execute()
  return db
}
