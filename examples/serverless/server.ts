// Two processes that are frozen after each response: npx tsx examples/serverless/server.ts
//
//   DATABASE_URL   postgres://postgres@127.0.0.1:5432/postgres
//   PORT           3000
//   AUTH_SECRET    a public value, for local trials only

import { createServer } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { PostgresStore } from 'fastify-token-auth/postgres'
import pg from 'pg'
import { startFrozenProcess } from './frozen-process.js'
import type { FunctionEvent } from './handler.js'

process.env.DATABASE_URL ??= 'postgres://postgres@127.0.0.1:5432/postgres'

// A deploy creates the tables, not a cold start: npx fastify-token-auth migrate --yes
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
await new PostgresStore(pool).migrate()
await pool.end()

const processes = [startFrozenProcess(), startFrozenProcess()] as const
let requests = 0

async function toEvent (request: IncomingMessage): Promise<FunctionEvent> {
  const { method = 'GET', headers, socket } = request
  const url = new URL(request.url ?? '/', 'http://localhost')
  const { cookie, ...rest } = headers

  return {
    rawPath: url.pathname,
    rawQueryString: url.search.slice(1),
    headers: Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)])),
    ...cookie !== undefined && { cookies: cookie.split('; ') },
    body: (await buffer(request)).toString('base64'),
    isBase64Encoded: true,
    requestContext: { http: { method, sourceIp: socket.remoteAddress ?? '' } }
  }
}

const server = createServer(async (request, response) => {
  try {
    const process = processes[requests++ % 2 as 0 | 1]
    const { statusCode, headers, cookies, body } = await process.invoke(await toEvent(request))
    response.writeHead(statusCode, { ...headers, 'set-cookie': [...cookies] })
    response.end(Buffer.from(body, 'base64'))
  } catch {
    // A cold start that fails, for example because the database is down.
    response.writeHead(503, { 'retry-after': '1' }).end()
  }
})

server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    processes.forEach(each => {
      each.stop()
    })
    server.close()
    server.closeAllConnections()
  })
}
