import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { authenticate, getAuth, tokenAuth } from 'fastify-token-auth'
import type { TokenAuthOptions } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'

const ann = { id: '1', username: 'ann', passwordHash: '' }

/** The API that the pages call. Only the servers that render pages can reach it. */
export async function buildApi (options: Partial<TokenAuthOptions> = {}): Promise<FastifyInstance> {
  // The servers of the pages send the address of the browser.
  const app = Fastify({ trustProxy: '127.0.0.1' })

  await app.register(tokenAuth, {
    secret,
    store: new MemoryStore(),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    // The new cookie may be lost although the page was rendered with the new access token.
    refreshToken: { transport: 'cookie', confirmBy: 'refresh' },
    cookie: {
      accessToken: true, // the server of the pages reads it
      sameSite: 'lax', // a browser sends it when a user follows a link from another site
      secure: process.env.COOKIE_SECURE !== 'false'
    },
    ...options
  })
  ann.passwordHash ||= await app.tokenAuth.hashPassword('correct horse')

  app.get('/api/profile', { onRequest: [authenticate] }, async request => ({
    name: getAuth(request).userId === ann.id ? 'Ann <ann@example.org>' : 'unknown'
  }))
  app.get('/api/orders', { onRequest: [authenticate] }, async () => ['tea', 'cups'])
  app.get('/api/messages', { onRequest: [authenticate] }, async () => ['Your order is ready.'])

  return app
}
