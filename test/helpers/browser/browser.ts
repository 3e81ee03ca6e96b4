import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import { chromium } from 'playwright-core'
import type { BrowserContext, Cookie, Frame, Page } from 'playwright-core'
import { createTestApp } from '../app.js'
import type { TestApp, TestAppOptions } from '../app.js'
import { createCertificate } from './certificate.js'

/**
 * Host of the app, another host of the same site, and a host of another site.
 *
 * All names resolve to this machine. Chromium decides by name which cookies a request has.
 */
export const hosts = {
  app: 'app.site.test',
  sibling: 'evil.site.test',
  otherSite: 'other.test'
} as const

interface Teardown {
  teardown(end: () => unknown): unknown
}

const executablePath = findChromium()
const tls = createCertificate()

/**
 * Returns the reason to skip tests in Chromium; `false` if it is installed.
 *
 * @throws Error on CI, which must have Chromium
 */
export function getSkipReason (): string | false {
  if (executablePath !== '') {
    return false
  }

  const reason = 'Chromium is not installed: apt-get install chromium, or set CHROMIUM_PATH'

  if (process.env.CI !== undefined) {
    throw new Error(reason)
  }

  return reason
}

function findChromium (): string {
  if (process.env.CHROMIUM_PATH !== undefined) {
    return process.env.CHROMIUM_PATH
  }

  try {
    return execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

const CHROMIUM_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP * 127.0.0.1',
  '--ignore-certificate-errors'
]

/**
 * Starts Chromium with a profile, by default a new one.
 *
 * Other contexts of Playwright are private windows, which block the cookies of other sites.
 */
export async function startBrowser (t: Teardown, profile?: string): Promise<BrowserContext> {
  const folder = profile ?? createProfile(t)
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath,
    headless: true,
    args: CHROMIUM_FLAGS
  })
  t.teardown(() => browser.close())
  return browser
}

/** Creates the folder of a profile, which is deleted after the test. */
export function createProfile (t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-browser-'))

  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }

  t.teardown(remove)
  process.once('exit', remove)
  // 0 allows cookies in requests to other sites. Debian's Chromium 156 blocks them by default.
  mkdirSync(join(folder, 'Default'))
  writeFileSync(
    join(folder, 'Default', 'Preferences'),
    JSON.stringify({ profile: { cookie_controls_mode: 0 } })
  )
  return folder
}

/** Actions of a page. Those that wait resolve to a `PageResponse`. */
const pageScript = `
const summarize = async response => ({
  status: response.status,
  body: await response.text(),
  newToken: response.headers.get('x-new-token')
})
const send = (url, init) =>
  fetch(url, { credentials: 'include', ...init }).then(summarize, error => error.name)
const post = (url, init) => send(url, { method: 'POST', ...init })
const encode = body => body && new URLSearchParams(body)
globalThis.actions = {
  json: (url, body, headers) => post(url, {
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body)
  }),
  get: (url, headers) => send(url, { headers }),
  simple: (url, body) => post(url, { mode: 'no-cors', body: encode(body) }),
  text: (url, body) => post(url, { mode: 'no-cors', body: JSON.stringify(body ?? {}) }),
  beacon: (url, body) => navigator.sendBeacon(url, encode(body)),
  image: url => new Promise(resolve => {
    Object.assign(new Image(), { onload: resolve, onerror: resolve, src: url })
  }),
  form (action, body) {
    const form = document.createElement('form')
    Object.assign(form, { method: 'POST', action, target: '_top' })
    for (const [name, value] of Object.entries(body ?? {})) {
      form.append(Object.assign(document.createElement('input'), { name, value }))
    }
    document.body.append(form)
    form.submit()
  },
  link (href) {
    const link = Object.assign(document.createElement('a'), { href })
    document.body.append(link)
    link.click()
  },
  socket: url => new Promise(resolve => {
    Object.assign(new WebSocket(url), {
      onmessage: ({ data }) => resolve(data),
      onerror: () => resolve('refused')
    })
  })
}`

/** HTML of a page with the actions of {@link perform}. */
export const blankPage = `<!doctype html><link rel="icon" href="data:,"><title>page</title><body>
<script>${pageScript}</script>`

/** Response as a page sees it; the name of the error if the browser hides the response. */
export type PageResponse = {
  readonly status: number
  readonly body: string
  readonly newToken: string | null
} | string

/** Performs one of the actions of a page. */
export function perform<Result = PageResponse> (
  page: Page | Frame,
  name: string,
  ...args: unknown[]
): Promise<Result> {
  return page.evaluate<Result>(`actions[${JSON.stringify(name)}](...${JSON.stringify(args)})`)
}

/** Submits a form, and waits for the next page if the response has one. */
export async function submitForm (page: Page, url: string, body: object): Promise<void> {
  const response = page.waitForResponse(url)
  await perform(page, 'form', url, body)

  if ((await response).status() !== 204) {
    await page.waitForURL(url)
  }
}

/** Returns the cookies that the browser would send with a refresh, by name. */
export async function getCookies (
  context: BrowserContext,
  { origin }: Pick<BrowserApp, 'origin'>
): Promise<Record<string, Cookie>> {
  const cookies = await context.cookies(`${origin}/auth/refresh`)
  return Object.fromEntries(cookies.map(cookie => [cookie.name, cookie]))
}

/**
 * Serves a blank page under any host name; `?set-cookie=` sets a cookie, each character as a byte.
 *
 * @returns A function that returns the origin of a host.
 */
export async function servePages (t: Teardown): Promise<(host: string) => string> {
  const server = createServer(tls, ({ url = '' }, response) => {
    const cookies = new URL(url, 'https://localhost').searchParams.getAll('set-cookie')

    if (cookies.length > 0) {
      response.setHeader('set-cookie', cookies)
    }

    response.setHeader('content-type', 'text/html')
    // Node would send a string together with the headers, in the encoding of the body.
    response.end(Buffer.from(blankPage))
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return host => `https://${host}:${port}`
}

/** Request as the server received it, with its result. */
export interface ReceivedRequest {
  /** Method and URL. */
  readonly request: string
  /** `Sec-Fetch-Site` header. */
  readonly site: string | undefined
  /** `Origin` header. */
  readonly origin: string | undefined
  /** Names of the cookies in the order of the header. */
  readonly cookies: readonly string[]
  /** Status, followed by the code of an error. */
  readonly result: string
}

export interface BrowserApp extends TestApp {
  readonly origin: string
  /** Requests in the order of their responses. */
  readonly requests: ReceivedRequest[]
  /**
   * Performs an action and returns its requests after all of them have a response.
   *
   * Waits for at least one request.
   */
  collectRequests(action: () => unknown): Promise<ReceivedRequest[]>
}

/** Starts a test app with a blank page at `/`. */
export async function startApp (
  t: Teardown,
  given: TestAppOptions,
  host: string = hosts.app
): Promise<BrowserApp> {
  const requests: ReceivedRequest[] = []
  const codes = new WeakMap<object, string>()
  const arrived: object[] = []
  const test = await createTestApp({
    ...given,
    fastify: { https: tls, forceCloseConnections: true, ...given.fastify } as FastifyServerOptions,
    async before (app) {
      app.addHook('onRequest', (request, _reply, done) => {
        if (isIntended(request)) {
          arrived.push(request)
        }

        done()
      })
      app.addHook('onError', (request, _reply, error, done) => {
        codes.set(request, error.code)
        done()
      })
      app.addHook('onResponse', (request, reply, done) => {
        if (isIntended(request)) {
          requests.push(describeRequest(request, reply, codes.get(request)))
        }

        done()
      })
      app.get('/', (_request, reply) => reply.type('text/html').send(blankPage))
      await given.before?.(app)
    }
  })
  const { app } = test
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo

  return {
    ...test,
    origin: `https://${host}:${port}`,
    requests,
    async collectRequests (action) {
      const [arrivedBefore, finishedBefore] = [arrived.length, requests.length]
      await action()

      for (let tries = 0; tries < 1000; tries++) {
        const arrivedCount = arrived.length - arrivedBefore

        if (arrivedCount > 0 && arrivedCount === requests.length - finishedBefore) {
          return requests.slice(finishedBefore)
        }

        await sleep(2)
      }

      throw new Error(
        `${requests.length - finishedBefore} of ${arrived.length - arrivedBefore} requests finished`
      )
    }
  }
}

/** Whether a page intended a request. Chromium requests an icon unless the page declares one. */
function isIntended ({ url }: FastifyRequest): boolean {
  return url !== '/favicon.ico'
}

function describeRequest (
  { method, url, headers }: FastifyRequest,
  { statusCode }: FastifyReply,
  code: string | undefined
): ReceivedRequest {
  return {
    request: `${method} ${url}`,
    site: headers['sec-fetch-site'] as string | undefined,
    origin: headers.origin,
    cookies: headers.cookie?.split('; ').map(pair => pair.split('=', 1)[0] as string) ?? [],
    result: code === undefined ? String(statusCode) : `${statusCode} ${code}`
  }
}
