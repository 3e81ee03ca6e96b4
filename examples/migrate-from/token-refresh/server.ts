// bcrypt hashes, inactive users and metrics: npx tsx examples/migrate-from/token-refresh/server.ts
//
//   PORT            3000
//   DATABASE_FILE   :memory:, or a SQLite file
//   SECRET_KEY      a public value, for local trials only; other variables: see the README

import Fastify from 'fastify'
import type { FastifyError, FastifyInstance } from 'fastify'
import { authenticate, optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import type { AuthUser } from 'fastify-token-auth'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../../shared/secret.js'
import { startIfMain } from '../../shared/start.js'

interface User {
  readonly id: string
  readonly username: string
  hashedPassword: string
  readonly isActive: boolean
}

// Hash of "correct horse", written by the old server
const hashedPassword = '$2b$10$g.OkeJN3880kn10NgwJ6CuMrx/D3O0r3U8UAk3hXr8XQequ31bOGm'

// Some clients refresh only if `detail` has this value. For an old or revoked access token, the
// refresh fails too, and the client shows its login page.
const details: Readonly<Record<string, string>> = {
  AUTH_ACCESS_EXPIRED: 'Token expired',
  AUTH_ACCESS_INVALID: 'Token expired',
  AUTH_SESSION_REVOKED: 'Token expired',
  AUTH_REFRESH_EXPIRED: 'Token expired'
}

function toAuthUser (user: User | undefined): AuthUser | undefined {
  return user && {
    id: user.id,
    username: user.username,
    passwordHash: user.hashedPassword,
    disabled: !user.isActive
  }
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  const findById = (id: string): User | undefined =>
    [...users.values()].find(user => user.id === id)

  // Set before the plugin, because only later scopes inherit it.
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const { statusCode = 500, code, message } = error

    if (statusCode === 500) {
      request.log.error(error)
      return reply.code(500).send({ detail: 'Internal Server Error' })
    }

    // The interceptor of the clients also catches a 401 of its own refresh, and would refresh again
    // without end.
    const isRefused = code.startsWith('AUTH_REFRESH_')

    if (isRefused) {
      reply.removeHeader('www-authenticate')
    }

    return reply.code(isRefused ? 400 : statusCode).send({ detail: details[code] ?? message })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ detail: 'Not Found' }))

  const db = new Database(process.env.DATABASE_FILE ?? ':memory:')
  // Fastify runs this hook after those of the plugin, because it was added before them.
  app.addHook('onClose', async () => {
    db.close()
  })
  const store = new SqliteStore(db)
  await store.migrate()
  const refreshes = { rotated: 0, kept: 0, replayed: 0, recovered: 0, reused: 0 }

  const { env } = process

  await app.register(tokenAuth, {
    ...optionsFromEnv({
      ...env,
      SECRET_KEY: env.SECRET_KEY || secret,
      REFRESH_TOKEN_EXPIRE_DAYS: env.REFRESH_TOKEN_EXPIRE_DAYS || '30'
    }),
    routes: { refresh: '/token/refresh' }, // below /auth
    store,
    users: {
      findByLogin: username => toAuthUser(users.get(username)),
      findById: id => toAuthUser(findById(id)),
      savePasswordHash (id, hash, replaced) {
        const user = findById(id)

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

  app.get('/reports', { onRequest: [authenticate] }, async request => ({
    userId: request.auth?.userId,
    reports: []
  }))

  app.get('/metrics', async (_request, reply) => {
    const lines = Object.entries(refreshes).map(([result, count]) =>
      `auth_refreshes_total{result="${result}"} ${count}\n`
    )
    return reply.type('text/plain; version=0.0.4').send(lines.join(''))
  })
  return app
}

await startIfMain(import.meta.url, buildApp)
