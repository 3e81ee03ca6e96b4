// @fastify/session with its own memory store. It writes no session that is unchanged and sends no cookie for it, which is less
// work than its defaults.

import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { createApp, listen, protectedWork, SECRET, userId } from '../contestants/contestant.js'
import type { Setup, Started } from '../contestants/contestant.js'

declare module 'fastify' {
  interface Session {
    user?: string
  }
}

export async function start ({ tokens: count }: Setup): Promise<Started> {
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
      payload: { user: userId(n) }
    })
    cookies.push(String(headers['set-cookie']).split(';')[0] as string)
  }

  return { port, work: { ...protectedWork(cookies), headers: { cookie: '$token' } } }
}
