// Runs two instances of an example behind one port. Each request goes to the next instance, and so
// does each WebSocket.
//
//   npx tsx examples/shared/round-robin.ts examples/postgres/server.ts
//
//   PORT   port of the proxy (3000)
//
// The instances inherit all other environment variables.

import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'

const INSTANCES = 2
const [, , script] = process.argv

if (script === undefined) {
  throw new Error('usage: npx tsx examples/shared/round-robin.ts <server.ts>')
}

const instances = Array.from({ length: INSTANCES }, () =>
  fork(script, {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc']
  }))

async function waitForUrl (instance: ChildProcess): Promise<string> {
  const failed = once(instance, 'exit').then(([code]) => {
    throw new Error(`instance exited with code ${String(code)} before it listened`)
  })
  const [url] = await Promise.race([once(instance, 'message'), failed])
  return url as string
}

const urls = await Promise.all(instances.map(waitForUrl))
let requests = 0
const nextInstance = (): string => urls[requests++ % urls.length] ?? ''

const proxy = createServer((incoming, outgoing) => {
  const url = new URL(incoming.url ?? '/', nextInstance())
  const { method = 'GET', headers } = incoming
  const forwarded = request(url, { method, headers }, response => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers)
    response.pipe(outgoing)
  })
  forwarded.on('error', () => {
    // A response that has started cannot get another status.
    if (outgoing.headersSent) {
      outgoing.destroy()
    } else {
      outgoing.writeHead(502).end()
    }
  })
  // The instance must notice when the reader of an event stream leaves.
  outgoing.on('close', () => {
    forwarded.destroy()
  })
  incoming.pipe(forwarded)
})

// A WebSocket is a connection after its handshake, so the proxy only passes bytes.
proxy.on('upgrade', ({ method, url, rawHeaders }, socket, head) => {
  const instance = connect(Number(new URL(nextInstance()).port), '127.0.0.1', () => {
    const headers = rawHeaders.map((part, i) => i % 2 === 0 ? `${part}: ` : `${part}\r\n`)
    instance.write(`${method} ${url} HTTP/1.1\r\n${headers.join('')}\r\n`)
    instance.write(head)
    instance.pipe(socket).pipe(instance)
  })
  instance.on('error', () => socket.destroy())
  socket.on('error', () => instance.destroy())
})

proxy.listen(Number(process.env.PORT ?? 3000), '127.0.0.1')
await once(proxy, 'listening')

const { port } = proxy.address() as AddressInfo
console.log(`
  ${INSTANCES} instances (${urls.join(', ')}) listen behind http://127.0.0.1:${port}.
  The responses of /protected name the process that served them:

  curl http://127.0.0.1:${port}/auth/login -d username=ann --data-urlencode 'password=correct horse'
  curl http://127.0.0.1:${port}/protected -H "authorization: Bearer $ACCESS_TOKEN"
  curl http://127.0.0.1:${port}/auth/logout -H "authorization: Bearer $ACCESS_TOKEN" -X POST
`)

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    proxy.close()

    for (const instance of instances) {
      instance.kill()
    }
  })
}
