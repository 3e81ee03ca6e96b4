// Chromium, and https servers that it takes for hosts of several sites: what a browser sends and
// keeps, only a browser tells. All names lead to this machine; who may see whose cookies is decided
// by them alone.

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

/** The app's host, another host of its site, and one of another site. */
export const hosts = {
  app: 'app.site.test',
  sibling: 'evil.site.test',
  foreign: 'foreign.test'
} as const

interface Teardown {
  teardown(end: () => unknown): unknown
}

const executablePath = findChromium()

/** Why there is no Chromium to test with; `false` where there is one. On CI it has to be there. */
export function whyNoChromium (): string | false {
  if (executablePath !== '') {
    return false
  }

  const advice = 'Chromium is not installed: apt-get install chromium, or set CHROMIUM_PATH'

  if (process.env.CI !== undefined) {
    throw new Error(advice)
  }

  return advice
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
 * A browser on a profile, which is new and goes with it unless it is given. Not one of Playwright's
 * own contexts: these are
 * private windows, which keep the cookies of other sites back.
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
  // 0 lets cookies go along to other sites. Debian's Chromium 156 blocks them unless told so.
  mkdirSync(join(folder, 'Default'))
  writeFileSync(
    join(folder, 'Default', 'Preferences'),
    JSON.stringify({ profile: { cookie_controls_mode: 0 } })
  )
  return folder
}

// What a page does, and resolves with what it gets to know of the answer.
const pageScript = `
const told = async answer => ({ status: answer.status, body: await answer.text(), newToken: answer.headers.get('x-new-token') })
const post = (url, init) => fetch(url, { method: 'POST', credentials: 'include', ...init }).then(told, error => error.name)
const encode = body => body && new URLSearchParams(body)
globalThis.act = {
  json: (url, body, headers) => post(url, {
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body)
  }),
  get: (url, headers) => fetch(url, { credentials: 'include', headers }).then(told, error => error.name),
  simple: (url, body) => post(url, { mode: 'no-cors', body: encode(body) }),
  text: (url, body) => post(url, { mode: 'no-cors', body: JSON.stringify(body ?? {}) }),
  beacon: (url, body) => navigator.sendBeacon(url, encode(body)),
  image: url => new Promise(resolve => { Object.assign(new Image(), { onload: resolve, onerror: resolve, src: url }) }),
  form (action, body) {
    const form = Object.assign(document.createElement('form'), { method: 'POST', action, target: '_top' })
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
    Object.assign(new WebSocket(url), { onmessage: ({ data }) => resolve(data), onerror: () => resolve('refused') })
  })
}`

export const blankPage =
  `<!doctype html><link rel="icon" href="data:,"><title>page</title><body><script>${pageScript}</script>`

/**
 * What a page gets to know of an answer; the name of the error where the browser keeps it all to
 * itself.
 */
export type Told = {
  readonly status: number
  readonly body: string
  readonly newToken: string | null
} | string

/** Lets a page do something: one of the acts above. */
export function act<Result = Told> (
  page: Page | Frame,
  name: string,
  ...args: unknown[]
): Promise<Result> {
  return page.evaluate<Result>(`act[${JSON.stringify(name)}](...${JSON.stringify(args)})`)
}

/** Submits a form, and waits for what comes instead of the page, if anything. */
export async function submit (page: Page, url: string, body: object): Promise<void> {
  const answered = page.waitForResponse(url)
  await act(page, 'form', url, body)

  if ((await answered).status() !== 204) {
    await page.waitForURL(url)
  }
}

/** The cookies that the browser would send with a refresh, by name. */
export async function jar (
  context: BrowserContext,
  { origin }: Pick<BrowserApp, 'origin'>
): Promise<Record<string, Cookie>> {
  const cookies = await context.cookies(`${origin}/auth/refresh`)
  return Object.fromEntries(cookies.map(cookie => [cookie.name, cookie]))
}

/**
 * Serves a blank page under any name; `?set-cookie=` sets a cookie, each character a byte. Returns
 * origins by host.
 */
export async function servePages (t: Teardown): Promise<(host: string) => string> {
  const server = createServer(tls, ({ url = '' }, response) => {
    const cookies = new URL(url, 'https://localhost').searchParams.getAll('set-cookie')

    if (cookies.length > 0) {
      response.setHeader('set-cookie', cookies)
    }

    response.setHeader('content-type', 'text/html')
    // A text would be joined to the headers and change their encoding.
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

/** What the server saw of a request, and how it answered. */
export interface Seen {
  readonly request: string
  /** `Sec-Fetch-Site` and `Origin`. */
  readonly site: string | undefined
  readonly origin: string | undefined
  /** Names, in the order of the header. */
  readonly cookies: readonly string[]
  /** The status, and the code of the error. */
  readonly answer: string
}

export interface BrowserApp extends TestApp {
  readonly origin: string
  /** Everything that was answered, in order. */
  readonly seen: Seen[]
  /** What came in while something was done, once all of it is answered; one request at least. */
  during(doing: () => unknown): Promise<Seen[]>
}

/** A test app with a blank page at `/`, listening. */
export async function startApp (
  t: Teardown,
  given: TestAppOptions,
  host: string = hosts.app
): Promise<BrowserApp> {
  const seen: Seen[] = []
  const codes = new WeakMap<object, string>()
  const arrived: object[] = []
  const made = await createTestApp({
    ...given,
    fastify: { https: tls, forceCloseConnections: true, ...given.fastify } as FastifyServerOptions,
    async before (app) {
      app.addHook('onRequest', (request, _reply, done) => {
        if (isDeliberate(request)) {
          arrived.push(request)
        }

        done()
      })
      app.addHook('onError', (request, _reply, error, done) => {
        codes.set(request, error.code)
        done()
      })
      app.addHook('onResponse', (request, reply, done) => {
        if (isDeliberate(request)) {
          seen.push(describe(request, reply, codes.get(request)))
        }

        done()
      })
      app.get('/', (_request, reply) => reply.type('text/html').send(blankPage))
      await given.before?.(app)
    }
  })
  const { app } = made
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo

  return {
    ...made,
    origin: `https://${host}:${port}`,
    seen,
    async during (doing) {
      const [before, answered] = [arrived.length, seen.length]
      await doing()

      for (let tries = 0; tries < 1000; tries++) {
        if (arrived.length > before && arrived.length - before === seen.length - answered) {
          return seen.slice(answered)
        }

        await sleep(2)
      }

      throw new Error(
        `${arrived.length - before} requests came, ${seen.length - answered} are answered`
      )
    }
  }
}

// Chromium asks for an icon wherever a page does not say that it has none.
function isDeliberate ({ url }: FastifyRequest): boolean {
  return url !== '/favicon.ico'
}

function describe (
  { method, url, headers }: FastifyRequest,
  { statusCode }: FastifyReply,
  code: string | undefined
): Seen {
  return {
    request: `${method} ${url}`,
    site: headers['sec-fetch-site'] as string | undefined,
    origin: headers.origin,
    cookies: headers.cookie?.split('; ').map(pair => pair.split('=', 1)[0] as string) ?? [],
    answer: code === undefined ? String(statusCode) : `${statusCode} ${code}`
  }
}

const tls = selfSigned()

// X.509 in its least form (RFC 5280 section 4.1): whom it names does not matter here, and it needs
// no tool.
function selfSigned (): { key: string, cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = der(0x30, der(0x06, Buffer.from('2a8648ce3d040302', 'hex')))
  const name = der(
    0x30,
    der(0x31, der(0x30, der(0x06, Buffer.from('550403', 'hex')), der(0x0c, Buffer.from('test'))))
  )
  const validity = der(
    0x30,
    ...['250101000000Z', '491231235959Z'].map(time => der(0x17, Buffer.from(time)))
  )
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const content = der(0x30, der(0x02, Buffer.from([1])), algorithm, name, validity, name, spki)
  const signature = der(0x03, Buffer.from([0]), sign('sha256', content, privateKey))

  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${
      der(0x30, content, algorithm, signature).toString('base64')
    }\n-----END CERTIFICATE-----\n`
  }
}

function der (tag: number, ...parts: Buffer[]): Buffer {
  const { length } = Buffer.concat(parts)
  const size = length < 128
    ? [length]
    : length < 256
    ? [0x81, length]
    : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), ...parts])
}
