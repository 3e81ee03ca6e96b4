import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import fp from 'fastify-plugin'
import { secret } from '../../../shared/secret.js'

// Without fastify-plugin, the routes of other files would be outside of the scope of tokenAuth.
export default fp(async app => {
  const ann = { id: '1', username: 'ann', passwordHash: '' }
  await app.register(tokenAuth, {
    secret,
    store: new MemoryStore(),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    }
  })
  ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')
}, { name: 'auth' })
