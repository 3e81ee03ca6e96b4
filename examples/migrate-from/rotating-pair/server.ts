// A new pair of tokens with each refresh: npx tsx examples/migrate-from/rotating-pair/server.ts
//
//   PORT          3000
//   SECRET_KEY    a public value, for local trials only; other variables: see the README

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../../shared/secret.js'
import { startIfMain } from '../../shared/start.js'

interface User {
  readonly id: string
  readonly username: string
  readonly passwordHash: string
  readonly disabled?: boolean
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  // Behind a proxy, set `trustProxy` too, or every row has the address of the proxy.
  const app = Fastify({ logger })

  const { env } = process

  await app.register(tokenAuth, {
    ...optionsFromEnv({
      ...env,
      SECRET_KEY: env.SECRET_KEY || secret,
      ACCESS_TOKEN_EXPIRE_MINUTES: env.ACCESS_TOKEN_EXPIRE_MINUTES || '30'
    }),
    prefix: '/api/v1/auth',
    store: new MemoryStore(),
    users: {
      findByLogin: username => users.get(username),
      findById: id => [...users.values()].find(user => user.id === id)
    },
    sweep: { interval: '1h' }, // deletes expired rows
    clock
  })
  const passwordHash = await app.tokenAuth.hashPassword('correct horse')
  users.set('ann', { id: '1', username: 'ann', passwordHash })

  app.get('/api/v1/orders', { onRequest: [authenticate] }, async request => ({
    userId: request.auth?.userId,
    orders: []
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
