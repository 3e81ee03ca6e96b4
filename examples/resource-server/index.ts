// `npx tsx examples/resource-server/index.ts`: a service that takes the access tokens of the demo. It has no users, no sessions
// and no secret of the demo's.
//
//   ISSUER         http://127.0.0.1:3000, the demo (`npm run demo`)
//   PORT           4000
//   INTROSPECT     the secret of the client "orders": asks the demo about tokens, in place of reading its keys
//   REQUIRE_DPOP   1: refuses tokens that are bound to no key

import Fastify from 'fastify'
import { tokenVerifier } from 'fastify-token-auth/verifier'

declare module 'fastify-token-auth/verifier' {
  interface AuthClaims {
    role?: 'admin' | 'member'
  }
}

const {
  ISSUER: issuer = 'http://127.0.0.1:3000',
  PORT = '4000',
  INTROSPECT: clientSecret,
  REQUIRE_DPOP
} = process.env

const app = Fastify({ logger: true })
await app.register(tokenVerifier, {
  issuer,
  audience: 'demo',
  // A logout at the issuer is known here when the access token ends, or after maxAge.
  ...(clientSecret === undefined
    ? { jwksUri: `${issuer}/.well-known/jwks.json` }
    : {
      introspection: {
        uri: `${issuer}/auth/introspect`,
        clientId: 'orders',
        clientSecret,
        maxAge: '2s'
      }
    }),
  dpop: { required: REQUIRE_DPOP === '1' }
})

const orders = [{ id: 1, of: 'tea' }, { id: 2, of: 'paper' }]

app.get(
  '/orders',
  { onRequest: app.authenticate },
  async request => ({ userId: request.auth?.userId, orders })
)

app.delete(
  '/orders',
  { onRequest: [app.authenticate, app.requireFresh('5m')] },
  async () => 'for who logged in just now'
)

app.get(
  '/report',
  { onRequest: [app.authenticate, app.requireClaims({ role: 'admin' })] },
  async () => 'for admins alone'
)

await app.listen({ port: Number(PORT) })
