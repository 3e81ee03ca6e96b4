// The smallest server: npx tsx examples/minimal/server.ts
// To copy it, install fastify and fastify-token-auth in a project with "type": "module".
import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'

const ann = { id: '1', username: 'ann', passwordHash: '' }
const app = Fastify({ logger: true })

await app.register(tokenAuth, {
  // The second value is public, and good for local trials only: openssl rand -base64 48
  secret: process.env.AUTH_SECRET ?? 'only-for-local-trials-Vq3xZ8nK1rT6wY0p',
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId
}))

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
