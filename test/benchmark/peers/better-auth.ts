// better-auth in Fastify, as its guide for Fastify mounts it, on its memory adapter.

import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { fromNodeHeaders } from 'better-auth/node'
import { createApp, listen, protectedWork, SECRET, userId } from '../contestants/contestant.js'
import type { Setup, Started } from '../contestants/contestant.js'

type Auth = ReturnType<typeof create>

// Passwords are not what is measured: they cost nothing here, so that thousands can log in. Nor is its limit of requests.
function create (session: {
  readonly updateAge?: number
  readonly cookieCache: { readonly enabled: true, readonly maxAge: number }
}) {
  return betterAuth({
    baseURL: 'http://127.0.0.1',
    secret: SECRET,
    database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
    emailAndPassword: {
      enabled: true,
      password: {
        hash: async password => password,
        verify: async ({ hash, password }) => hash === password
      }
    },
    session,
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true }
  })
}

async function logIn (auth: Auth, count: number): Promise<string[]> {
  const cookies: string[] = []

  for (let n = 0; n < count; n++) {
    const { headers } = await auth.api.signUpEmail({
      body: { email: `${userId(n)}@benchmark.test`, password: 'correct horse', name: userId(n) },
      returnHeaders: true
    })
    cookies.push(headers.getSetCookie().map(cookie => cookie.split(';')[0]).join('; '))
  }

  return cookies
}

/** `getSession` in a hook, with its cookie cache: the store is not asked. */
export async function start ({ tokens }: Setup): Promise<Started> {
  const app = createApp()
  const auth = create({ cookieCache: { enabled: true, maxAge: 24 * 3600 } })
  app.decorateRequest('member', '')
  app.get('/protected', {
    async onRequest (request, reply) {
      const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) })

      if (session === null) {
        return reply.code(401).send({ error: 'Unauthorized' })
      }

      request.member = session.user.name
    }
  }, async request => ({ user: request.member }))
  const port = await listen(app)

  return {
    port,
    work: { ...protectedWork(await logIn(auth, tokens)), headers: { cookie: '$token' } }
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    member: string
  }
}

/** What comes closest to a refresh: its session is prolonged, and its cookies are written anew. Its token stays the same. */
export async function startRefresh ({ tokens }: Setup): Promise<Started> {
  const app = createApp()
  const auth = create({ updateAge: 0, cookieCache: { enabled: true, maxAge: 300 } })
  app.route({
    method: ['GET', 'POST'],
    url: '/api/auth/*',
    async handler (request, reply) {
      const url = new URL(request.url, `http://${request.headers.host}`)
      const response = await auth.handler(
        new Request(url, {
          method: request.method,
          headers: fromNodeHeaders(request.headers),
          ...(request.body === undefined || request.body === null
            ? {}
            : { body: JSON.stringify(request.body) })
        })
      )
      reply.status(response.status)
      response.headers.forEach((value, name) => reply.header(name, value))
      return reply.send(response.body === null ? null : await response.text())
    }
  })
  const port = await listen(app)

  return {
    port,
    work: {
      method: 'GET',
      path: '/api/auth/get-session?disableCookieCache=true',
      headers: { cookie: '$token' },
      tokens: await logIn(auth, tokens),
      proof: '"expiresAt":"',
      refusal: null
    }
  }
}
