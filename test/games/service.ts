import { generateKeyPairSync } from 'node:crypto'
import { mock } from 'node:test'
import Fastify from 'fastify'
import type { TokenAuthOptions } from '../../src/index.js'
import { tokenVerifier } from '../../src/verifier/index.js'
import type { Service, World } from './world.js'

const ORIGIN = 'https://auth.example.org'
const parties = { issuer: ORIGIN, audience: 'https://api.example.org' }
const client = { clientId: 'orders', clientSecret: 'Xw3Rk8Tq5Lm2Zv7Nc4Hj9Dg6Ys1Fp0Be' }

/** Options of instances that issue tokens for a service. */
export const issuerOptions: Partial<TokenAuthOptions> = {
  ...parties,
  keys: [generateKeyPairSync('ed25519').privateKey],
  oauth: { clients: [{ ...client, sync: true }] }
}

/** Changes the body of a request to the route `sync`. */
export type ChangeBody = (body: string) => string

/**
 * Starts a service with the option `sync`. Each of its requests reaches the next instance.
 *
 * The service uses the time of the game, because its requests need no network.
 */
export async function startService (
  world: World,
  changeBody: ChangeBody = body => body
): Promise<Service> {
  let requests = 0
  const stub = mock.method(globalThis, 'fetch', async (url: URL | string, init: RequestInit) => {
    const { method, headers, body } = init
    const response = await world.inject(++requests % world.count, {
      method: method === 'POST' ? 'POST' : 'GET',
      url: new URL(url).pathname,
      headers: Object.fromEntries(new Headers(headers)),
      ...typeof body === 'string' && { payload: changeBody(body) }
    })
    return new Response(response.body, { status: response.statusCode })
  })
  const app = Fastify()
  await app.register(tokenVerifier, {
    ...parties,
    jwksUri: `${ORIGIN}/.well-known/jwks.json`,
    sync: { uri: `${ORIGIN}/auth/sync`, ...client },
    clock: Date.now
  })
  app.get('/orders', { onRequest: [app.authenticate] }, async () => 'ok')
  await app.ready()

  return {
    async use (token) {
      const headers = { authorization: `Bearer ${token}` }
      const { statusCode, body } = await app.inject({ url: '/orders', headers })

      // A service that does not work would notice nothing, whatever it reports.
      if (statusCode !== 200 && statusCode !== 401) {
        throw new Error(`service responds with ${statusCode} ${body}`)
      }

      return statusCode
    },
    async close () {
      await app.close()
      stub.mock.restore()
    }
  }
}
