import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, sign } from 'node:crypto'
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

/** The app's host, another host of its site, and a host of another site. All are this machine. */
export const hosts = {
  app: 'app.site.test',
  sibling: 'evil.site.test',
  foreign: 'foreign.test'
} as const

interface Teardown {
  teardown(end: () => unknown): unknown
}

const executablePath = findChromium()

/**
 * Returns the reason to skip tests in Chromium, or `false` if Chromium is installed.
 *
 * @throws Error in CI if Chromium is missing.
 */
export function getChromiumSkipReason (): string | false {
  if (executablePath !== '') {
    return false
  }

  const advice = 'Chromium is not installed: apt-get install chromium, or set CHROMIUM_PATH'

  if (process.env.CI !== undefined) {
    throw new Error(advice)
  }

  return advice
}

/** Returns the path of Chromium, or an empty string if it is not installed. */
export function findChromium (): string {
  if (process.env.CHROMIUM_PATH !== undefined) {
    return process.env.CHROMIUM_PATH
  }

  try {
    return execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim()
  } catch {
    return ''
  }
}

const args = [
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
 * Starts Chromium with a profile.
 *
 * Playwright's own contexts are private windows, which block cookies of other sites.
 *
 * @param profile Folder of the profile. By default, a new one that is removed after the test.
 */
export async function startBrowser (t: Teardown, profile?: string): Promise<BrowserContext> {
  const folder = profile ?? createProfile(t)
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath,
    headless: true,
    args
  })
  t.teardown(() => browser.close())
  return browser
}

export function createProfile (t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-browser-'))

  const remove = (): void => {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }

  t.teardown(remove)
  process.once('exit', remove)
  // Debian's Chromium 156 blocks cookies of other sites by default. 0 allows them.
  mkdirSync(join(folder, 'Default'))
  writeFileSync(
    join(folder, 'Default', 'Preferences'),
    JSON.stringify({ profile: { cookie_controls_mode: 0 } })
  )
  return folder
}

// Ways to send a request from a page. Each resolves with the part of the response that the browser
// shows to the page.
const pageScript = `
const read = async response => ({
  status: response.status,
  body: await response.text(),
  newToken: response.headers.get('x-new-token')
})
const send = (url, init) =>
  fetch(url, { credentials: 'include', ...init }).then(read, error => error.name)
const post = (url, init) => send(url, { method: 'POST', ...init })
const encode = body => body && new URLSearchParams(body)
globalThis.act = {
  json: (url, body, headers) => post(url, {
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body)
  }),
  get: (url, headers) => send(url, { headers }),
  simple: (url, body) => post(url, { mode: 'no-cors', body: encode(body) }),
  text: (url, body) => post(url, { mode: 'no-cors', body: JSON.stringify(body ?? {}) }),
  beacon: (url, body) => navigator.sendBeacon(url, encode(body)),
  image: src => new Promise(resolve => {
    Object.assign(new Image(), { onload: resolve, onerror: resolve, src })
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

const blankPage = '<!doctype html><link rel="icon" href="data:,"><title>page</title><body>' +
  `<script>${pageScript}</script>`

/** Response that a page can read, or the name of the error if the browser hides it. */
export type PageResponse = {
  readonly status: number
  readonly body: string
  readonly newToken: string | null
} | string

/** Sends a request from a page in one of the ways above. */
export function act<Result = PageResponse> (
  page: Page | Frame,
  name: string,
  ...args: unknown[]
): Promise<Result> {
  return page.evaluate<Result>(`act[${JSON.stringify(name)}](...${JSON.stringify(args)})`)
}

/** Submits a form and waits for the page of the response, unless the status is 204. */
export async function submit (page: Page, url: string, body: object): Promise<void> {
  const response = page.waitForResponse(url)
  await act(page, 'form', url, body)

  if ((await response).status() !== 204) {
    await page.waitForURL(url)
  }
}

/** Returns the cookies that the browser would send with a refresh, by name. */
export async function getRefreshCookies (
  context: BrowserContext,
  { origin }: Pick<BrowserApp, 'origin'>
): Promise<Record<string, Cookie>> {
  const cookies = await context.cookies(`${origin}/auth/refresh`)
  return Object.fromEntries(cookies.map(cookie => [cookie.name, cookie]))
}

/**
 * Serves a blank page on any host. `?set-cookie=` sets a cookie, with one byte per character.
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
    // Node.js would join a string to the headers and change their encoding.
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

/** Request that the app received, and its result. */
export interface SeenRequest {
  readonly request: string
  /** Value of `Sec-Fetch-Site`. */
  readonly site: string | undefined
  readonly origin: string | undefined
  /** Names in the order of the header. */
  readonly cookies: readonly string[]
  /** Status, followed by the code if there is an error. */
  readonly result: string
}

export interface BrowserApp extends TestApp {
  readonly origin: string
  /** Completed requests in order. */
  readonly seen: SeenRequest[]
  /** Returns the requests of an action after all of them are complete. At least one must arrive. */
  recordRequests(action: () => unknown): Promise<SeenRequest[]>
}

/** Starts a test app on HTTPS that serves a blank page at `/`. */
export async function startApp (
  t: Teardown,
  options: TestAppOptions,
  host: string = hosts.app
): Promise<BrowserApp> {
  const seen: SeenRequest[] = []
  const codes = new WeakMap<object, string>()
  const arrived: object[] = []
  const testApp = await createTestApp({
    ...options,
    fastify: {
      https: tls,
      forceCloseConnections: true,
      ...options.fastify
    } as FastifyServerOptions,
    async before (app) {
      app.addHook('onRequest', (request, _reply, done) => {
        if (isRecorded(request)) {
          arrived.push(request)
        }

        done()
      })
      app.addHook('onError', (request, _reply, error, done) => {
        codes.set(request, error.code)
        done()
      })
      app.addHook('onResponse', (request, reply, done) => {
        if (isRecorded(request)) {
          seen.push(describeRequest(request, reply, codes.get(request)))
        }

        done()
      })
      app.get('/', (_request, reply) => reply.type('text/html').send(blankPage))
      await options.before?.(app)
    }
  })
  const { app } = testApp
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo

  return {
    ...testApp,
    origin: `https://${host}:${port}`,
    seen,
    async recordRequests (doing) {
      const [before, answered] = [arrived.length, seen.length]
      await doing()

      for (let tries = 0; tries < 1000; tries++) {
        if (arrived.length > before && arrived.length - before === seen.length - answered) {
          return seen.slice(answered)
        }

        await sleep(2)
      }

      throw new Error(
        `${arrived.length - before} requests arrived, ${seen.length - answered} are complete`
      )
    }
  }
}

// Chromium requests an icon for every page that does not declare one.
function isRecorded ({ url }: FastifyRequest): boolean {
  return url !== '/favicon.ico'
}

function describeRequest (
  { method, url, headers }: FastifyRequest,
  { statusCode }: FastifyReply,
  code: string | undefined
): SeenRequest {
  return {
    request: `${method} ${url}`,
    site: headers['sec-fetch-site'] as string | undefined,
    origin: headers.origin,
    cookies: headers.cookie?.split('; ').map(pair => pair.split('=', 1)[0] as string) ?? [],
    result: code === undefined ? String(statusCode) : `${statusCode} ${code}`
  }
}

const tls = createCertificate()

// Minimal self-signed X.509 certificate (RFC 5280, section 4.1), so that tests need no openssl.
function createCertificate (): { key: string, cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = encodeDer(0x30, encodeDer(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const name = encodeDer(
    0x30,
    encodeDer(
      0x31,
      encodeDer(
        0x30,
        encodeDer(0x06, Buffer.from('550403', 'hex')),
        encodeDer(0x0c, Buffer.from('test'))
      )
    )
  )
  const validity = encodeDer(
    0x30,
    ...['250101000000Z', '491231235959Z'].map(time => encodeDer(0x17, Buffer.from(time)))
  )
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const content = encodeDer(
    0x30,
    encodeDer(0x02, Buffer.from([1])),
    algorithm,
    name,
    validity,
    name,
    spki
  )
  const signature = encodeDer(0x03, Buffer.from([0]), sign('sha256', content, privateKey))

  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${
      encodeDer(0x30, content, algorithm, signature).toString('base64')
    }\n-----END CERTIFICATE-----\n`
  }
}

function encodeDer (tag: number, ...parts: Buffer[]): Buffer {
  const { length } = Buffer.concat(parts)
  const size = length < 128
    ? [length]
    : length < 256
    ? [0x81, length]
    : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), ...parts])
}
