// `npx tsx examples/oauth2-login/index.ts`: login with another provider. It says who somebody is; users and sessions are the
// app's own.
//
//   PORT           3000
//   ORIGIN         http://127.0.0.1:3000, where browsers find this app
//   PROVIDER       http://127.0.0.1:4000, which is provider.ts; one with OpenID Connect Discovery, such as https://accounts.google.com
//   CLIENT_ID      example; what the provider calls this app
//   CLIENT_SECRET  for-the-trial-alone

import { randomUUID } from 'node:crypto'
import fastifyOauth2 from '@fastify/oauth2'
import type { OAuth2Namespace } from '@fastify/oauth2'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { tokenAuth } from 'fastify-token-auth'
import { MemoryStore } from 'fastify-token-auth/memory'
import { secret, startIfMain } from '../shared/trial.js'

declare module 'fastify' {
  interface FastifyInstance {
    provider: OAuth2Namespace
  }
}

export interface Person {
  readonly id: string
  readonly email: string | undefined
  disabled: boolean
}

/** What a provider says of somebody (OpenID Connect Core, section 5.1). */
interface UserInfo {
  readonly sub?: unknown
  readonly email?: string
}

/** By issuer and subject, never by mail address: these change hands. */
export type People = Map<string, Person>

export async function buildApp (
  people: People = new Map(),
  env = process.env
): Promise<FastifyInstance> {
  const {
    ORIGIN: origin = 'http://127.0.0.1:3000',
    PROVIDER: issuer = 'http://127.0.0.1:4000',
    CLIENT_ID: id = 'example',
    CLIENT_SECRET: clientSecret = 'for-the-trial-alone'
  } = env
  const app = Fastify({ logger: true })
  await app.register(fastifyOauth2, {
    name: 'provider',
    discovery: { issuer },
    credentials: { client: { id, secret: clientSecret } },
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
      findById: id => [...people.values()].find(person => person.id === id)
    },
    routes: { login: false },
    refreshToken: { transport: 'cookie' }
  })

  app.get('/login/callback', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const info = await askProvider(request, reply)

    if (typeof info?.sub !== 'string') {
      return reply.code(401).send({ message: 'The provider has not told who you are' })
    }

    const person = findOrAdd(info.sub, info.email)
    // A magic link, a passkey: whatever proves who somebody is ends in this line.
    await app.tokenAuth.openSession(person.id, request, { amr: ['fed'], reply })
    return reply.redirect('/')
  })

  /** `null` for who has not begun here, or was refused there. */
  async function askProvider (
    request: FastifyRequest,
    reply: FastifyReply
  ): Promise<UserInfo | null> {
    try {
      const { token } = await app.provider.getAccessTokenFromAuthorizationCodeFlow(request, reply)
      return await app.provider.userinfo(token.access_token)
    } catch (error) {
      request.log.warn({ cause: (error as Error).message }, 'a login with the provider has failed')
      return null
    }
  }

  function findOrAdd (sub: string, email: string | undefined): Person {
    const key = `${issuer} ${sub}`
    const person = people.get(key) ?? { id: randomUUID(), email, disabled: false }
    people.set(key, person)
    return person
  }

  app.get('/whoami', { onRequest: app.authenticate }, async request => request.auth)

  app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
  return app
}

// What `fastify-token-auth/client` does for a page, in a few lines.
const page = `<!doctype html><title>Login with another provider</title>
<p><a href="/login">Log in</a> <button onclick="fetch('/auth/logout', { method: 'POST' }).then(() => location.reload())">Log out</button>
<pre></pre>
<script type="module">
const response = await fetch('/auth/refresh', { method: 'POST' })
const { access_token: token } = await response.json()
const whoami = token && await fetch('/whoami', { headers: { authorization: 'Bearer ' + token } })
document.querySelector('pre').textContent = token ? JSON.stringify(await whoami.json(), null, 2) : 'Nobody is signed in'
</script>`

await startIfMain(import.meta.url, buildApp)
