import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { startDemoProcess } from '../../helpers/demo-process.js'

export const ISSUER = 'https://auth.example.org'
export const CLIENT_SECRET = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
/** Clients: `phone` and `pad` are public, `orders` and `stock` are confidential. */
export const clients = [
  { clientId: 'phone' },
  { clientId: 'pad' },
  { clientId: 'orders', clientSecret: CLIENT_SECRET },
  { clientId: 'stock', clientSecret: `${CLIENT_SECRET}-2` }
]

export type Form = Readonly<Record<string, string>>
export type Headers = Readonly<Record<string, string>>

export interface OAuthApp extends TestApp {
  /** Posts a form. */
  send(path: string, form: Form | string, headers?: Headers): Promise<LightMyRequestResponse>
  /** Opens a session of a client or of the app itself. */
  signIn(
    clientId?: string | null,
    username?: string
  ): Promise<{ readonly access: string, readonly refresh: string }>
  /** Calls the token endpoint as the client `phone`, unless the form names another one. */
  refreshAs(refreshToken: string, form?: Form): Promise<LightMyRequestResponse>
}

export async function createOAuthApp (t: Test, given: TestAppOptions = {}): Promise<OAuthApp> {
  const test = await createTestApp({
    ...given,
    options: { issuer: ISSUER, audience: 'api', oauth: { clients }, ...given.options }
  })
  t.teardown(() => test.app.close())
  const send: OAuthApp['send'] = async (url, form, headers = {}) =>
    test.app.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
      payload: typeof form === 'string' ? form : new URLSearchParams(form).toString()
    })

  return {
    ...test,
    send,
    async signIn (clientId = 'phone', username = 'ann') {
      const { clientSecret = '' } = clients.find(client => client.clientId === clientId) ?? {}
      // Drops empty parameters.
      const form = {
        username,
        password: PASSWORD,
        client_id: clientId ?? '',
        client_secret: clientSecret
      }
      const response = await send('/auth/login', form)
      const { access_token: access, refresh_token: refresh = '' } = response.json<TokenResponse>()
      return { access, refresh }
    },
    refreshAs: async (token, form) =>
      send('/auth/token', {
        grant_type: 'refresh_token',
        client_id: 'phone',
        refresh_token: token,
        ...form
      })
  }
}

/** Creates the header of HTTP Basic. Both parts are form-encoded (RFC 6749, section 2.3.1). */
export function basic (id: string, secret: string): Headers {
  const [encodedId, encodedSecret] = [id, secret].map(text =>
    new URLSearchParams({ '': text }).toString().slice(1)
  )

  return {
    authorization: `Basic ${Buffer.from(`${encodedId}:${encodedSecret}`).toString('base64')}`
  }
}

export function decodeClaims (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >
}

export interface Demo {
  readonly url: string
  /** Creates a user and returns the name. */
  register(): Promise<string>
  login(username: string, members?: object, headers?: Headers): Promise<TokenResponse>
  protected(headers: Headers): Promise<Response>
}

export async function startDemo (t: Test): Promise<Demo> {
  const { url } = await startDemoProcess(t, { CLIENT_SECRET, REFRESH_GRACE: '0s' })

  const ask = async (
    method: string,
    path: string,
    body: object,
    headers: Headers = {}
  ): Promise<Response> => {
    const response = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })

    if (!response.ok) {
      throw new Error(`${path}: ${response.status} ${await response.text()}`)
    }

    return response
  }

  let count = 0

  return {
    url,
    async register () {
      const username = `user ${++count}`
      await ask('PUT', '/register', { username, password: PASSWORD })
      return username
    },
    login: async (username, members, headers) =>
      await (await ask(
        'POST',
        '/auth/login',
        { username, password: PASSWORD, ...members },
        headers
      )).json() as TokenResponse,
    protected: async headers => fetch(`${url}/protected`, { headers })
  }
}

/** Checks what all errors have in common (RFC 6749, section 5.2). */
export function assertRejected (
  t: Test,
  response: LightMyRequestResponse,
  status: number,
  error: string,
  what = error
): void {
  t.equal(response.statusCode, status, `${what}: ${status}`)
  t.match(response.headers['content-type'], /^application\/json/, what)
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' }, what)
  const body = response.json<Record<string, string>>()
  t.strictSame(Object.keys(body), ['error', 'error_description'], what)
  t.equal(body.error, error, what)
  t.match(body.error_description, /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/, what)
  t.equal(
    response.headers['www-authenticate'],
    status === 401 ? 'Basic realm="auth"' : undefined,
    what
  )
}
