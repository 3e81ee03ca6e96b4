// Rotation below /auth/token/refresh, users whose hashes are bcrypt's and who may be inactive, sessions in a database with
// migrations, and counters of what became of refreshes.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import type { AuthUser } from 'fastify-token-auth'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret, startIfMain } from '../../shared/trial.js'
import { answerWithDetail, findById } from '../recipe.js'
import type { RecipeOptions } from '../recipe.js'

interface User {
  readonly id: string
  readonly username: string
  hashedPassword: string
  readonly isActive: boolean
}

// Of "correct horse", written by the old system.
const hashedPassword = '$2b$10$g.OkeJN3880kn10NgwJ6CuMrx/D3O0r3U8UAk3hXr8XQequ31bOGm'

const toAuthUser = (user: User | undefined): AuthUser | undefined =>
  user &&
  {
    id: user.id,
    username: user.username,
    passwordHash: user.hashedPassword,
    disabled: !user.isActive
  }

export async function buildApp (
  { users = new Map(), logger = true, clock = Date.now }: RecipeOptions<User> = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  // The one reason for which the clients refresh. A refresh is also what signs out whoever holds tokens of the old system, or
  // of a session that was ended.
  const reason = 'Token expired'
  answerWithDetail(app, {
    AUTH_ACCESS_EXPIRED: reason,
    AUTH_ACCESS_INVALID: reason,
    AUTH_SESSION_REVOKED: reason
  })
  const db = new Database(process.env.DATABASE ?? ':memory:')
  app.addHook('onClose', () => {
    db.close()
  }) // before the plugin, so that it closes after it
  const store = new SqliteStore(db)
  await store.migrate()
  const refreshes = { rotated: 0, kept: 0, replayed: 0, recovered: 0, reused: 0 }

  await app.register(tokenAuth, {
    secret,
    routes: { refresh: '/token/refresh' }, // below /auth
    accessToken: { lifetime: 900 }, // expires_in
    store,
    users: {
      findByLogin: username => toAuthUser(users.get(username)),
      findById: id => toAuthUser(findById(users, id)),
      savePasswordHash (id, hash, replaced) {
        const user = findById(users, id)

        if (user?.hashedPassword === replaced) {
          user.hashedPassword = hash
        }
      }
    },
    on: {
      refresh: ({ rotated }) => {
        refreshes[rotated ? 'rotated' : 'kept']++
      },
      replay: () => {
        refreshes.replayed++
      },
      recovery: () => {
        refreshes.recovered++
      },
      reuse: () => {
        refreshes.reused++
      }
    },
    clock
  })
  users.set('ann', { id: '1', username: 'ann', hashedPassword, isActive: true })
  users.set('bob', { id: '2', username: 'bob', hashedPassword, isActive: false })

  app.get(
    '/reports',
    { onRequest: app.authenticate },
    async request => ({ reports: [], of: request.auth?.userId })
  )

  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4').send(
      Object.entries(refreshes).map(([result, count]) =>
        `auth_refreshes_total{result="${result}"} ${count}\n`
      ).join('')
    ))
  return app
}

await startIfMain(import.meta.url, buildApp)
