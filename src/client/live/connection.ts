import { DEFAULT_TIMEOUT, ignore } from '../async.js'
import type { Platform } from '../platform.js'
import { callListener } from '../subscriptions.js'
import type { SocketClosure, SocketOptions } from './types.js'
import type { SocketData, WebSocketLike } from './web-socket.js'

/** One connection, from its handshake to its end. */
export interface Connection {
  readonly isOpen: boolean
  /** Resolves at the end, with the milliseconds since the connection was open. Never rejects. */
  readonly closed: Promise<ConnectionEnd>
  send(data: SocketData): boolean
  /** Ends the connection now, without waiting for the server. */
  close(closure: SocketClosure): void
}

/** End of a {@link Connection}. */
export interface ConnectionEnd extends SocketClosure {
  /** `null` if the handshake failed. */
  readonly openFor: number | null
}

/** Options of a {@link Connection}. */
export interface ConnectionOptions extends Pick<SocketOptions, 'onMessage' | 'binaryType'> {
  onOpen(): void
}

/** Code of RFC 6455, section 7.1.5, for a connection without a close frame. */
const LOST: SocketClosure = { code: 1006, reason: '' }
const OPEN = 1

/**
 * Opens a connection.
 *
 * A handshake that takes longer than 10 s counts as failed. A browser does not report the reason of
 * a failed one.
 */
export function connect (
  { now, sleep }: Platform,
  create: () => WebSocketLike,
  { onOpen, onMessage = ignore, binaryType }: ConnectionOptions
): Connection {
  const handshake = new AbortController()
  let socket: WebSocketLike | null = null
  let openedAt: number | null = null
  let resolveEnd: (end: ConnectionEnd) => void = ignore
  const closed = new Promise<ConnectionEnd>(resolve => {
    resolveEnd = resolve
  })

  function settle ({ code, reason }: SocketClosure): void {
    handshake.abort()

    if (socket !== null) {
      // `onerror` stays: an error without a listener would end a Node process.
      Object.assign(socket, { onopen: null, onmessage: null, onclose: null })
    }

    resolveEnd({ code, reason, openFor: openedAt === null ? null : now() - openedAt })
  }

  function close ({ code, reason }: SocketClosure): void {
    settle({ code, reason })
    // `close` of a browser throws for other codes.
    socket?.close(code >= 3000 ? code : 1000, reason)
  }

  try {
    socket = create()

    if (binaryType !== undefined) {
      socket.binaryType = binaryType
    }

    socket.onerror = ignore
    socket.onclose = settle

    socket.onmessage = ({ data }) => {
      callListener(onMessage, data)
    }

    socket.onopen = () => {
      handshake.abort()
      openedAt = now()
      onOpen()
    }

    void sleep(DEFAULT_TIMEOUT, handshake.signal).then(() => {
      if (!handshake.signal.aborted) {
        close(LOST)
      }
    })
  } catch {
    // Not reported: the message of a browser may contain the token.
    settle(LOST)
  }

  const connection: Connection = {
    get isOpen () {
      return openedAt !== null && socket?.readyState === OPEN
    },
    closed,
    send (data) {
      const { isOpen } = connection

      if (isOpen) {
        socket?.send(data)
      }

      return isOpen
    },
    close
  }
  return connection
}
