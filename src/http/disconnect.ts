import { setMaxListeners } from 'node:events'
import { isConnected } from './authorization.js'

/** Part of a Fastify request that shows whether its client is connected. */
export interface ConnectedRequest {
  readonly raw: {
    readonly socket?: unknown
    /** Stream of an HTTP/2 request. */
    readonly stream?: unknown
  }
}

interface Closable {
  once(event: 'close', listener: () => void): unknown
}

// Requests on one HTTP/1 connection share a signal. Otherwise pipelined requests would add many
// listeners to one socket.
const signals = new WeakMap<object, AbortSignal>()

/**
 * Returns a signal that is aborted when the client disconnects.
 *
 * The signal of a request that `inject` sent is never aborted.
 */
export function getDisconnectSignal ({ raw }: ConnectedRequest): AbortSignal {
  const connection = raw.stream ?? raw.socket

  if (!isClosable(connection)) {
    return new AbortController().signal
  }

  const known = signals.get(connection)
  const signal = known ?? createSignal(connection)
  signals.set(connection, signal)
  return isConnected({ raw }) ? signal : AbortSignal.abort()
}

function createSignal (connection: Closable): AbortSignal {
  const controller = new AbortController()
  // Node warns of a leak if a signal has many listeners, but pipelined requests are not a leak.
  setMaxListeners(0, controller.signal)
  connection.once('close', () => {
    controller.abort()
  })
  return controller.signal
}

function isClosable (connection: unknown): connection is Closable {
  return typeof (connection as Partial<Closable> | null | undefined)?.once === 'function'
}
