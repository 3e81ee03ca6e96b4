import type { Users } from 'fastify-token-auth'
import type { AppDatabase, Role, User } from './database.js'

// The type of request.auth.claims, and of the argument of requireClaims.
declare module 'fastify-token-auth' {
  interface AuthClaims {
    role?: Role
  }
}

/** Callbacks with which the plugin reads the users. It has no other access to them. */
export function createUsers (db: AppDatabase): Users {
  const users = db.selectFrom('users').selectAll()

  return {
    findByLogin: login => users.where('username', '=', login.toLowerCase()).executeTakeFirst(),
    findById: id => users.where('id', '=', id).executeTakeFirst(),
    // Claims of the access token. A changed role appears there at the next refresh.
    claims: user => ({ role: (user as User).role }),
    // The user in the responses of login, refresh and /auth/me.
    present: user => ({ id: user.id, username: user.username, role: (user as User).role }),
    // Called at a login if the stored hash is weaker than new ones.
    savePasswordHash: (id, passwordHash, replaced) =>
      db.updateTable('users').set({ passwordHash })
        .where('id', '=', id).where('passwordHash', '=', replaced).execute()
  }
}
