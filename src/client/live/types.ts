import type { SocketData, WebSocketConstructor } from './web-socket.js'

/** State of a {@link LiveSocket}. It is `connecting` before and between connections. */
export type SocketState = 'connecting' | 'open' | 'closed'

/** End of one connection. */
export interface SocketClosure {
  /** Close code (RFC 6455, section 7.4); 1006 if the connection was lost or never opened. */
  readonly code: number
  /** Explanation of the side that closed the connection; an empty string if there is none. */
  readonly reason: string
}

/** Reason why a {@link LiveSocket} does not connect again. */
export interface SocketEnd extends SocketClosure {
  /**
   * - `closed`: the app called `close`, or `shouldReconnect` returned `false`.
   * - `signed-out`: the user signed out, or another session replaced this one.
   * - `revoked`: the server closed the socket because the session was revoked.
   * - `disposed`: the client was disposed.
   */
  readonly cause: 'closed' | 'signed-out' | 'revoked' | 'disposed'
}

/** Options of {@link openSocket}. */
export interface SocketOptions {
  /**
   * Subprotocols of the app, the preferred one first.
   *
   * @default none
   */
  readonly protocols?: string | readonly string[]
  /**
   * Called when a connection is open: for the first time, and after each reconnect.
   *
   * Messages that the server sent while there was no connection are lost. So subscribe again and
   * load the missed data here.
   */
  readonly onOpen?: (socket: LiveSocket) => void
  /** Called with the data of each message: a string, or binary data of the type `binaryType`. */
  readonly onMessage?: ((data: unknown) => void) | undefined
  /** Called after each change of {@link LiveSocket.state}. */
  readonly onStateChange?: (state: SocketState) => void
  /**
   * Type of the binary data that `onMessage` receives.
   *
   * @default the default of `WebSocket`, which is 'blob' in a browser
   */
  readonly binaryType?: 'blob' | 'arraybuffer' | undefined
  /**
   * Creates the message that sends the server a new access token.
   *
   * @default JSON with `type: 'renew'` and `access_token`
   * @example
   * ```ts
   * createRenewal: token => JSON.stringify(['auth', token])
   * ```
   */
  readonly createRenewal?: (accessToken: string) => SocketData
  /**
   * Decides whether to connect again after the server closed the connection or it was lost.
   *
   * Not called for code 4401, with which the server rejects the token.
   *
   * @default `false` for 1000, 1008 and 4400 to 4499; otherwise `true`
   */
  readonly shouldReconnect?: (closure: SocketClosure) => boolean
  /**
   * Another origin that may receive the access token, such as a service with `tokenVerifier`.
   *
   * @default the origin of the client's `baseUrl`
   * @example
   * ```ts
   * openSocket(auth, 'wss://live.example.org/', { origin: 'https://live.example.org' })
   * ```
   */
  readonly origin?: string
  /**
   * Class that opens connections.
   *
   * @default the global `WebSocket`
   * @example
   * ```ts
   * import { WebSocket } from 'ws'
   *
   * openSocket(auth, '/live', { WebSocket })
   * ```
   */
  readonly WebSocket?: WebSocketConstructor
}

/** WebSocket that ends with the session. Result of {@link openSocket}. */
export interface LiveSocket {
  /** Current state. */
  readonly state: SocketState
  /** Resolves when the socket does not connect again. Never rejects. */
  readonly closed: Promise<SocketEnd>
  /**
   * Sends data if a connection is open. Otherwise, drops the data.
   *
   * @returns Whether the data was sent. It may still be lost with the connection.
   */
  send(data: SocketData): boolean
  /**
   * Closes the socket permanently.
   *
   * @param code - 1000, or 3000 to 4999. Defaults to 1000.
   * @param reason - At most 123 bytes.
   * @throws TypeError if the code is another one, or the reason is too long. The socket stays open.
   */
  close(code?: number, reason?: string): void
}
