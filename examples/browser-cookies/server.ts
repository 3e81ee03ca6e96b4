// Login with HttpOnly cookies: npx tsx examples/browser-cookies/server.ts
// Then open http://127.0.0.1:3000 and log in as "ann" with "correct horse".
//
//   PORT            3000
//   COOKIE_SECURE   true; set "false" for Safari, which rejects Secure cookies over http
//   AUTH_SECRET     a public value, for local trials only

import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

await app.register(tokenAuth, {
  secret,
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  refreshToken: { transport: 'cookie' },
  // The access token travels in a second cookie, so that no response body contains a token.
  cookie: { accessToken: true, secure: process.env.COOKIE_SECURE !== 'false' }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId
}))

const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))

await start(app)
