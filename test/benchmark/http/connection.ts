import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Workload } from './servers/shared.js'

const HEAD_END = '\r\n\r\n'
const LENGTH_HEADER = 'content-length: '
const CHUNKED_HEADER = 'transfer-encoding: chunked'

/** Creates a function that formats the request for a token. */
export function createRequestFormatter (
  { method, path, headers, body }: Workload,
  port: number
): (token: string) => string {
  const head = [
    `${method} ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    'user-agent: benchmark',
    'accept: application/json',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  ].map(line => `${line}\r\n`).join('')

  return token => {
    const content = body?.replace('$token', () => token) ?? ''
    const length = body === undefined ? '' : `content-length: ${content.length}\r\n`
    return `${head.replace('$token', () => token)}${length}\r\n${content}`
  }
}

/** Returns the length of the first response in `received`, or `null` if it is incomplete. */
export function getResponseLength (received: string): number | null {
  const headEnd = received.indexOf(HEAD_END)

  if (headEnd < 0) {
    return null
  }

  const bodyStart = headEnd + HEAD_END.length
  const head = received.slice(0, bodyStart).toLowerCase()
  const position = head.indexOf(LENGTH_HEADER)

  if (position >= 0) {
    const value = head.slice(position + LENGTH_HEADER.length, head.indexOf('\r\n', position))
    const end = bodyStart + Number.parseInt(value, 10)
    return received.length >= end ? end : null
  }

  if (!head.includes(CHUNKED_HEADER)) {
    throw new Error(`Response has no length: ${received}`)
  }

  const end = received.indexOf(`\r\n0${HEAD_END}`, headEnd)
  return end < 0 ? null : end + 3 + HEAD_END.length
}

/**
 * Connection that sends one request after the other.
 *
 * It uses a socket, because an HTTP client needs more time per response than the server does.
 */
export class Connection {
  readonly #socket: Socket
  #received = ''
  #pendingRequest: { resolve(response: string): void, reject(error: Error): void } | null = null

  constructor (port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    // One character per byte, because a length counts bytes.
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (chunk: string) => {
      this.#receive(chunk)
    })
    this.#socket.on('error', error => {
      this.#fail(error)
    })
    this.#socket.on('close', () => {
      this.#fail(new Error('Server closed a connection'))
    })
  }

  /** Sends a request. @returns The response with its head. */
  async send (request: string | Buffer): Promise<string> {
    return await new Promise<string>((resolve, reject) => {
      this.#pendingRequest = { resolve, reject }
      this.#socket.write(request)
    })
  }

  close (): void {
    this.#socket.destroy()
  }

  #receive (chunk: string): void {
    this.#received = this.#received === '' ? chunk : this.#received + chunk

    try {
      const length = getResponseLength(this.#received)

      if (length === null) {
        return
      }

      const response = this.#received.slice(0, length)
      this.#received = this.#received.slice(length)
      this.#pendingRequest?.resolve(response)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail (error: Error): void {
    this.#pendingRequest?.reject(error)
  }
}
