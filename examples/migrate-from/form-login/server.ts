// Form login in the style of FastAPI: npx tsx examples/migrate-from/form-login/server.ts
//
//   PORT          3000
//   SECRET_KEY    required; REFRESH_SECRET_KEY and the other variables are optional: see the README

import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyError, FastifyInstance } from 'fastify'
import { authenticate, optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { startIfMain } from '../../shared/start.js'

interface User {
  readonly id: string
  readonly username: string
  readonly passwordHash: string
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  const findById = (id: string): User | undefined =>
    [...users.values()].find(user => user.id === id)

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

  await app.register(tokenAuth, {
    ...optionsFromEnv(), // the keys and the lifetimes
    prefix: '',
    // The paths of the old server, and a logout
    routes: { logoutAll: false, sessions: false, otherSessions: false, session: false, me: false },
    rotation: false, // a refresh returns an access token only
    store: new MemoryStore(),
    users: { findByLogin: username => users.get(username), findById },
    clock
  })

  const signUpSchema = {
    type: 'object',
    required: ['username', 'password'],
    properties: {
      username: { type: 'string', minLength: 1, maxLength: 64 },
      password: { type: 'string', minLength: 8, maxLength: 1024 }
    }
  }

  app.put<{ Body: { username: string, password: string } }>('/register', {
    schema: { body: signUpSchema }
  }, async (request, reply) => {
    const { username, password } = request.body
    const passwordHash = await app.tokenAuth.hashPassword(password)

    if (users.has(username)) {
      return reply.code(409).send({ detail: 'Username already registered' })
    }

    const id = randomUUID()
    users.set(username, { id, username, passwordHash })
    return reply.code(201).send({ id, username })
  })

  app.get('/protected', { onRequest: [authenticate] }, async request => ({
    message: `Hello, ${findById(request.auth?.userId ?? '')?.username}`
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
