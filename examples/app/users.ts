import { defineUsers } from 'fastify-token-auth'
import type { AppDatabase, Role } from './database.js'

// The type of request.auth.claims, and of the argument of requireClaims.
declare module 'fastify-token-auth' {
  interface AuthClaims {
    role?: Role
  }
}

/** Callbacks with which the plugin reads the users. It has no other access to them. */
export function createUsers (db: AppDatabase) {
  const users = db.selectFrom('users').selectAll()

  return defineUsers({
    parseId: Number, // tokens contain IDs as strings
    findByLogin: login => users.where('username', '=', login.toLowerCase()).executeTakeFirst(),
    findById: id => users.where('id', '=', id).executeTakeFirst(),
    // Claims of the access token. A changed role appears there at the next refresh.
    claims: ({ role }) => ({ role }),
    // The user in the responses of login, refresh and /auth/me.
    present: ({ id, username, role }) => ({ id, username, role }),
    // Called at a login if the stored hash is weaker than new ones.
    savePasswordHash: (id, passwordHash, replaced) =>
      db.updateTable('users').set({ passwordHash })
        .where('id', '=', id).where('passwordHash', '=', replaced).execute()
  })
}
