/**
 * The used part of the WebSocket API. React Native and Node have no DOM types.
 *
 * @module
 */

import { tokenSubprotocol } from '../../protocol.js'

interface SocketListeners {
  // Method syntax, because TypeScript compares parameters of methods bivariantly. Otherwise a real
  // `WebSocket` is not assignable: its listeners require full events.
  handleEvent(event: unknown): void
  handleMessage(event: { readonly data: unknown }): void
  handleClose(event: { readonly code: number, readonly reason: string }): void
}

/** A `WebSocket` of a browser or of the package `ws`. */
export interface WebSocketLike {
  /** Type of the data of binary messages. */
  binaryType: string
  /** 1 while the connection is open. */
  readonly readyState: number
  /** Called when the connection opens. */
  onopen: SocketListeners['handleEvent'] | null
  /** Called for each message. */
  onmessage: SocketListeners['handleMessage'] | null
  /** Called when the connection is closed. */
  onclose: SocketListeners['handleClose'] | null
  /** Called if the connection fails. */
  onerror: SocketListeners['handleEvent'] | null
  /** Sends a message. */
  send(data: SocketData): void
  /** Closes the connection. */
  close(code?: number, reason?: string): void
}

/** Data of a message. A browser also accepts a `Blob`. */
export type SocketData = string | ArrayBuffer | Uint8Array<ArrayBuffer>

/** Class `WebSocket` of a browser or of the package `ws`. */
export type WebSocketConstructor = new(url: string, protocols: string[]) => WebSocketLike

/** Returns the class of the environment. @throws TypeError if there is none */
export function getWebSocket (): WebSocketConstructor {
  const { WebSocket } = globalThis as { WebSocket?: WebSocketConstructor }

  if (WebSocket === undefined) {
    throw new TypeError(
      'openSocket requires the option "WebSocket", because there is no global one'
    )
  }

  return WebSocket
}

/**
 * Resolves the URL of a socket.
 *
 * @param origin - The only origin that may receive tokens.
 * @throws TypeError if the URL belongs to another origin
 */
export function resolveSocketUrl (url: string | URL, baseUrl: string, origin: string): string {
  const { href } = new URL(url, baseUrl)
  // Changes the string, because React Native lacks the setter `protocol`. A socket has no fragment.
  const httpUrl = href.replace(/^ws/, 'http').replace(/#.*/, '')

  if (!/^http/.test(httpUrl) || new URL(httpUrl).origin !== new URL(origin).origin) {
    throw new TypeError(
      '"url" must belong to the origin of "baseUrl", or to the option "origin" of openSocket'
    )
  }

  return httpUrl.replace(/^http/, 'ws')
}

/** Reads the subprotocols of the app. @throws TypeError if one is invalid or offered twice */
export function readProtocols (given: string | readonly string[] = []): readonly string[] {
  const protocols = typeof given === 'string' ? [given] : given

  // Otherwise each connection would fail, with an error that may contain the token.
  if (
    new Set([...protocols, tokenSubprotocol]).size <= protocols.length ||
    !protocols.every(protocol => /^[\w!#$%&'*+.^`|~-]+$/.test(protocol))
  ) {
    throw new TypeError('"protocols" must be valid names of subprotocols, each of them once')
  }

  return protocols
}
