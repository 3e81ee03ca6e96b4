import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { PostgresAttempts, PostgresStore } from 'fastify-token-auth/postgres'
import pg from 'pg'
import { secret } from '../shared/secret.js'

// Your users are in a database. This hash is that of "correct horse".
const ann = {
  id: '1',
  username: 'ann',
  passwordHash:
    '$argon2id$v=19$m=19456,t=2,p=1$VIwxfo49uWoGZZwrjdSWgg$uwyi0daNc+mpxnblCXntGOsT+CNN/NRHLTP2DoR6aIU'
}

/** Builds the app. Neither starts a timer that it needs, nor creates tables. */
export async function buildApp (): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' } })
  const pool = new pg.Pool({
    connectionString: process.env.DATABASE_URL,
    max: 2, // for each process, and there may be hundreds
    connectionTimeoutMillis: 3000,
    query_timeout: 3000, // replaces connections that were lost during a freeze
    idleTimeoutMillis: 30_000
  })
  pool.on('error', error => app.log.warn(error))
  app.addHook('onClose', () => pool.end())

  await app.register(tokenAuth, {
    secret,
    store: new PostgresStore(pool),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    // Written before the response, because the process may be frozen after it.
    refreshToken: { confirmWrites: 'immediate' },
    // Attempts in memory would count for one process only.
    throttle: { attempts: new PostgresAttempts(pool) },
    revocations: { failAfter: '30s' },
    sweep: false // see sweep.ts
  })

  app.get('/protected', { onRequest: [authenticate] }, async request => ({
    userId: request.auth?.userId,
    processId: process.pid
  }))

  return app
}
