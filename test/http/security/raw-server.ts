import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import type { TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

export interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  /** `code` of an error. */
  readonly code?: string
}

interface Server extends TestApp {
  readonly port: number
  /** Routes that were reached, because the hooks accepted the request. */
  readonly entered: string[]
  /** Store methods that wrote. */
  readonly writes: string[]
  /** `raw('GET /me', 'Authorization: ..', ..)`. Sends the target unchanged. */
  raw(line: string, ...headers: string[]): Promise<Answer>
  rawWith(body: string, line: string, ...headers: string[]): Promise<Answer>
}

export const ACCESS = '__Host-auth-access'

export const SAME = 'Sec-Fetch-Site: same-origin'

export const withCookies = {
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true },
  revocations: false
} as const satisfies TestAppOptions['options']

export async function listen (t: Test, { before, ...given }: TestAppOptions = {}): Promise<Server> {
  const entered: string[] = []
  const writes: string[] = []
  const store = new Proxy<TokenStore>(new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      if (['create', 'rotate', 'revoke', 'sweep'].includes(verb)) {
        writes.push(verb)
      }

      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test = await createTestApp({
    store,
    ...given,
    async before (app) {
      app.addHook('preHandler', async request => {
        if (!request.is404) {
          entered.push(request.url)
        }
      })
      await before?.(app)
    }
  })
  await test.app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => test.app.close())
  const { port } = test.app.server.address() as AddressInfo
  const rawWith: Server['rawWith'] = (body, line, ...headers) =>
    exchange(
      port,
      [`${line} HTTP/1.1`, 'Host: localhost', 'Connection: close', ...headers, '', body].join(
        '\r\n'
      )
    )

  return {
    ...test,
    port,
    entered,
    writes,
    rawWith,
    raw: (line, ...headers) => rawWith('', line, ...headers)
  }
}

function exchange (port: number, text: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1')
    socket
      .on('data', chunk => {
        chunks.push(chunk)
      })
      .on('error', reject)
      .on('end', () => {
        socket.end()
        const [head = '', ...rest] = Buffer.concat(chunks).toString().split('\r\n\r\n')
        const body = rest.join('\r\n\r\n')
        const code = body.startsWith('{') ? (JSON.parse(body) as { code?: string }).code : undefined
        resolve({
          status: Number(head.split(' ')[1]),
          head,
          body,
          ...(code !== undefined && { code })
        })
      })
      .write(text, 'latin1')
  })
}

export function assertRejected (
  t: Test,
  { status, code, body, head }: Answer,
  ...[wanted, wantedCode, about]: [number, string, string]
): void {
  t.strictSame([status, code], [wanted, wantedCode], `${about} ${status} ${body}`)
  t.notMatch(head, /set-cookie/i, about)
}

/** Logs in with cookies. Returns them as `<name>=<token>`. */
export async function logInWithCookies (
  server: Server,
  username = 'ann'
): Promise<{ refresh: string, access: string }> {
  const credentials = { username, password: PASSWORD }
  const { cookies } = await server.post('/auth/login', credentials, {
    'x-token-transport': 'cookie',
    'sec-fetch-site': 'same-origin'
  })
  const [refresh = '', access = ''] = cookies.map(({ name, value }) => `${name}=${value}`)
  return { refresh, access }
}
