import { tokenAuth } from 'fastify-token-auth'
import type { TokenAuthOptions } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import {
  createApp,
  createKeyPair,
  createProtectedWorkload,
  createRefreshWorkload,
  createUserId,
  LIFETIME,
  listen,
  SECRET
} from './shared.js'
import type { ServerSettings, StartedServer } from './shared.js'

interface TokenPair {
  readonly accessToken: string
  readonly refreshToken: string
}

type Hook = (request: unknown, reply: unknown, done: () => void) => void

const emptyHook: Hook = (_request, _reply, done) => {
  done()
}

async function startApp (
  { alg, tokens, cache }: ServerSettings,
  options: Partial<TokenAuthOptions>,
  hook?: Hook
): Promise<{ readonly port: number, readonly pairs: readonly TokenPair[] }> {
  const app = createApp()
  const users = new Map(
    Array.from({ length: tokens }, (_, n) => {
      const id = createUserId(n)
      return [id, { id, passwordHash: '' }]
    })
  )
  await app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: id => users.get(id) ?? null },
    accessToken: { lifetime: LIFETIME, ...(typeof cache === 'number' && { cacheSize: cache }) },
    ...(alg !== 'HS256' &&
      {
        keys: [createKeyPair(alg).privateKey] as const,
        issuer: 'https://benchmark.test',
        audience: 'benchmark'
      }),
    ...options
  })
  app.get('/protected', { onRequest: [hook ?? app.authenticate] }, async request => ({
    user: request.auth?.userId ?? createUserId(0)
  }))
  const port = await listen(app)
  const request = {
    ip: '127.0.0.1',
    headers: { 'user-agent': 'benchmark' },
    raw: { rawHeaders: [] }
  }
  const pairs: TokenPair[] = []

  for (const id of users.keys()) {
    const { access_token: accessToken, refresh_token: refreshToken = '' } = await app.tokenAuth
      .openSession(id, request)
    pairs.push({ accessToken, refreshToken })
  }

  return { port, pairs }
}

/** Starts a route with the hook `app.authenticate`. */
export async function startProtectedServer (settings: ServerSettings): Promise<StartedServer> {
  const { port, pairs } = await startApp(settings, {})
  const tokens = pairs.map(({ accessToken }) => accessToken)
  return { port, workload: createProtectedWorkload(tokens) }
}

/** Starts the same app with an empty hook, which does not read the tokens. */
export async function startUnprotectedServer (settings: ServerSettings): Promise<StartedServer> {
  const { port, pairs } = await startApp(settings, {}, emptyHook)
  const tokens = pairs.map(({ accessToken }) => accessToken)
  return { port, workload: createProtectedWorkload(tokens, null) }
}

/** Starts the refresh route of the plugin without a grace period, so that each refresh rotates. */
export async function startRefreshServer (settings: ServerSettings): Promise<StartedServer> {
  const { port, pairs } = await startApp(settings, { refreshToken: { grace: 0 } })
  const tokens = pairs.map(({ refreshToken }) => refreshToken)
  return { port, workload: createRefreshWorkload('/auth/refresh', tokens) }
}
