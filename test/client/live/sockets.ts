import type { WebSocketConstructor, WebSocketLike } from '../../../src/client/live/index.js'

/** Connection as the server of a test sees it. */
export interface ServerSocket {
  readonly url: string
  readonly protocols: readonly string[]
  /** Token of the handshake; `null` if there is none. */
  readonly token: string | null
  readonly openedAt: number
  /** Messages of the client. */
  readonly received: unknown[]
  /** Code with which the client closed the connection; `null` if it did not. */
  readonly closedWith: number | null
  accept(): void
  /** Rejects the handshake, or loses the connection. */
  drop(): void
  send(data: unknown): void
  close(code: number, reason?: string): void
}

/** Server of a test. It accepts all connections, unless `handle` does something else. */
export interface SocketServer {
  readonly WebSocket: WebSocketConstructor
  readonly all: ServerSocket[]
  readonly last: ServerSocket
  handle: (socket: ServerSocket) => void
}

export const accept = (socket: ServerSocket): void => {
  socket.accept()
}

export const reject = (socket: ServerSocket): void => {
  socket.drop()
}

export function createSocketServer (now: () => number): SocketServer {
  const server: SocketServer = {
    WebSocket: class implements WebSocketLike {
      binaryType = 'blob'
      readyState = 0
      onopen: WebSocketLike['onopen'] = null
      onmessage: WebSocketLike['onmessage'] = null
      onclose: WebSocketLike['onclose'] = null
      onerror: WebSocketLike['onerror'] = null
      readonly #received: unknown[] = []
      #closedWith: number | null = null

      constructor (url: string, protocols: readonly string[]) {
        const getClosedWith = (): number | null => this.#closedWith
        const marker = protocols.indexOf('bearer.fastify-token-auth')
        const socket: ServerSocket = {
          url,
          protocols,
          token: marker < 0 ? null : protocols[marker + 1] ?? null,
          openedAt: now(),
          received: this.#received,
          get closedWith () {
            return getClosedWith()
          },
          accept: () => {
            this.readyState = 1
            this.onopen?.({})
          },
          drop: () => {
            this.onerror?.({})
            this.#end(1006, '')
          },
          send: data => {
            this.onmessage?.({ data })
          },
          close: (code, reason = '') => {
            this.#end(code, reason)
          }
        }
        server.all.push(socket)
        queueMicrotask(() => {
          server.handle(socket)
        })
      }

      send (data: unknown): void {
        this.#received.push(data)
      }

      // Like a browser on a dead network: the close event comes much later.
      close (code = 1005): void {
        this.readyState = 2
        this.#closedWith = code
      }

      #end (code: number, reason: string): void {
        this.readyState = 3
        this.onclose?.({ code, reason })
      }
    },
    all: [],
    get last () {
      return server.all.at(-1) as ServerSocket
    },
    handle: accept
  }
  return server
}
