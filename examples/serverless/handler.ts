import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { buildApp } from './app.js'

/** Part of an event of AWS Lambda (API Gateway, payload format 2.0, or a function URL). */
export interface FunctionEvent {
  readonly rawPath: string
  readonly rawQueryString: string
  readonly headers: Readonly<Record<string, string>>
  readonly cookies?: readonly string[]
  readonly body?: string
  readonly isBase64Encoded: boolean
  readonly requestContext: { readonly http: { readonly method: string, readonly sourceIp: string } }
}

/** Response in the same format. */
export interface FunctionResult {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string>>
  readonly cookies: readonly string[]
  readonly body: string
  readonly isBase64Encoded: boolean
}

let starting: Promise<FastifyInstance> | undefined

/** Builds the app at the first invocation. After a failure, the next invocation tries again. */
export function getApp (): Promise<FastifyInstance> {
  starting ??= build().catch(error => {
    starting = undefined
    throw error
  })
  return starting
}

async function build (): Promise<FastifyInstance> {
  const app = await buildApp()
  await app.ready()
  return app
}

/** Handler for AWS Lambda. */
export async function handler (event: FunctionEvent): Promise<FunctionResult> {
  const { http } = event.requestContext
  const app = await getApp()
  const response = await app.inject({
    method: http.method as NonNullable<InjectOptions['method']>,
    url: `${event.rawPath}?${event.rawQueryString}`,
    headers: {
      ...event.headers,
      ...event.cookies !== undefined && { cookie: event.cookies.join('; ') }
    },
    payload: Buffer.from(event.body ?? '', event.isBase64Encoded ? 'base64' : 'utf8'),
    // The address of the client, for the limits of login attempts and for events.
    remoteAddress: http.sourceIp
  })
  const { 'set-cookie': cookies = [], ...headers } = response.headers

  return {
    statusCode: response.statusCode,
    headers: Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, String(value)])
    ),
    cookies: [cookies].flat(),
    body: response.rawPayload.toString('base64'),
    isBase64Encoded: true
  }
}

/** Handler for platforms that pass the objects of `node:http`, such as Vercel. */
export async function nodeHandler (
  request: IncomingMessage,
  response: ServerResponse
): Promise<void> {
  const app = await getApp()
  app.server.emit('request', request, response)
}
