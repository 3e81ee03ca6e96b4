// An app with users of its own, and this package beside them.

import Fastify, { LogController } from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { signUpBody } from '../shared/trial.js'
import { addPage } from './page-routes.js'
import { UserTable } from './users.js'
import type { DemoUser } from './users.js'

declare module 'fastify-token-auth' {
  interface AuthClaims {
    role?: DemoUser['role']
  }
}

export interface DemoSettings {
  readonly secret: string
  /** The private key of access tokens, as PEM: others verify them by its public part. */
  readonly key: string
  /** Where the demo is: what its tokens and its metadata say. */
  readonly issuer: string
  /** Of the client `orders`, a service that asks about tokens. */
  readonly clientSecret: string
  /** The SQLite file: users and sessions. */
  readonly database: string
  /** How long a rotated token is answered with its successor. */
  readonly grace: string
  /** How long an access token is good. */
  readonly lifetime: string
  /** `false` for Safari, which keeps no Secure cookie over http, not even of this machine. */
  readonly secure: boolean
}

export async function createDemo (settings: DemoSettings): Promise<FastifyInstance> {
  const { secret, key, issuer, clientSecret, database, grace, lifetime, secure } = settings
  const app = Fastify({
    logger: {
      transport: {
        target: 'pino-pretty',
        options: { ignore: 'pid,hostname,reqId', translateTime: 'HH:MM:ss' }
      }
    },
    logController: new LogController({ disableRequestLogging: true })
  })

  const tell = (name: string) => (event: object) => {
    app.log.info(event, name)
  }

  const users = new UserTable(new Database(database))
  const sessions = new Database(database)
  // Added before the plugin, so that it runs after the plugin has written its last notes.
  app.addHook('onClose', () => {
    sessions.close()
  })
  const store = new SqliteStore(sessions)
  await store.migrate()
  addPage(app)

  await app.register(tokenAuth, {
    secret,
    store,
    users: {
      findByLogin: login => users.findByLogin(login),
      findById: id => users.findById(id),
      claims: user => ({ role: (user as DemoUser).role })
    },
    accessToken: { lifetime },
    // For services that verify: see examples/resource-server.
    keys: [key],
    issuer,
    audience: 'demo',
    // For clients that speak OAuth, such as an app on a phone, and for those who hold a key.
    oauth: { clients: [{ clientId: 'phone' }, { clientId: 'orders', clientSecret }] },
    dpop: true,
    publicUrl: issuer,
    // The page takes a cookie; who asks by curl, or from a phone, is given the token itself.
    refreshToken: { grace, transport: 'both' },
    cookie: { secure },
    on: {
      login: tell('login'),
      'login-rejected': tell('login rejected'),
      refresh: tell('refresh'),
      replay: tell('replay: the same successor again'),
      recovery: tell('recovery: the answer had been lost'),
      reuse: tell('REUSE: somebody holds a copy, the session is ended'),
      revoke: tell('revoke')
    }
  })

  app.put<{ Body: { username: string, password: string } }>('/register', {
    schema: { body: signUpBody }
  }, async (request, reply) => {
    const { username, password } = request.body
    const user = users.add(username, await app.tokenAuth.hashPassword(password))

    if (user === null) {
      return reply.code(409).send({ message: 'That name is taken' })
    }

    return reply.code(201).send({ id: user.id, username, role: user.role })
  })

  app.get(
    '/protected',
    { onRequest: app.authenticate },
    async request => ({ hello: request.auth?.userId })
  )

  app.get('/admin', { onRequest: app.authenticate }, async (request, reply) => {
    if (request.auth?.claims.role !== 'admin') {
      return reply.code(403).send({ message: 'For admins alone' })
    }

    return { secret: 'of admins' }
  })

  return app
}
