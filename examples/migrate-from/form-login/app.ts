// A login by form, as FastAPI's OAuth2PasswordRequestForm reads it, and a refresh that gives an access token alone; settings
// from the variables that are in the environment already.

import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { signUpBody, startIfMain } from '../../shared/trial.js'
import { answerWithDetail, findById } from '../recipe.js'
import type { RecipeOptions, RecipeUser } from '../recipe.js'

export async function buildApp (
  { users = new Map(), logger = true, clock = Date.now }: RecipeOptions<RecipeUser> = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  answerWithDetail(app)

  await app.register(tokenAuth, {
    ...optionsFromEnv(), // the keys and the lifetimes
    prefix: '',
    routes: { logoutAll: false, sessions: false, otherSessions: false, session: false, me: false }, // the old paths, and a logout
    rotation: false, // the refresh token of the login stays the only one
    store: new MemoryStore(),
    users: {
      findByLogin: username => users.get(username),
      findById: id => findById(users, id)
    },
    clock
  })

  app.put<{ Body: Record<'username' | 'password', string> }>('/register', {
    schema: { body: signUpBody }
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

  app.get('/protected', { onRequest: app.authenticate }, async request => ({
    message: `Hello, ${findById(users, request.auth?.userId ?? '')?.username}`
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
