// Routes for standard OAuth clients: npx tsx examples/oauth-clients/server.ts
// In a second terminal: npx tsx examples/oauth-clients/client.ts
//
//   PORT            3000
//   CLIENT_SECRET   secret of the client "orders"; a public value, for local trials only
//   AUTH_SECRET     a public value, for local trials only

import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { findFreePort } from '../shared/free-port.js'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'

const { PORT = '3000', CLIENT_SECRET: clientSecret = 'only-for-local-trials-Hx7sQ2mT9bLd4Wn6' } =
  process.env
const port = Number(PORT) || await findFreePort()
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }

await app.register(tokenAuth, {
  secret,
  // OAuth clients find the routes with the metadata below this URL (RFC 8414).
  issuer: `http://127.0.0.1:${port}`,
  oauth: {
    clients: [
      { clientId: 'phone' }, // public: an app cannot keep a secret
      { clientId: 'orders', clientSecret } // confidential: a service, which may introspect tokens
    ]
  },
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  clientId: request.auth?.clientId
}))

await start(app, port)
