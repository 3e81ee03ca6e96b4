// Access tokens that the server renews: npx tsx examples/migrate-from/hybrid-renewal/server.ts
//
//   PORT          3000
//   SECRET_KEY    a public value, for local trials only; other variables: see the README

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, defineUsers, optionsFromEnv, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../../shared/secret.js'
import { startIfMain } from '../../shared/start.js'

interface User {
  readonly id: number
  readonly email: string
  readonly firstName: string
  readonly lastName: string
  readonly emailVerified: boolean
  readonly passwordHash: string
  readonly disabled?: boolean
}

/** Builds the app. Tests pass their own users and clock. */
export async function buildApp (
  { users = new Map<string, User>(), logger = true, clock = Date.now } = {}
): Promise<FastifyInstance> {
  const app = Fastify({ logger })
  const { env } = process
  const minutes = env.ACCESS_TOKEN_EXPIRE_MINUTES || '1440'
  const days = env.REFRESH_TOKEN_EXPIRE_DAYS || '30'
  const settings = {
    ...env,
    SECRET_KEY: env.SECRET_KEY || secret,
    ACCESS_TOKEN_EXPIRE_MINUTES: minutes,
    REFRESH_TOKEN_EXPIRE_DAYS: days
  }
  const hasRefreshTokens = optionsFromEnv(settings).refreshToken !== false

  // `refreshToken: false` would end each session with its first access token. Here, the server
  // renews the access tokens of clients that get no refresh token.
  if (!hasRefreshTokens) {
    app.addHook('onSend', async (request, reply, payload) => {
      if (request.routeOptions.url !== '/api/login' || reply.statusCode !== 200) {
        return payload
      }

      const { refresh_token: _, ...body } = JSON.parse(String(payload))
      return JSON.stringify(body)
    })
  }

  await app.register(tokenAuth, {
    ...optionsFromEnv({ ...settings, REFRESH_TOKEN_ENABLED: 'true' }),
    prefix: '/api',
    // The routes login, refresh, logout and me stay enabled.
    routes: {
      ...(!hasRefreshTokens && { refresh: false }),
      logoutAll: false,
      sessions: false,
      otherSessions: false,
      session: false
    },
    accessToken: {
      lifetime: `${Number(minutes)}m`,
      renewWithin: Math.min(2 * 60 * 60, Number(minutes) * 30) // seconds: sends X-New-Token
    },
    rotation: false,
    store: new MemoryStore(),
    users: defineUsers({
      parseId: Number,
      findByLogin: email => users.get(email.toLowerCase()),
      findById: id => [...users.values()].find(user => user.id === id),
      // The member `user` of login responses, and the response of `/api/me`
      present: ({ id, email, firstName, lastName, emailVerified }) => ({
        id,
        email,
        first_name: firstName,
        last_name: lastName,
        email_verified: emailVerified
      })
    }),
    clock
  })
  users.set('ann@example.org', {
    id: 1,
    email: 'ann@example.org',
    firstName: 'Ann',
    lastName: 'Lee',
    emailVerified: true,
    passwordHash: await app.tokenAuth.hashPassword('correct horse')
  })

  app.get('/api/notes', { onRequest: [authenticate] }, async request => ({
    userId: request.auth?.userId,
    notes: []
  }))
  return app
}

await startIfMain(import.meta.url, buildApp)
