/**
 * A WebSocket that follows the session of the client.
 *
 * @module fastify-token-auth/client/live
 */

export { openSocket } from './open-socket.js'
export type { LiveSocket, SocketClosure, SocketEnd, SocketOptions, SocketState } from './types.js'
export type { SocketData, WebSocketConstructor, WebSocketLike } from './web-socket.js'
