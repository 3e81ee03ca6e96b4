import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

/** TCP proxy that can interrupt all connections. */
export interface CuttableProxy {
  readonly url: string
  /** Ends all connections, and refuses new ones until {@link restore}. */
  cut(): void
  restore(): void
}

/** Starts a proxy in front of a server. */
export async function startCuttableProxy (
  t: { teardown(end: () => unknown): unknown },
  target: string
): Promise<CuttableProxy> {
  const sockets = new Set<Socket>()
  let isCut = false

  function track (socket: Socket): void {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }

  const server = createServer(incoming => {
    track(incoming)

    if (isCut) {
      incoming.destroy()
      return
    }

    const outgoing = connect(Number(new URL(target).port), '127.0.0.1')
    track(outgoing)
    incoming.pipe(outgoing).pipe(incoming)
    incoming.on('close', () => outgoing.destroy())
    outgoing.on('close', () => incoming.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  function destroyAll (): void {
    for (const socket of sockets) {
      socket.destroy()
    }
  }

  t.teardown(() => {
    server.close()
    destroyAll()
  })

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut () {
      isCut = true
      destroyAll()
    },
    restore () {
      isCut = false
    }
  }
}
