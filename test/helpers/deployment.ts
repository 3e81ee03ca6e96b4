import { createServer, request as sendHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import cors from '@fastify/cors'
import type { FastifyCorsOptions } from '@fastify/cors'
import type { FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { sendRequest } from '../../src/cli/doctor/http.js'
import { exposedHeaders } from '../../src/index.js'
import type { TokenAuthOptions } from '../../src/index.js'
import { createTestApp, PASSWORD } from './app.js'
import type { TestApp } from './app.js'
import { runCli } from './cli.js'
import type { CliOptions, CliResult } from './cli.js'

/** Address of the client, as the proxy sees it. */
export const CLIENT_ADDRESS = '198.51.100.20'
export const PAGE_ORIGIN = 'https://app.example.test'

/** Response that a proxy may change before the client gets it. */
export interface ProxiedResponse {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

export interface DeploymentOptions {
  readonly options?: Partial<TokenAuthOptions>
  /** Options of @fastify/cors. @default the settings for {@link PAGE_ORIGIN} */
  readonly cors?: FastifyCorsOptions
  readonly trustProxy?: FastifyServerOptions['trustProxy']
  /** Changes a response, or returns another one. Runs in the proxy. */
  readonly change?: (response: ProxiedResponse, path: string, method: string) => unknown
}

export interface Deployment extends TestApp {
  /** Runs `doctor` on the public URL. */
  doctor(args?: readonly string[], options?: CliOptions & { url?: string }): Promise<CliResult>
}

/** Environment for `doctor --login`. */
export const credentials = { FTA_USERNAME: 'ann', FTA_PASSWORD: PASSWORD }

/**
 * Starts an app behind a proxy.
 *
 * The public URL is https://api.example.test. The client of `doctor` sends requests for it to the
 * proxy, which acts as one that terminates TLS.
 */
export async function deploy (
  t: Test,
  { options, cors: corsOptions, trustProxy = '127.0.0.1', change }: DeploymentOptions = {}
): Promise<Deployment> {
  const testApp = await createTestApp({
    fastify: { trustProxy },
    options: {
      clock: Date.now,
      refreshToken: { transport: 'cookie' },
      cookie: { origins: [PAGE_ORIGIN] },
      ...options
    },
    before: app =>
      app.register(cors, {
        origin: [PAGE_ORIGIN],
        credentials: true,
        methods: ['GET', 'POST', 'DELETE'],
        exposedHeaders,
        ...corsOptions
      })
  })
  await testApp.app.listen({ host: '127.0.0.1', port: 0 })
  const appPort = (testApp.app.server.address() as AddressInfo).port
  const proxyPort = await startProxy(t, appPort, change)
  t.teardown(() => testApp.app.close())

  return {
    ...testApp,
    doctor: (args = [], { url = 'https://api.example.test/auth', ...io } = {}) =>
      runCli(['doctor', url, ...args], {
        sendRequest: async ({ url, headers, ...request }) => {
          const { pathname, protocol, host } = new URL(url)
          const response = await sendRequest({
            ...request,
            url: `http://127.0.0.1:${proxyPort}${pathname}`,
            headers: { ...headers, host, 'x-test-protocol': protocol.slice(0, -1) }
          })
          return { ...response, remoteAddress: '198.51.100.80' }
        },
        ...io
      })
  }
}

async function startProxy (
  t: Test,
  appPort: number,
  change: DeploymentOptions['change']
): Promise<number> {
  const server = createServer((request, reply) => {
    const { 'x-test-protocol': protocol, 'x-forwarded-for': forwardedFor, ...headers } =
      request.headers
    const proxied = sendHttp({
      port: appPort,
      host: '127.0.0.1',
      agent: false,
      method: request.method,
      path: request.url,
      headers: {
        ...headers,
        'x-forwarded-proto': String(protocol),
        'x-forwarded-for': [forwardedFor, CLIENT_ADDRESS].filter(Boolean).join(', ')
      }
    }, async message => {
      const chunks: Buffer[] = await message.toArray()
      const response: ProxiedResponse = {
        status: message.statusCode ?? 0,
        headers: { ...message.headers },
        body: Buffer.concat(chunks).toString()
      }
      await change?.(response, request.url ?? '', request.method ?? '')
      const { 'content-length': _, 'transfer-encoding': __, ...rest } = response.headers

      for (const [name, value] of Object.entries(rest)) {
        if (value !== undefined) {
          reply.setHeader(name, value)
        }
      }

      reply.writeHead(response.status)
      reply.end(response.body)
    })
    request.pipe(proxied)
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.close()
  })
  return (server.address() as AddressInfo).port
}
