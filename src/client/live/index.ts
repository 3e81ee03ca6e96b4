export { openSocket } from './open-socket.js'
export type { LiveSocket, SocketClosure, SocketEnd, SocketOptions, SocketState } from './types.js'
export type { WebSocketConstructor, WebSocketLike } from './web-socket.js'
