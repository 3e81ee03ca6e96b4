// `npx tsx examples/metrics/app.ts`: an app whose logins, refreshes and store can be watched at GET /metrics.
//
//   PORT            3000
//   AUTH_SECRET     a secret for the trial alone where it is not set
//   REFRESH_GRACE   10s
//   SWEEP_INTERVAL     1h

import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret, startIfMain } from '../shared/trial.js'
import { Gauge } from 'prom-client'
import { collectMetrics } from './metrics.js'
import { timed } from './sources.js'

export async function buildApp (): Promise<FastifyInstance> {
  const { REFRESH_GRACE: grace = '10s', SWEEP_INTERVAL: interval = '1h' } = process.env
  const { registry, observe, stop } = collectMetrics()
  const app = Fastify({ logger: true })
  app.addHook('onClose', async () => {
    stop()
  })

  const ann = { id: 'u-1', username: 'ann', passwordHash: '' }
  await app.register(tokenAuth, {
    secret,
    store: timed(new MemoryStore(), observe),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    refreshToken: { grace },
    sweep: { interval }
  })
  ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')

  const hashes = new Gauge({
    name: 'token_auth_hashes',
    help: 'Passwords that are being hashed, or wait for it',
    labelNames: ['state'],
    registers: [registry],
    collect () {
      for (const [state, count] of Object.entries(app.tokenAuth.hashLoad())) {
        hashes.labels(state).set(count)
      }
    }
  })

  // It says how much is going on: in earnest, listen for it on a port that only the scraper reaches.
  app.get(
    '/metrics',
    async (_request, reply) => reply.type(registry.contentType).send(await registry.metrics())
  )
  return app
}

await startIfMain(import.meta.url, buildApp)
