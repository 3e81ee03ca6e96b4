import type { AuthClient } from '../../../src/client/index.js'
import { openSocket } from '../../../src/client/live/index.js'
import type { LiveSocket, SocketOptions } from '../../../src/client/live/index.js'
import type { TestAppOptions } from '../../helpers/app.js'
import { createWorld } from '../world.js'
import type { ClientOptions, World } from '../world.js'
import { createSocketServer } from './sockets.js'
import type { SocketServer } from './sockets.js'

/** World with a signed-in client and a server of sockets, on virtual time. */
export interface LiveWorld extends World {
  readonly auth: AuthClient
  readonly sockets: SocketServer
  open(): AuthClient
  connect(options?: SocketOptions): LiveSocket
}

export async function createLiveWorld (
  t: { teardown(end: () => unknown): unknown },
  options: TestAppOptions = {},
  clientOptions: ClientOptions = {}
): Promise<LiveWorld> {
  const world = await createWorld(t, options)
  const sockets = createSocketServer(world.now)
  const auth = await world.openSignedIn(clientOptions)

  return {
    ...world,
    auth,
    sockets,
    open: () => world.open(clientOptions),
    connect: options => openSocket(auth, '/live', { WebSocket: sockets.WebSocket, ...options })
  }
}
