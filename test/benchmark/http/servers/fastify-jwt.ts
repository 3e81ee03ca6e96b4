import { randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import {
  createApp,
  createKeyPair,
  createProtectedWorkload,
  createRefreshWorkload,
  createSessionId,
  createUserId,
  listen,
  SECRET
} from './shared.js'
import type { ServerSettings, StartedServer } from './shared.js'

interface Payload {
  readonly sub: string
  readonly sid?: string
  readonly jti?: string
  readonly type: 'access' | 'refresh'
}

async function createJwtApp ({ alg, cache = false }: ServerSettings): Promise<FastifyInstance> {
  const app = createApp()
  await app.register(fastifyJwt, {
    secret: alg === 'HS256' ? SECRET : createPemPair(alg),
    sign: { algorithm: alg, expiresIn: '24h' },
    verify: { algorithms: [alg], cache }
  })
  return app
}

function createPemPair (
  alg: 'EdDSA' | 'ES256'
): { readonly private: string, readonly public: string } {
  const { privateKey, publicKey } = createKeyPair(alg)
  return { private: privateKey, public: publicKey }
}

/** Starts a route with `request.jwtVerify()` in a hook, as the README of @fastify/jwt shows it. */
export async function startProtectedServer (settings: ServerSettings): Promise<StartedServer> {
  const app = await createJwtApp(settings)
  app.get('/protected', {
    async onRequest (request, reply) {
      try {
        await request.jwtVerify()
      } catch (error) {
        reply.send(error)
      }
    }
  }, async request => ({ user: (request.user as Payload).sub }))
  const port = await listen(app)
  const tokens = Array.from(
    { length: settings.tokens },
    (_, n) => app.jwt.sign({ sub: createUserId(n), sid: createSessionId(n), type: 'access' })
  )
  return { port, workload: createProtectedWorkload(tokens) }
}

/**
 * Starts a hand-written refresh route.
 *
 * A Map makes refresh tokens single-use. Each token is signed with an `expiresIn` of its own.
 */
export async function startRefreshServer (settings: ServerSettings): Promise<StartedServer> {
  const app = await createJwtApp(settings)
  const users = new Map(
    Array.from({ length: settings.tokens }, (_, n) => [createUserId(n), { id: createUserId(n) }])
  )
  const unusedTokens = new Map<string, { readonly userId: string }>()
  app.post<{ Body: { refresh_token: string } }>('/refresh', async (request, reply) => {
    let payload: Payload

    try {
      payload = app.jwt.verify<Payload>(request.body.refresh_token)
    } catch {
      return reply.code(401).send({ error: 'Invalid refresh token' })
    }

    const { sub, jti = '', type } = payload
    const user = users.get(sub)

    if (type !== 'refresh' || user === undefined || unusedTokens.get(jti)?.userId !== sub) {
      return reply.code(401).send({ error: 'Invalid refresh token' })
    }

    unusedTokens.delete(jti)
    const nextId = randomUUID()
    unusedTokens.set(nextId, { userId: sub })
    const accessToken = await reply.jwtSign({ sub, type: 'access' }, { sign: { expiresIn: '15m' } })
    const refreshToken = await reply.jwtSign({ sub, jti: nextId, type: 'refresh' }, {
      sign: { expiresIn: '7d' }
    })

    return {
      access_token: accessToken,
      refresh_token: refreshToken,
      token_type: 'bearer',
      expires_in: 900,
      user
    }
  })
  const port = await listen(app)
  const tokens = [...users.keys()].map(sub => {
    const jti = randomUUID()
    unusedTokens.set(jti, { userId: sub })
    return app.jwt.sign({ sub, jti, type: 'refresh' }, { expiresIn: '7d' })
  })
  return { port, workload: createRefreshWorkload('/refresh', tokens) }
}
