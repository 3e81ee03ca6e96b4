// @fastify/jwt: `request.jwtVerify()` in a hook as its README shows it, and the refresh route that people write beside it.

import { randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import {
  createApp,
  keyPair,
  listen,
  protectedWork,
  refreshWork,
  SECRET,
  sessionId,
  userId
} from './contestant.js'
import type { Setup, Started } from './contestant.js'

interface Payload {
  readonly sub: string
  readonly sid?: string
  readonly jti?: string
  readonly type: 'access' | 'refresh'
}

async function createJwtApp ({ alg, cache = false }: Setup): Promise<FastifyInstance> {
  const app = createApp()
  await app.register(fastifyJwt, {
    secret: alg === 'HS256' ? SECRET : pemsOf(alg),
    sign: { algorithm: alg, expiresIn: '24h' },
    verify: { algorithms: [alg], cache }
  })
  return app
}

function pemsOf (alg: 'EdDSA' | 'ES256'): { readonly private: string, readonly public: string } {
  const { privateKey, publicKey } = keyPair(alg)
  return { private: privateKey, public: publicKey }
}

export async function start (setup: Setup): Promise<Started> {
  const app = await createJwtApp(setup)
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
    { length: setup.tokens },
    (_, n) => app.jwt.sign({ sub: userId(n), sid: sessionId(n), type: 'access' })
  )
  return { port, work: protectedWork(tokens) }
}

/** Refresh tokens are single-use by a Map; each token is signed with its own `expiresIn`. */
export async function startRefresh (setup: Setup): Promise<Started> {
  const app = await createJwtApp(setup)
  const users = new Map(
    Array.from({ length: setup.tokens }, (_, n) => [userId(n), { id: userId(n) }])
  )
  const live = new Map<string, { readonly userId: string }>()
  app.post<{ Body: { refresh_token: string } }>('/refresh', async (request, reply) => {
    let payload: Payload

    try {
      payload = app.jwt.verify<Payload>(request.body.refresh_token)
    } catch {
      return reply.code(401).send({ error: 'Invalid refresh token' })
    }

    const { sub, jti = '', type } = payload
    const user = users.get(sub)

    if (type !== 'refresh' || user === undefined || live.get(jti)?.userId !== sub) {
      return reply.code(401).send({ error: 'Invalid refresh token' })
    }

    live.delete(jti)
    const next = randomUUID()
    live.set(next, { userId: sub })
    const accessToken = await reply.jwtSign({ sub, type: 'access' }, { sign: { expiresIn: '15m' } })
    const refreshToken = await reply.jwtSign({ sub, jti: next, type: 'refresh' }, {
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
    live.set(jti, { userId: sub })
    return app.jwt.sign({ sub, jti, type: 'refresh' }, { expiresIn: '7d' })
  })
  return { port, work: refreshWork('/refresh', tokens) }
}
