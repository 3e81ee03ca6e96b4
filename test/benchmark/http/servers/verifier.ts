import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { getAuth, tokenVerifier } from 'fastify-token-auth/verifier'
import {
  createApp,
  createKeyPair,
  createProtectedWorkload,
  createUserId,
  LIFETIME,
  listen,
  SECRET
} from './shared.js'
import type { ServerSettings, StartedServer } from './shared.js'

const ISSUER = 'https://benchmark.test'
const AUDIENCE = 'benchmark'
const CLIENT = { clientId: 'service', clientSecret: SECRET }

/** Starts an issuer with the route `sync`. Its share of the CPU time is one request a second. */
async function startIssuer (
  tokens: number
): Promise<{ readonly url: string, readonly accessTokens: readonly string[] }> {
  const app = createApp()
  await app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: id => ({ id, passwordHash: '' }) },
    accessToken: { lifetime: LIFETIME },
    keys: [createKeyPair('EdDSA').privateKey],
    issuer: ISSUER,
    audience: AUDIENCE,
    oauth: { clients: [{ ...CLIENT, sync: true }] }
  })
  const url = `http://127.0.0.1:${await listen(app)}`
  const accessTokens: string[] = []

  for (let n = 0; n < tokens; n++) {
    const origin = { ip: '127.0.0.1', headers: { 'user-agent': 'benchmark' } }
    accessTokens.push((await app.tokenAuth.openSession(createUserId(n), origin)).access_token)
  }

  return { url, accessTokens }
}

async function startService (tokens: number, hasSync: boolean): Promise<StartedServer> {
  const { url, accessTokens } = await startIssuer(tokens)
  const app = createApp()
  await app.register(tokenVerifier, {
    jwksUri: `${url}/.well-known/jwks.json`,
    issuer: ISSUER,
    audience: AUDIENCE,
    ...(hasSync && { sync: { uri: `${url}/auth/sync`, ...CLIENT } })
  })
  app.get('/protected', { onRequest: [authenticate] }, async request => ({
    user: getAuth(request).userId
  }))
  return { port: await listen(app), workload: createProtectedWorkload(accessTokens) }
}

/** Starts a service that verifies tokens with the key set of its issuer. */
export async function startVerifier ({ tokens }: ServerSettings): Promise<StartedServer> {
  return startService(tokens, false)
}

/** Starts the same service, which exchanges revocations and used generations with its issuer. */
export async function startVerifierWithSync ({ tokens }: ServerSettings): Promise<StartedServer> {
  return startService(tokens, true)
}
