// Access tokens that the server renews: npx tsx examples/migrate-from/hybrid-renewal/server.ts
//
//   PORT          3000
//   AUTH_SECRET   a public value, for local trials only

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../../shared/secret.js'
import { startIfMain } from '../../shared/start.js'

interface User {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly passwordHash: string
  readonly disabled?: boolean
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })

  await app.register(tokenAuth, {
    secret,
    prefix: '/api',
    // The routes login, refresh, logout and me stay enabled.
    routes: { logoutAll: false, sessions: false, otherSessions: false, session: false },
    accessToken: { lifetime: '1d', renewWithin: '2h' }, // sends X-New-Token
    refreshToken: { lifetime: '30d' },
    rotation: false,
    store: new MemoryStore(),
    users: {
      findByLogin: email => users.get(email.toLowerCase()),
      findById: id => [...users.values()].find(user => user.id === id),
      // The member `user` of login responses, and the response of `/api/me`
      present: user => {
        const { id, email, name } = user as User
        return { id, email, name }
      }
    },
    clock
  })
  const passwordHash = await app.tokenAuth.hashPassword('correct horse')
  users.set('ann@example.org', { id: '1', email: 'ann@example.org', name: 'Ann', passwordHash })

  app.get('/api/notes', { onRequest: [authenticate] }, async request => ({
    userId: request.auth?.userId,
    notes: []
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
