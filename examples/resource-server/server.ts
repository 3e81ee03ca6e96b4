// A service that verifies the access tokens of the demo: npx tsx examples/resource-server/server.ts
// It has no users, no sessions and no secret of the demo.
//
//   PORT           4000
//   ISSUER         http://127.0.0.1:3000, the demo (npm run demo)
//   INTROSPECT     secret of the client "orders"; asks the issuer instead of reading its key set
//   SYNC           secret of the client "orders"; reads the key set, and learns of logouts
//   REQUIRE_DPOP   1 to reject tokens that are not bound to a key

import { addAbortListener } from 'node:events'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import {
  authenticate,
  follow,
  requireClaims,
  requireFresh,
  tokenVerifier
} from 'fastify-token-auth/verifier'
import { start } from '../shared/start.js'

declare module 'fastify-token-auth/verifier' {
  interface AuthClaims {
    role?: 'admin' | 'member'
  }
}

const {
  PORT = '4000',
  ISSUER: issuer = 'http://127.0.0.1:3000',
  INTROSPECT: clientSecret,
  SYNC: syncSecret,
  REQUIRE_DPOP
} = process.env
const uri = `${issuer}/auth/introspect`
const app = Fastify({ logger: true })

await app.register(tokenVerifier, {
  issuer,
  audience: 'demo',
  ...(clientSecret === undefined
    // Without `sync`, accepts tokens of a revoked session until they expire.
    ? { jwksUri: `${issuer}/.well-known/jwks.json` }
    // Accepts tokens of a revoked session for `maxAge`.
    : { introspection: { uri, clientId: 'orders', clientSecret, maxAge: '2s' } }),
  ...(syncSecret !== undefined && {
    sync: { uri: `${issuer}/auth/sync`, clientId: 'orders', clientSecret: syncSecret }
  }),
  dpop: { required: REQUIRE_DPOP === '1' }
})

app.get('/orders', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  orders: [{ id: 1, item: 'tea' }, { id: 2, item: 'paper' }]
}))

app.delete('/orders', {
  onRequest: [authenticate, requireFresh('5m')]
}, async () => ({ message: 'only for users who logged in within the last 5 minutes' }))

app.get('/events', { onRequest: [authenticate] }, (request, reply) => {
  const { signal, end } = follow(request)
  const stream = new PassThrough()
  stream.write('data: welcome\n\n')
  // Also calls its listener if the session ended before this line.
  addAbortListener(signal, () => {
    stream.end('data: signed out\n\n')
  })
  stream.on('close', end)
  return reply.type('text/event-stream').header('cache-control', 'no-store').send(stream)
})

app.get('/report', {
  onRequest: [authenticate, requireClaims({ role: 'admin' })]
}, async () => ({ message: 'only for admins' }))

await start(app, Number(PORT))
