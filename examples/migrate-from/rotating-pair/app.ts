// A new pair of tokens at each refresh, rows with device and address, and ended rows that are cleaned away every hour.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret, startIfMain } from '../../shared/trial.js'
import { findById } from '../recipe.js'
import type { RecipeOptions, RecipeUser } from '../recipe.js'

export async function buildApp (
  { users = new Map(), logger = true, clock = Date.now }: RecipeOptions<RecipeUser> = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger }) // behind a proxy also `trustProxy`, or every row has the proxy's address

  await app.register(tokenAuth, {
    secret,
    prefix: '/api/v1/auth', // login, refresh, logout and logout/all; sessions and me come with them
    store: new MemoryStore(),
    users: {
      findByLogin: username => users.get(username),
      findById: id => findById(users, id)
    },
    sweep: { interval: '1h' },
    clock
  })
  users.set('ann', {
    id: '1',
    username: 'ann',
    passwordHash: await app.tokenAuth.hashPassword('correct horse')
  })

  app.get(
    '/api/v1/orders',
    { onRequest: app.authenticate },
    async request => ({ orders: [], of: request.auth?.userId })
  )
  return app
}

await startIfMain(import.meta.url, buildApp)
