import { addAbortListener } from 'node:events'
import type { WebSocket } from '@fastify/websocket'
import type { FollowedSession, TokenAuthError } from 'fastify-token-auth'

/**
 * Ends a socket with its session, and passes the next access tokens of its client to `renew`.
 *
 * The client is `openSocket` of `fastify-token-auth/client/live`.
 *
 * @param onMessage - Called with all other messages.
 */
export function bindToSession (
  socket: WebSocket,
  { signal, renew, end }: FollowedSession,
  onMessage: (message: string) => void
): void {
  function close (): void {
    socket.close(4401, (signal.reason as TokenAuthError).code)
    // A client that does not answer must not stay connected.
    setTimeout(() => socket.terminate(), 1000).unref()
  }

  socket.on('close', end)
  socket.on('message', data => {
    // Messages may arrive until the client has answered the close frame.
    if (signal.aborted) {
      return
    }

    const message = String(data)
    const token = readRenewal(message)

    if (token === null) {
      return onMessage(message)
    }

    // A token that is not accepted changes nothing: the socket ends with its current token.
    renew(token).catch(() => {})
  })

  // Also closes the socket if the session ended before this call.
  addAbortListener(signal, close)
}

/** Returns the access token of a renewal, `''` if it has none, or `null` for another message. */
function readRenewal (message: string): string | null {
  if (!message.startsWith('{"type":"renew"')) {
    return null
  }

  // A client may send any message, and an exception in a listener would end the process.
  try {
    const { access_token: token } = JSON.parse(message) as { access_token?: unknown }
    return typeof token === 'string' ? token : ''
  } catch {
    return ''
  }
}
