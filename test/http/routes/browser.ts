import type { FastifyReply, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

export type Headers = Record<string, string>

export const REFRESH = '__Host-auth-refresh'

export const ACCESS = '__Host-auth-access'

export const sameOrigin = { 'sec-fetch-site': 'same-origin' }

export const asCookie = { 'x-token-transport': 'cookie' }

export const credentials = { username: 'ann', password: PASSWORD }

export const withAccess = { cookie: { accessToken: true } } as const

/** Browser with one page of the app. Saves cookies and sends them. */
export class Browser {
  readonly jar = new Map<string, string>()
  readonly test: TestApp

  constructor (test: TestApp) {
    this.test = test
  }

  get cookie (): string {
    return Array.from(this.jar, ([name, value]) => `${name}=${value}`).join('; ')
  }

  async send (
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    payload?: object | string,
    headers: Headers = {}
  ) {
    const response = await this.test.app.inject({
      method,
      url,
      headers: { ...sameOrigin, ...(this.jar.size > 0 && { cookie: this.cookie }), ...headers },
      ...(payload !== undefined && { payload })
    })

    for (
      const { name, value, maxAge } of response.cookies as Array<
        { name: string, value: string, maxAge?: number }
      >
    ) {
      if (maxAge === 0) {
        this.jar.delete(name)
      } else {
        this.jar.set(name, value)
      }
    }

    return response
  }

  async logIn (more: object = {}): Promise<LightMyRequestResponse> {
    const response = await this.send('POST', '/auth/login', { ...credentials, ...more })

    if (response.statusCode !== 200) {
      throw new Error(`login failed: ${response.body}`)
    }

    return response
  }

  async refresh (): Promise<LightMyRequestResponse> {
    return this.send('POST', '/auth/refresh')
  }

  /** Sends a refresh token that may not be in the jar anymore. */
  async present (
    token: string | undefined,
    url = '/auth/refresh'
  ): Promise<LightMyRequestResponse> {
    return this.test.post(url, undefined, { ...sameOrigin, cookie: `${REFRESH}=${token}` })
  }
}

export async function open (
  t: Test,
  { refreshToken, ...options }: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<Browser> {
  const test = await createTestApp({
    ...given,
    options: { refreshToken: { transport: 'cookie', ...refreshToken }, ...options }
  })
  t.teardown(() => test.app.close())
  return new Browser(test)
}

export function setCookies ({ headers }: LightMyRequestResponse): string[] {
  return [headers['set-cookie'] ?? []].flat()
}

export function assertRejected (
  t: Test,
  response: LightMyRequestResponse,
  statusCode: number,
  code: string
): void {
  t.match({ statusCode: response.statusCode, ...response.json() }, { statusCode, code })
  t.strictSame(
    setCookies(response),
    [],
    'an error takes no cookie back: it may come after a newer login'
  )
}

export async function countSessions (browser: Browser, userId = 'u-ann'): Promise<number> {
  return (await browser.test.app.tokenAuth.listSessions(userId)).length
}

/** Adds `POST /magic`: a login of the app, with cookies if the request asks for them. */
export const magic: TestAppOptions = {
  after: app => {
    interface MagicBody {
      readonly persistent?: boolean
      readonly transport?: 'body' | 'cookie'
      /** Whether the app passes its reply. */
      readonly reply?: boolean
    }

    app.post<{ Body: MagicBody }>('/magic', async (request, reply) => {
      const { reply: hasReply = true, ...options } = request.body
      const given = hasReply ? { reply, ...options } : options
      return app.tokenAuth.openSession('u-ann', request, given as { reply: FastifyReply })
    })
  }
}
