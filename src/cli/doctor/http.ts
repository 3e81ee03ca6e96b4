import { request as requestHttp } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { SECOND } from '../../lib/time.js'
import type { Millis } from '../../lib/time.js'

/** Request of the doctor. */
export interface ProbeRequest {
  readonly method: 'GET' | 'POST' | 'OPTIONS'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly body?: object
}

/** Response to a {@link ProbeRequest}. Redirects are not followed. */
export interface ProbeResponse {
  readonly status: number
  /** Values by lower-case name. Repeated headers are joined with a comma. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly cookies: readonly string[]
  readonly body: string
  /** Address of the other end of the connection. */
  readonly remoteAddress: string
}

/** Sends a request. Rejects if there is no response. */
export type SendRequest = (request: ProbeRequest) => Promise<ProbeResponse>

const TIMEOUT: Millis = 10 * SECOND
const MAX_BODY_LENGTH = 1_000_000

/** Sends a request over a connection of its own, and reads the response. */
export const sendRequest: SendRequest = ({ method, url, headers, body }) =>
  new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const send = url.startsWith('https:') ? requestHttps : requestHttp
    const request = send(url, {
      method,
      agent: false,
      signal: AbortSignal.timeout(TIMEOUT),
      headers: {
        'user-agent': 'fastify-token-auth doctor',
        accept: 'application/json',
        ...(payload !== undefined && {
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(payload))
        }),
        ...headers
      }
    }, message => {
      readResponse(message).then(resolve, reject)
    })
    // Without a listener, Node closes the connection and reports neither a response nor an error.
    request.on('upgrade', (message, socket) => {
      socket.destroy()
      resolve(createResponse(message, ''))
    })
    request.on('error', reject)
    request.end(payload)
  })

async function readResponse (message: IncomingMessage): Promise<ProbeResponse> {
  const response = createResponse(message, '')
  const chunks: Buffer[] = []
  let length = 0

  for await (const chunk of message as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length

    if (length > MAX_BODY_LENGTH) {
      message.destroy()
      break
    }
  }

  return { ...response, body: Buffer.concat(chunks).toString('utf8') }
}

function createResponse (message: IncomingMessage, body: string): ProbeResponse {
  const { 'set-cookie': cookies = [], ...headers } = message.headers

  return {
    status: message.statusCode ?? 0,
    headers: headers as Record<string, string | undefined>,
    cookies,
    body,
    remoteAddress: message.socket.remoteAddress ?? ''
  }
}

/** Returns the members of a list header in lower case. */
export function parseList (header: string | undefined): string[] {
  return (header ?? '').toLowerCase().split(',').map(member => member.trim()).filter(Boolean)
}

/** Returns the code of an error response, or `null` if something else sent the response. */
export function getAuthCode ({ headers, body }: ProbeResponse): string | null {
  return headers['x-auth-error'] ?? /\bAUTH_[A-Z]+(_[A-Z]+)*\b/.exec(body)?.[0] ?? null
}

/** Returns the JSON object in a body, or `null` if there is none. */
export function parseObject (body: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}
