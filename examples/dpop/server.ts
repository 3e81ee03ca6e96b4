// Tokens that are bound to a key of the browser (DPoP): npx tsx examples/dpop/server.ts
// Then open http://127.0.0.1:3000 and log in as "ann" with "correct horse".
//
//   PORT            3000
//   COOKIE_SECURE   true; set "false" for Safari, which rejects Secure cookies over http
//   AUTH_SECRET     a public value, for local trials only

import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { serveClientBundle } from '../shared/client-bundle.js'
import { findFreePort } from '../shared/free-port.js'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const port = Number(process.env.PORT ?? 3000) || await findFreePort()
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

await app.register(tokenAuth, {
  secret,
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  // Every login must prove possession of a key (RFC 9449). Tokens are useless without it.
  dpop: { required: true },
  // A proof names the URL of its request. Do not believe the Host header of that request.
  publicUrl: `http://127.0.0.1:${port}`,
  refreshToken: { transport: 'cookie' },
  cookie: { secure: process.env.COOKIE_SECURE !== 'false' }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId
}))

const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
serveClientBundle(app)

await start(app, port)
