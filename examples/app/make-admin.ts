// Makes a user an admin: npx tsx examples/app/make-admin.ts ann
// The user receives the role at the next refresh or login.

import { openDatabase } from './database.js'

const [, , username = ''] = process.argv
const db = await openDatabase(process.env.DATABASE_FILE || 'app.db')
const { numUpdatedRows } = await db.updateTable('users').set({ role: 'admin' })
  .where('username', '=', username).executeTakeFirstOrThrow()
await db.destroy()
console.log(
  numUpdatedRows === 1n ? `${username} is an admin` : `no user has the name "${username}"`
)
