// Form login in the style of FastAPI: npx tsx examples/migrate-from/form-login/server.ts
//
//   PORT          3000
//   SECRET_KEY    required; REFRESH_SECRET_KEY and the other variables are optional: see the README

import Fastify from 'fastify'
import type { FastifyError, FastifyInstance } from 'fastify'
import { authenticate, optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { startIfMain } from '../../shared/start.js'

interface User {
  /** The user name, because the old tokens have it as `sub`. It must never change. */
  readonly id: string
  readonly username: string
  readonly email: string | null
  readonly passwordHash: string
}

const signUpSchema = {
  type: 'object',
  required: ['username', 'password'],
  properties: {
    // Without "@", so that nobody registers the address of another user as a name.
    username: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[^@\\u0000]+$' },
    email: { type: 'string', nullable: true, maxLength: 254, pattern: '^[^@\\s]+@[^@\\s]+$' },
    password: { type: 'string', minLength: 8, maxLength: 1024 }
  }
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  const findByEmail = (email: string): User | undefined =>
    [...users.values()].find(user => user.email === email.toLowerCase())

  // Clients read errors from `detail`. Set before the plugin, because only later scopes inherit it.
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const { statusCode = 500, message } = error

    if (statusCode === 500) {
      request.log.error(error)
      return reply.code(500).send({ detail: 'Internal Server Error' })
    }

    return reply.code(statusCode).send({ detail: message })
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send({ detail: 'Not Found' }))

  // The old server sent a message beside the new access token.
  app.addHook('onSend', async (request, reply, payload) => {
    if (request.routeOptions.url !== '/refresh' || reply.statusCode !== 200) {
      return payload
    }

    const message = 'Token refreshed successfully'
    return JSON.stringify({ ...JSON.parse(String(payload)), message })
  })

  await app.register(tokenAuth, {
    ...optionsFromEnv(), // the keys and the lifetimes
    prefix: '',
    // The paths of the old server, and a logout
    routes: { logoutAll: false, sessions: false, otherSessions: false, session: false, me: false },
    rotation: false, // a refresh returns an access token only
    store: new MemoryStore(),
    users: {
      findByLogin: login => users.get(login) ?? findByEmail(login),
      findById: id => users.get(id)
    },
    clock
  })

  app.put<{ Body: { username: string, email?: string | null, password: string } }>('/register', {
    schema: { body: signUpSchema }
  }, async (request, reply) => {
    const { username, password } = request.body
    const email = request.body.email?.toLowerCase() ?? null
    const passwordHash = await app.tokenAuth.hashPassword(password)

    if (users.has(username)) {
      return reply.code(409).send({ detail: 'Username already registered' })
    }

    if (email !== null && findByEmail(email) !== undefined) {
      return reply.code(409).send({ detail: 'Email already registered' })
    }

    users.set(username, { id: username, username, email, passwordHash })
    return reply.code(201).send({ username, email })
  })

  app.get('/protected', { onRequest: [authenticate] }, async request => ({
    message: `Hello, ${request.auth?.userId}`
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
