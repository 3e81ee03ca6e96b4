import Fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readAccessToken, refreshAhead } from './refresh-ahead.js'
import type { Browser, RefreshSettings } from './refresh-ahead.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** `Cookie` header with tokens that the loaders can use. */
    freshCookie: string
  }
}

/** A server that renders pages with data of the API. It has no secret and no store. */
export async function buildPages (settings: RefreshSettings): Promise<FastifyInstance> {
  const app = Fastify({ logger: { level: 'warn' }, trustProxy: '127.0.0.1' })
  const { apiUrl } = settings
  app.decorateRequest('freshCookie', '')

  await app.register(async pages => {
    // The proxy that refreshes ahead: once for each page, before the loaders.
    pages.addHook('onRequest', async (request, reply) => {
      // A cache must neither keep a page of one user nor its new cookies for another one.
      reply.header('cache-control', 'private, no-store')
      const { cookie, setCookies } = await refreshAhead(getBrowser(request), settings)
      request.freshCookie = cookie
      reply.header('set-cookie', [...setCookies])
    })

    pages.get('/', async (request, reply) => {
      reply.type('text/html; charset=utf-8')
      const accessToken = readAccessToken(request.freshCookie)
      return accessToken === null ? renderLogin() : renderHome(apiUrl, accessToken)
    })
  })

  await app.register(addForms, { apiUrl })
  return app
}

/** Forms that work without a script: the API checks the origin, and sets or clears the cookies. */
async function addForms (app: FastifyInstance, { apiUrl }: { apiUrl: string }): Promise<void> {
  const formType = 'application/x-www-form-urlencoded'
  app.addContentTypeParser(formType, { parseAs: 'string' }, (_request, body, done) => {
    done(null, body)
  })

  for (const path of ['login', 'logout']) {
    app.post<{ Body: string | undefined }>(`/${path}`, async (request, reply) => {
      const { cookie, userAgent, address } = getBrowser(request)
      const { origin, 'sec-fetch-site': site } = request.headers
      const response = await fetch(`${apiUrl}/auth/${path}`, {
        method: 'POST',
        headers: {
          cookie,
          'user-agent': userAgent,
          'x-forwarded-for': address,
          'content-type': formType,
          // Without them, any site could log a visitor in or out.
          ...origin !== undefined && { origin },
          ...typeof site === 'string' && { 'sec-fetch-site': site }
        },
        body: path === 'login' ? request.body ?? '' : ''
      })
      await response.body?.cancel()
      reply.header('set-cookie', response.headers.getSetCookie())

      return response.ok
        ? reply.redirect('/', 303)
        : reply.code(response.status).type('text/html; charset=utf-8').send(renderLogin())
    })
  }
}

function getBrowser ({ headers, ip }: FastifyRequest): Browser {
  return { cookie: headers.cookie ?? '', userAgent: headers['user-agent'] ?? '', address: ip }
}

async function renderHome (apiUrl: string, accessToken: string): Promise<string> {
  // Loaders that run at the same time share the tokens, and none of them refreshes.
  const load = async <Data>(path: string): Promise<Data> => {
    const headers = { authorization: `Bearer ${accessToken}` }
    const response = await fetch(`${apiUrl}/api/${path}`, { headers })

    if (!response.ok) {
      const code = response.headers.get('x-auth-error')
      throw Object.assign(new Error(`${path} failed with ${response.status}`), { code })
    }

    return await response.json() as Data
  }

  try {
    const [profile, orders, messages] = await Promise.all([
      load<{ name: string }>('profile'),
      load<string[]>('orders'),
      load<string[]>('messages')
    ])

    return renderPage(`<h1>Hello ${escapeHtml(profile.name)}</h1>
      <ul>${[...orders, ...messages].map(text => `<li>${escapeHtml(text)}</li>`).join('')}</ul>
      <form method="post" action="/logout"><button>Log out</button></form>`)
  } catch (error) {
    // The refresh token is still valid if the access token has only expired.
    if (['AUTH_SESSION_REVOKED', 'AUTH_ACCESS_INVALID'].includes(String(getCode(error)))) {
      return renderLogin()
    }

    throw error
  }
}

function getCode (error: unknown): unknown {
  return (error as { code?: unknown }).code
}

function renderLogin (): string {
  return renderPage(`<h1>Log in</h1>
    <form method="post" action="/login">
      <label>Name <input name="username" autocomplete="username" required></label>
      <label>Password
        <input name="password" type="password" autocomplete="current-password" required></label>
      <button>Log in</button>
    </form>`)
}

function renderPage (body: string): string {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,">
    <title>Server-side rendering</title><body>${body}</body></html>`
}

function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
