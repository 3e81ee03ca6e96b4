import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { fromNodeHeaders } from 'better-auth/node'
import {
  createApp,
  createProtectedWorkload,
  createUserId,
  listen,
  SECRET
} from '../http/servers/shared.js'
import type { ServerSettings, StartedServer } from '../http/servers/shared.js'

type Auth = ReturnType<typeof createAuth>

// Neither password hashing nor rate limits are measured. Without them, thousands of users log in
// fast.
function createAuth (session: {
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

async function signUpUsers (auth: Auth, count: number): Promise<string[]> {
  const cookies: string[] = []

  for (let n = 0; n < count; n++) {
    const { headers } = await auth.api.signUpEmail({
      body: {
        email: `${createUserId(n)}@benchmark.test`,
        password: 'correct horse',
        name: createUserId(n)
      },
      returnHeaders: true
    })
    cookies.push(headers.getSetCookie().map(cookie => cookie.split(';')[0]).join('; '))
  }

  return cookies
}

/**
 * Starts better-auth in Fastify, as its guide shows it, with its memory adapter.
 *
 * `getSession` runs in a hook, and its cookie cache avoids reading the store.
 */
export async function startProtectedServer ({ tokens }: ServerSettings): Promise<StartedServer> {
  const app = createApp()
  const auth = createAuth({ cookieCache: { enabled: true, maxAge: 24 * 3600 } })
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
    workload: {
      ...createProtectedWorkload(await signUpUsers(auth, tokens)),
      headers: { cookie: '$token' }
    }
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    member: string
  }
}

/**
 * Starts the route that is most similar to a refresh.
 *
 * It extends the session and renews the cookies, but does not rotate the token.
 */
export async function startRefreshServer ({ tokens }: ServerSettings): Promise<StartedServer> {
  const app = createApp()
  const auth = createAuth({ updateAge: 0, cookieCache: { enabled: true, maxAge: 300 } })
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
    workload: {
      method: 'GET',
      path: '/api/auth/get-session?disableCookieCache=true',
      headers: { cookie: '$token' },
      tokens: await signUpUsers(auth, tokens),
      expected: '"expiresAt":"',
      rejectionStatus: null
    }
  }
}
