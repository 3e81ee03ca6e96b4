import { tokenCloseCode } from '../../protocol.js'
import { ignore } from '../async.js'
import type { ClientInternals } from '../internals.js'
import type { AuthClient } from '../types.js'
import type { Connection } from './connection.js'
import type { SocketData } from './web-socket.js'

/** Sends each new access token over a connection. */
export interface Renewal {
  /** Signal of the token that the server got last. It identifies the token. */
  readonly tokenSignal: AbortSignal
  stop(): void
}

/** Milliseconds between attempts to get another token. The refresher delays those that fail. */
const RETRY_INTERVAL = 1000

/** Creates the default message with a new access token. */
export function createRenewalMessage (accessToken: string): string {
  return JSON.stringify({ type: 'renew', access_token: accessToken })
}

/**
 * Keeps a connection supplied with access tokens until it ends.
 *
 * A token is replaced when a refresh of the client is due, by either clock. If it has expired, for
 * example while the device slept, the server has closed the connection. So the connection ends.
 *
 * @param sentSignal - Signal of the token in the handshake.
 */
export function keepRenewed (
  auth: AuthClient,
  { platform, session }: ClientInternals,
  connection: Connection,
  sentSignal: AbortSignal,
  createMessage: (accessToken: string) => SocketData = createRenewalMessage
): Renewal {
  let tokenSignal = sentSignal
  const stopping = new AbortController()
  let pause = new AbortController()

  function sendToken (): void {
    const { token, signal } = session

    if (token !== null && signal !== tokenSignal) {
      tokenSignal = signal
      connection.send(createMessage(token))
    }

    pause.abort()
  }

  async function run (): Promise<void> {
    while (!stopping.signal.aborted) {
      pause = new AbortController()
      await platform.sleep(Math.max(session.dueIn, RETRY_INTERVAL), pause.signal)

      if (stopping.signal.aborted) {
        return
      }

      if (session.remaining <= 0) {
        return connection.close({ code: tokenCloseCode, reason: 'AUTH_ACCESS_EXPIRED' })
      }

      if (session.isDue) {
        await auth.getAccessToken().catch(ignore)
      }
    }
  }

  const stopListening = session.onTokenChange(sendToken)
  const stopWakeEvents = platform.onWake?.(() => {
    pause.abort()
  })
  // The token may have changed during the handshake.
  sendToken()
  void run()

  return {
    get tokenSignal () {
      return tokenSignal
    },
    stop () {
      stopping.abort()
      stopListening()
      stopWakeEvents?.()
      pause.abort()
    }
  }
}
