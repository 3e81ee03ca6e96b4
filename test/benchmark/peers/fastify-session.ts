import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import {
  createApp,
  createProtectedWorkload,
  createUserId,
  listen,
  SECRET
} from '../http/servers/shared.js'
import type { ServerSettings, StartedServer } from '../http/servers/shared.js'

declare module 'fastify' {
  interface Session {
    user?: string
  }
}

/**
 * Starts @fastify/session with its memory store.
 *
 * It neither saves unchanged sessions nor sends a cookie for them, which is faster than its
 * defaults.
 */
export async function startProtectedServer (
  { tokens: count }: ServerSettings
): Promise<StartedServer> {
  const app = createApp()
  await app.register(fastifyCookie)
  await app.register(fastifySession, {
    secret: SECRET,
    cookie: { secure: false },
    saveUninitialized: false,
    rolling: false
  })
  app.post<{ Body: { user: string } }>('/login', async request => {
    request.session.user = request.body.user
    return {}
  })
  app.get('/protected', {
    onRequest: (request, reply, done) => {
      if (request.session.user === undefined) {
        reply.code(401).send({ error: 'Unauthorized' })
      } else {
        done()
      }
    }
  }, async request => ({ user: request.session.user }))
  const port = await listen(app)
  const cookies: string[] = []

  for (let n = 0; n < count; n++) {
    const { headers } = await app.inject({
      method: 'POST',
      url: '/login',
      payload: { user: createUserId(n) }
    })
    cookies.push(String(headers['set-cookie']).split(';')[0] as string)
  }

  const workload = { ...createProtectedWorkload(cookies), headers: { cookie: '$token' } }
  return { port, workload }
}
