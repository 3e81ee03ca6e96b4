// A login by email whose access token is good for a day and renews itself in the last two hours of it, beside a refresh token
// that stays what it is for a month.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret, startIfMain } from '../../shared/trial.js'
import { findById } from '../recipe.js'
import type { RecipeOptions } from '../recipe.js'

interface User {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly passwordHash: string
  readonly disabled?: boolean
}

export async function buildApp (
  { users = new Map(), logger = true, clock = Date.now }: RecipeOptions<User> = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })

  await app.register(tokenAuth, {
    secret,
    prefix: '/api', // login, refresh, logout and me
    routes: { logoutAll: false, sessions: false, otherSessions: false, session: false },
    accessToken: { lifetime: '1d', renewWithin: '2h' }, // X-New-Token
    refreshToken: { lifetime: '30d' },
    rotation: false,
    store: new MemoryStore(),
    users: {
      findByLogin: email => users.get(email.toLowerCase()),
      findById: id => findById(users, id),
      present: user => { // `user` in the answer to a login, and all of the answer of me
        const { id, email, name } = user as User
        return { id, email, name }
      }
    },
    clock
  })
  const passwordHash = await app.tokenAuth.hashPassword('correct horse')
  users.set('ann@example.org', { id: '1', email: 'ann@example.org', name: 'Ann', passwordHash })

  app.get(
    '/api/notes',
    { onRequest: app.authenticate },
    async request => ({ notes: [], of: request.auth?.userId })
  )
  return app
}

await startIfMain(import.meta.url, buildApp)
