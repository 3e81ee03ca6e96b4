import { tokenCloseCode, tokenSubprotocol } from '../../protocol.js'
import { ignore, NO_TIMEOUT } from '../async.js'
import { createAttemptLimit, createBackoff } from '../backoff.js'
import { AuthError, toAuthError } from '../errors.js'
import { getInternals } from '../internals.js'
import { callListener } from '../subscriptions.js'
import type { AuthClient } from '../types.js'
import { connect } from './connection.js'
import type { Connection, ConnectionEnd } from './connection.js'
import { keepRenewed } from './renewal.js'
import type { Renewal } from './renewal.js'
import type { LiveSocket, SocketClosure, SocketEnd, SocketOptions, SocketState } from './types.js'
import { getWebSocket, readProtocols, resolveSocketUrl } from './web-socket.js'

/** Longest delay between two attempts in milliseconds. */
const MAX_DELAY = 10_000
/** Milliseconds after which a connection counts as stable, which resets the delay. */
const STABLE_AFTER = 5000
/** Maximum length of a reason in bytes (RFC 6455, section 5.5). */
const MAX_REASON_LENGTH = 123
const NORMAL: SocketClosure = { code: 1000, reason: '' }

/**
 * Opens a WebSocket that belongs to the session of a client, and keeps it connected.
 *
 * - The handshake contains the access token as a subprotocol, which `authenticate` of the server
 *   reads. The token is never in a URL.
 * - Before the access token expires, the socket sends a new one in a message. The server passes it
 *   to `renew` of `app.tokenAuth.follow`.
 * - After a lost connection, the socket connects again: after 0.5 s at first, and after at most
 *   12.5 s. When the device wakes or is online again, it connects immediately.
 * - The socket ends when the user signs out, or if the server reports that the session was revoked.
 *   In the second case, the client sends a refresh, and its response signs the user out.
 *
 * If a cookie carries the access token, the handshake contains the cookie instead. A page cannot
 * renew it in a message, so the server closes the socket when the token expires, and the socket
 * connects again. Tokens that are bound to a key (DPoP) are not accepted in a handshake.
 *
 * @param url - http(s) or ws(s) URL of the client's server; relative URLs are resolved against
 *   `baseUrl`.
 * @throws TypeError if the URL belongs to another origin, or if there is no `WebSocket`
 * @example
 * ```ts
 * import { openSocket } from 'fastify-token-auth/client/live'
 *
 * const socket = openSocket(auth, '/live', {
 *   onOpen: socket => socket.send(JSON.stringify({ type: 'subscribe', topic: 'orders' })),
 *   onMessage: data => show(JSON.parse(String(data)))
 * })
 * const { cause } = await socket.closed
 * ```
 */
export function openSocket (
  auth: AuthClient,
  url: string | URL,
  options: SocketOptions = {}
): LiveSocket {
  const internals = getInternals(auth)
  const { platform, session, refresher, baseUrl } = internals
  const { WebSocket = getWebSocket(), shouldReconnect = isTemporary } = options
  const target = resolveSocketUrl(url, baseUrl, options.origin ?? baseUrl)
  const protocols = readProtocols(options.protocols)
  const backoff = createBackoff(platform, createAttemptLimit(platform), MAX_DELAY)
  const ending = new AbortController()
  let state: SocketState = 'connecting'
  let connection: Connection | null = null
  /** Version of the session that the socket belongs to; `null` before the first token. */
  let sessionVersion = session.state.status === 'signed-in' ? session.sessionVersion : null
  /** Whether a failed handshake has led to another token since the last open connection. */
  let hasReplacedToken = false
  let resolveEnd: (end: Promise<SocketEnd>) => void = ignore
  const closed = new Promise<SocketEnd>(resolve => {
    resolveEnd = resolve
  })

  function setState (next: SocketState): void {
    if (state !== next) {
      state = next
      callListener(options.onStateChange ?? ignore, next)
    }
  }

  /** @param settled - Promise to wait for before `closed` resolves. */
  function end (
    cause: SocketEnd['cause'],
    { code, reason }: SocketClosure = NORMAL,
    settled: Promise<unknown> = Promise.resolve()
  ): void {
    if (ending.signal.aborted) {
      return
    }

    ending.abort()
    stopWatching()
    stopWakeEvents?.()
    connection?.close({ code, reason })
    resolveEnd(settled.then(() => ({ cause, code, reason })))
    setState('closed')
  }

  // A close frame alone does not sign the user out. Only the response to a refresh does.
  function endRevoked (closure: SocketClosure): void {
    end('revoked', closure, auth.refresh().catch(ignore))
  }

  /** Ends the socket if the client is disposed, or its session was replaced or signed out. */
  function checkSession (): void {
    if (session.isClosed) {
      end('disposed')
    } else if (
      session.state.status === 'signed-out' ||
      (sessionVersion !== null && session.sessionVersion !== sessionVersion)
    ) {
      end('signed-out')
    }
  }

  /** Opens a connection with a valid token. Returns after it has ended. */
  async function attempt (): Promise<void> {
    const token = await auth.getAccessToken()
    checkSession()

    if (ending.signal.aborted) {
      return
    }

    if (session.state.status === 'starting') {
      throw new AuthError('network')
    }

    sessionVersion = session.sessionVersion
    const offered = [...protocols, ...(token === null ? [] : [tokenSubprotocol, token])]
    const { signal } = session
    let renewal: Renewal | undefined
    const current = connect(platform, () => new WebSocket(target, offered), {
      onOpen () {
        renewal = keepRenewed(auth, internals, current, signal, options.createRenewal)
        setState('open')
        callListener(options.onOpen ?? ignore, socket)
      },
      onMessage: options.onMessage,
      binaryType: options.binaryType
    })
    connection = current
    const connectionEnd = await current.closed
    renewal?.stop()

    if (ending.signal.aborted) {
      return
    }

    if (connectionEnd.code === tokenCloseCode && connectionEnd.reason === 'AUTH_SESSION_REVOKED') {
      return endRevoked(connectionEnd)
    }

    setState('connecting')
    await prepareNext(connectionEnd, renewal?.tokenSignal ?? signal)
  }

  /** Decides after the end of a connection whether and when to open the next one. */
  async function prepareNext (
    { code, reason, openFor }: ConnectionEnd,
    tokenSignal: AbortSignal
  ): Promise<void> {
    const isStable = openFor !== null && openFor >= STABLE_AFTER
    hasReplacedToken &&= openFor === null

    if (isStable) {
      backoff.succeed()
    }

    if (code === tokenCloseCode) {
      if (session.signal === tokenSignal) {
        session.invalidate()
      }

      // A new token usually fixes this, so the next attempt needs no delay.
      if (isStable) {
        return
      }
    } else if (!shouldReconnect({ code, reason })) {
      return end('closed', { code, reason })
    }

    backoff.fail(new AuthError('network'))

    // A page cannot see whether the response to a handshake was 401. If it was, the next attempt
    // needs another token.
    if (openFor === null && !hasReplacedToken) {
      await refresher.replaceToken(tokenSignal)
      hasReplacedToken = session.signal !== tokenSignal
    }
  }

  async function run (): Promise<void> {
    while (!ending.signal.aborted) {
      await backoff.wait(ending.signal)
      backoff.start()
      await attempt().catch((failure: unknown) => {
        backoff.fail(toAuthError(failure))
        checkSession()
      })
    }
  }

  const socket: LiveSocket = {
    get state () {
      return state
    },
    closed,
    send: data => connection?.send(data) ?? false,

    close (code = NORMAL.code, reason = '') {
      if (code !== NORMAL.code && !(code >= 3000 && code <= 4999)) {
        throw new TypeError('"code" must be 1000, or 3000 to 4999')
      }

      // Otherwise `WebSocket` would throw later, and its connection would stay open.
      if (getByteLength(reason) > MAX_REASON_LENGTH) {
        throw new TypeError(`"reason" must have at most ${MAX_REASON_LENGTH} bytes`)
      }

      end('closed', { code, reason })
    }
  }
  const stopWatching = session.onTokenChange(checkSession)
  const stopWakeEvents = platform.onWake?.(backoff.reset)
  // A Node process must not end between two connections.
  void platform.sleep(NO_TIMEOUT, ending.signal, true)
  void run()
  return socket
}

/** Whether another attempt may succeed. Codes from 4400 to 4499 correspond to HTTP 4xx. */
function isTemporary ({ code }: SocketClosure): boolean {
  return code !== NORMAL.code && code !== 1008 && !(code >= 4400 && code <= 4499)
}

/** Returns the length as UTF-8. Older versions of React Native have no `TextEncoder`. */
function getByteLength (text: string): number {
  return encodeURIComponent(text).replace(/%../g, '-').length
}
