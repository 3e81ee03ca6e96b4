// One connection that is kept busy: a request, its whole answer, the next request. By hand over a socket, since a client of more
// comfort takes longer for an answer than the server does.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Work } from './contestants/contestant.js'

const HEAD_END = '\r\n\r\n'
const LENGTH = 'content-length: '
const CHUNKED = 'transfer-encoding: chunked'

/** Writes the request that presents a token. */
export function requestsOf (
  { method, path, headers, body }: Work,
  port: number
): (token: string) => string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const head =
    `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nuser-agent: benchmark\r\naccept: application/json\r\n${lines}`

  return token => {
    const content = body?.replace('$token', () => token) ?? ''
    const length = body === undefined ? '' : `content-length: ${content.length}\r\n`
    return `${head.replace('$token', () => token)}${length}\r\n${content}`
  }
}

/** The length of the first answer in a text; `null` where it is not all there. */
export function answerLength (text: string): number | null {
  const headEnd = text.indexOf(HEAD_END)

  if (headEnd < 0) {
    return null
  }

  const bodyStart = headEnd + HEAD_END.length
  const head = text.slice(0, bodyStart).toLowerCase()
  const at = head.indexOf(LENGTH)

  if (at >= 0) {
    const end = bodyStart +
      Number.parseInt(head.slice(at + LENGTH.length, head.indexOf('\r\n', at)), 10)
    return text.length >= end ? end : null
  }

  if (!head.includes(CHUNKED)) {
    throw new Error(`An answer of unknown length: ${text}`)
  }

  const end = text.indexOf(`\r\n0${HEAD_END}`, headEnd)
  return end < 0 ? null : end + 3 + HEAD_END.length
}

export class Client {
  readonly #socket: Socket
  #text = ''
  #taken: { resolve(answer: string): void, reject(error: Error): void } | null = null

  constructor (port: number) {
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true })
    // Bytes as they are: what is looked for in them is ASCII, and a length is in bytes.
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (part: string) => {
      this.#take(part)
    })
    this.#socket.on('error', error => {
      this.#fail(error)
    })
    this.#socket.on('close', () => {
      this.#fail(new Error('The server has closed a connection'))
    })
  }

  /** @returns The whole answer, its head too. */
  async send (request: string | Buffer): Promise<string> {
    return await new Promise<string>((resolve, reject) => {
      this.#taken = { resolve, reject }
      this.#socket.write(request)
    })
  }

  close (): void {
    this.#socket.destroy()
  }

  #take (part: string): void {
    this.#text = this.#text === '' ? part : this.#text + part

    try {
      const length = answerLength(this.#text)

      if (length === null) {
        return
      }

      const answer = this.#text.slice(0, length)
      this.#text = this.#text.slice(length)
      this.#taken?.resolve(answer)
    } catch (error) {
      this.#fail(error as Error)
    }
  }

  #fail (error: Error): void {
    this.#taken?.reject(error)
  }
}
