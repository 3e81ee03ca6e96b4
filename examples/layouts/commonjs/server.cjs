// A server in CommonJS: node examples/layouts/commonjs/server.cjs
'use strict'

const Fastify = require('fastify')
const { authenticate, tokenAuth } = require('fastify-token-auth')
const { MemoryStore } = require('fastify-token-auth/memory')

const ann = { id: '1', username: 'ann', passwordHash: '' }
const app = Fastify({ logger: true })

app.register(tokenAuth, {
  secret: process.env.AUTH_SECRET,
  store: new MemoryStore(),
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  }
})
app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth.userId
}))

async function main () {
  await app.ready()
  ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')
  await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) })
}

main()
