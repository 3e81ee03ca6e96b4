import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import type { AppDatabase } from './database.js'
import { addPages } from './pages.js'
import { addRoutes } from './routes.js'
import type { Settings } from './settings.js'
import { createUsers } from './users.js'

/** Builds the app. `server.ts` lets it listen, and the tests call `app.inject`. */
export async function buildApp (settings: Settings, db: AppDatabase): Promise<FastifyInstance> {
  const { auth, databaseFile, origins, proxies, logLevel } = settings
  const app = Fastify({ logger: { level: logLevel }, trustProxy: proxies })

  const sessions = new Database(databaseFile) // a connection that only the stores use
  const store = new SqliteStore(sessions)
  await store.migrate()
  // Before the plugin, because Fastify closes in the reverse order.
  app.addHook('onClose', async () => {
    await db.destroy()
    sessions.close()
  })

  await app.register(cors, { origin: origins, credentials: true })
  await app.register(rateLimit, { max: 300, timeWindow: '1 minute' }) // per address
  await app.register(swagger, {
    openapi: {
      info: { title: 'Example', version: '1.0.0' },
      components: { securitySchemes: { bearerAuth: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearerAuth: [] }]
    }
  })
  await app.register(addPages)

  await app.register(tokenAuth, {
    ...auth,
    store,
    users: createUsers(db),
    protect: 'all', // routes need an access token, unless their config says "public"
    cookie: { origins },
    throttle: { attempts: new SqliteAttempts(sessions) }
  })
  await app.register(addRoutes, { db })
  return app
}
