import { request } from 'node:http'
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

export const MARK = 'mArKeR7Qx'

export const MARKED_NUMBER = 9876543210123

export const JSON_TYPE = 'application/json'

export const FORM_TYPE = 'application/x-www-form-urlencoded'

export const MEGABYTE = 2 ** 20

export interface Sent {
  readonly method?: string
  readonly path: string
  /** Values of separate `Authorization` headers. */
  readonly authorization?: readonly string[]
  readonly type?: string | null
  readonly body?: string | Buffer
  /** Whether the body is sent without a length, as a stream. */
  readonly chunked?: boolean
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Status line, headers and body as one string. */
  readonly all: string
}

type Send = (sent: Sent) => Promise<Answer>

function createSend (app: TestApp['app']): Send {
  const { port } = app.server.address() as AddressInfo

  return ({ method = 'POST', path, authorization = [], type = null, body, chunked = false }) => {
    const headers: OutgoingHttpHeaders = {}

    if (authorization.length > 0) {
      headers.Authorization = [...authorization]
    }

    if (type !== null) {
      headers['content-type'] = type
    }

    if (chunked) {
      headers['transfer-encoding'] = 'chunked'
    } else if (body !== undefined) {
      headers['content-length'] = Buffer.byteLength(body)
    }

    return new Promise((resolve, reject) => {
      // A server may stop reading after its response. That error arrives too late to matter.
      request({ host: '127.0.0.1', port, method, path, headers, agent: false }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
        })
        response.on('error', reject)
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString()
          const all = [response.statusMessage, ...response.rawHeaders, text].join('\n')
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text, all })
        })
      }).on('error', reject).end(body)
    })
  }
}

export const secrets = new Set([MARK, `${MARKED_NUMBER}`, PASSWORD, PASSWORD_HASH, SECRET])

/** Adds a token, its payload, signature and inner secret to the strings that must not leak. */
export function addSecret (token: string): string {
  const [, payload = '', signature = ''] = token.split('.')
  const { secret = token } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
    secret?: string
  }

  for (const text of [token, payload, signature, secret]) {
    secrets.add(text)
  }

  return token
}

export function getLeaks (text: string): string[] {
  return [...secrets].filter(secret => text.includes(secret))
}

function recordCalls (store: TokenStore, calls: string[]): TokenStore {
  return new Proxy(store, {
    get (target, verb: keyof TokenStore) {
      const call = target[verb] as (...args: unknown[]) => unknown

      return (...args: unknown[]) => {
        calls.push(verb)
        return call.apply(target, args)
      }
    }
  })
}

export async function listen (
  t: Test,
  fastify: object = {}
): Promise<{ auth: TestApp, send: Send, storeCalls: string[] }> {
  const storeCalls: string[] = []
  const auth = await createTestApp({
    fastify,
    store: recordCalls(new MemoryStore(), storeCalls),
    // The feed would call the store at any time. Tests look for calls of requests only.
    options: { revocations: false }
  })
  t.teardown(() => auth.app.close())
  await auth.app.listen({ host: '127.0.0.1', port: 0 })
  return { auth, send: createSend(auth.app), storeCalls }
}

export const log: string[] = []

export const { auth, send } = await listen(t, {
  logger: {
    level: 'trace',
    stream: {
      write (line: string) {
        log.push(line)
      }
    }
  }
})

/** Number of requests that the shared log must contain. */
export const requests = { count: 0 }

export async function login (username = 'ann'): Promise<{ access: string, refresh: string }> {
  const answer = await auth.login(username)

  return {
    access: addSecret(answer.access_token),
    refresh: addSecret(answer.refresh_token as string)
  }
}

/** Sends a request that must be rejected, and checks what all rejections have in common. */
export async function assertRejected (
  t: Test,
  name: string,
  sent: Sent,
  status: number,
  code: string
): Promise<void> {
  requests.count++
  const answer = await send(sent)
  const where = `${sent.method ?? 'POST'} ${sent.path}: ${name}`
  t.equal(answer.status, status, `${where} is ${status}`)
  const body = JSON.parse(answer.body) as Record<string, unknown>
  t.strictSame([body.code, body.statusCode], [code, status], `${where}: ${code}`)
  t.strictSame(
    Object.keys(body).sort(),
    ['code', 'error', 'message', 'statusCode'],
    `${where}: the body is Fastify's`
  )

  if (sent.path.startsWith('/auth/')) {
    t.equal(answer.headers['cache-control'], 'no-store', `${where}: is not cached`)
  }

  if (status === 401) {
    t.match(answer.headers['www-authenticate'], /^Bearer realm="auth"/, `${where}: has a challenge`)
  }

  t.strictSame(getLeaks(answer.all), [], `${where}: nothing comes back`)
}

export function json (path: string, body: unknown): Sent {
  return { path, type: JSON_TYPE, body: typeof body === 'string' ? body : JSON.stringify(body) }
}

export function form (path: string, body: string): Sent {
  return { path, type: FORM_TYPE, body }
}

export function bearer (token: string): string[] {
  return [`Bearer ${token}`]
}

/** Routes that require an access token. */
export const guarded: ReadonlyArray<readonly [method: string, path: string]> = [
  ['GET', '/protected'],
  ['GET', '/auth/me'],
  ['GET', '/auth/sessions'],
  ['DELETE', '/auth/sessions/s1'],
  ['POST', '/auth/logout/all']
]

/** Asserts that the log at level trace has every request, no secret and no server error. */
export function assertLogHasNoSecret (
  t: Test,
  { minRequests, minSecrets }: { readonly minRequests: number, readonly minSecrets: number }
): void {
  const lines = log.map(line => JSON.parse(line) as { msg: string, level: number })
  const completed = lines.filter(({ msg }) => msg === 'request completed')
  t.ok(completed.length >= requests.count, `${requests.count} requests`)
  t.equal(auth.app.log.level, 'trace')
  t.ok(requests.count > minRequests, `${requests.count} > ${minRequests} requests`)
  t.ok(secrets.size > minSecrets, `${secrets.size} > ${minSecrets} secrets`)
  t.strictSame(getLeaks(log.join('')), [])
  t.strictSame(lines.filter(({ level }) => level >= 50).map(({ msg }) => msg), [])
}
