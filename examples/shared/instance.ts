// One instance of an app: the same for every store.

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import type { RevocationSubscriber, TokenStore } from 'fastify-token-auth'
import { secret } from './trial.js'

export interface InstanceParts {
  readonly store: TokenStore
  /** How a logout elsewhere is heard of sooner than by the next poll, a second later at most. */
  readonly subscribe?: RevocationSubscriber
  /** Ends the connections. */
  readonly close: () => Promise<unknown>
}

export async function startInstance (
  { store, subscribe, close }: InstanceParts
): Promise<FastifyInstance> {
  const app = Fastify()
  app.addHook('onClose', async () => {
    await close()
  })
  const ann = { id: '1', username: 'ann', passwordHash: '' }
  await app.register(tokenAuth, {
    // Every instance has the same.
    secret,
    store,
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    revocations: subscribe === undefined ? {} : { subscribe }
  })
  ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')
  app.get('/protected', { onRequest: app.authenticate }, async request => ({
    hello: request.auth?.userId,
    from: `process ${process.pid}`
  }))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  process.send?.(url)
  process.once('SIGTERM', () => {
    void app.close().then(() => process.exit())
  })
  return app
}
