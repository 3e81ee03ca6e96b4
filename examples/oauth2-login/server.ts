// Login with another provider: npx tsx examples/oauth2-login/server.ts
//
//   PORT            3000
//   ORIGIN          http://127.0.0.1:3000, the origin of this app in the browser
//   PROVIDER        http://127.0.0.1:4000, the provider.ts beside this file; any issuer with
//                   OpenID Connect Discovery, for example https://accounts.google.com
//   CLIENT_ID       example, the id of this app at the provider
//   CLIENT_SECRET   only-for-local-trials
//   AUTH_SECRET     a public value, for local trials only

import { randomUUID } from 'node:crypto'
import fastifyOauth2 from '@fastify/oauth2'
import type { OAuth2Namespace } from '@fastify/oauth2'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret } from '../shared/secret.js'
import { startIfMain } from '../shared/start.js'

declare module 'fastify' {
  interface FastifyInstance {
    provider: OAuth2Namespace
  }
}

interface User {
  readonly id: string
  readonly email: string | undefined
  disabled: boolean
}

/** The claims of a user that this app reads (OpenID Connect Core, section 5.1). */
interface UserInfo {
  readonly sub?: unknown
  readonly email?: string
}

/**
 * Builds the app. Tests pass their own users and environment.
 *
 * @param users By issuer and subject, because an e-mail address can pass to another person.
 */
export async function buildApp (
  users = new Map<string, User>(),
  env = process.env
): Promise<FastifyInstance> {
  const {
    ORIGIN: origin = 'http://127.0.0.1:3000',
    PROVIDER: issuer = 'http://127.0.0.1:4000',
    CLIENT_ID: clientId = 'example',
    CLIENT_SECRET: clientSecret = 'only-for-local-trials'
  } = env
  const app = Fastify({ logger: true })

  await app.register(fastifyOauth2, {
    name: 'provider',
    discovery: { issuer },
    credentials: { client: { id: clientId, secret: clientSecret } },
    scope: ['openid', 'email'],
    pkce: 'S256',
    startRedirectPath: '/login',
    callbackUri: `${origin}/login/callback`,
    hostPrefixedCookies: true
  })
  await app.register(tokenAuth, {
    secret,
    store: new MemoryStore(),
    users: {
      findByLogin: () => null,
      findById: id => [...users.values()].find(user => user.id === id)
    },
    routes: { login: false },
    refreshToken: { transport: 'cookie' }
  })

  app.get('/login/callback', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const info = await readUserInfo(request, reply)

    if (typeof info?.sub !== 'string') {
      return reply.code(401).send({ message: 'Login with the provider failed' })
    }

    const user = findOrCreateUser(info.sub, info.email)
    // Every other way to authenticate a user ends in the same call.
    await app.tokenAuth.openSession(user.id, request, { amr: ['fed'], reply })
    return reply.redirect('/')
  })

  /** Returns `null` if another browser started the login, or the provider rejected it. */
  async function readUserInfo (
    request: FastifyRequest,
    reply: FastifyReply
  ): Promise<UserInfo | null> {
    try {
      const { token } = await app.provider.getAccessTokenFromAuthorizationCodeFlow(request, reply)
      return await app.provider.userinfo(token.access_token)
    } catch (error) {
      request.log.warn({ cause: (error as Error).message }, 'login with the provider failed')
      return null
    }
  }

  function findOrCreateUser (sub: string, email: string | undefined): User {
    const key = `${issuer} ${sub}`
    const user = users.get(key) ?? { id: randomUUID(), email, disabled: false }
    users.set(key, user)
    return user
  }

  app.get('/whoami', { onRequest: [authenticate] }, async request => request.auth)
  app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
  return app
}

// A real page uses `fastify-token-auth/client` instead of these calls.
const page = `<!doctype html>
<html lang="en">
<title>Login with another provider</title>
<p><a href="/login">Log in</a> <button>Log out</button></p>
<pre></pre>
<script type="module">
  document.querySelector('button').addEventListener('click', async () => {
    await fetch('/auth/logout', { method: 'POST' })
    location.reload()
  })

  const refreshed = await fetch('/auth/refresh', { method: 'POST' })
  const { access_token: token } = await refreshed.json()

  if (token) {
    const response = await fetch('/whoami', { headers: { authorization: 'Bearer ' + token } })
    document.querySelector('pre').textContent = JSON.stringify(await response.json(), null, 2)
  } else {
    document.querySelector('pre').textContent = 'Signed out'
  }
</script>
</html>`

await startIfMain(import.meta.url, buildApp)
