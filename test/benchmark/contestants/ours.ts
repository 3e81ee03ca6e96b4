// This package: the protected route, and its own refresh route, as the README sets them up.

import { tokenAuth } from 'fastify-token-auth'
import type { TokenAuthOptions } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import {
  createApp,
  keyPair,
  LIFETIME,
  listen,
  protectedWork,
  refreshWork,
  SECRET,
  userId
} from './contestant.js'
import type { Setup, Started } from './contestant.js'

interface Pair {
  readonly access: string
  readonly refresh: string
}

type Hook = (request: unknown, reply: unknown, done: () => void) => void

const emptyHook: Hook = (_request, _reply, done) => {
  done()
}

async function startApp (
  { alg, tokens, cache }: Setup,
  options: Partial<TokenAuthOptions>,
  hook?: Hook
): Promise<{ readonly port: number, readonly pairs: readonly Pair[] }> {
  const app = createApp()
  const known = new Map(
    Array.from({ length: tokens }, (_, n) => [userId(n), { id: userId(n), passwordHash: '' }])
  )
  await app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: id => known.get(id) ?? null },
    accessToken: { lifetime: LIFETIME, ...(typeof cache === 'number' && { cacheSize: cache }) },
    ...(alg !== 'HS256' &&
      {
        keys: [keyPair(alg).privateKey] as const,
        issuer: 'https://benchmark.test',
        audience: 'benchmark'
      }),
    ...options
  })
  app.get(
    '/protected',
    { onRequest: hook ?? app.authenticate },
    async request => ({ user: request.auth?.userId ?? userId(0) })
  )
  const port = await listen(app)
  const caller = {
    ip: '127.0.0.1',
    headers: { 'user-agent': 'benchmark' },
    raw: { rawHeaders: [] }
  }
  const pairs: Pair[] = []

  for (const id of known.keys()) {
    const { access_token: access, refresh_token: refresh } = await app.tokenAuth.openSession(
      id,
      caller
    )
    pairs.push({ access, refresh: refresh ?? '' })
  }

  return { port, pairs }
}

export async function start (setup: Setup): Promise<Started> {
  const { port, pairs } = await startApp(setup, {})
  return { port, work: protectedWork(pairs.map(({ access }) => access)) }
}

/** The same app and route, and the same tokens, at which nobody looks. */
export async function startUnprotected (setup: Setup): Promise<Started> {
  const { port, pairs } = await startApp(setup, {}, emptyHook)
  return { port, work: protectedWork(pairs.map(({ access }) => access), null) }
}

/** Without a grace, so that each refresh rotates. */
export async function startRefresh (setup: Setup): Promise<Started> {
  const { port, pairs } = await startApp(setup, { refreshToken: { grace: 0 } })
  return { port, work: refreshWork('/auth/refresh', pairs.map(({ refresh }) => refresh)) }
}
