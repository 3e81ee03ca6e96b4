// WebSockets, server-sent events and jobs that end with their session, on two instances:
//
//   npx tsx examples/shared/round-robin.ts examples/live/server.ts
//
// Then open http://127.0.0.1:3000 in two tabs and log in as "ann" with "correct horse".
//
//   DATABASE_FILE     live.db
//   ACCESS_LIFETIME   15m; the shorter, the more often a socket sends a new token
//   PORT              3000
//   COOKIE_SECURE     true; set "false" for Safari, which rejects Secure cookies over http
//   AUTH_SECRET       a public value, for local trials only

import { addAbortListener } from 'node:events'
import { readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import websocket from '@fastify/websocket'
import type { WebSocket } from '@fastify/websocket'
import { build } from 'esbuild'
import Fastify from 'fastify'
import { authenticate, tokenAuth } from 'fastify-token-auth'
import type { Duration, TokenAuthError } from 'fastify-token-auth'
import { SqliteAttempts, SqliteStore } from 'fastify-token-auth/sqlite'
import Database from 'libsql'
import { secret } from '../shared/secret.js'
import { start } from '../shared/start.js'
import { bindToSession } from './live-socket.js'

const { DATABASE_FILE: file = 'live.db', ACCESS_LIFETIME: lifetime = '15m' } = process.env
const app = Fastify({ logger: true })
const ann = { id: '1', username: 'ann', passwordHash: '' }
const db = new Database(file)
app.addHook('onClose', async () => {
  db.close()
})
const store = new SqliteStore(db)
await store.migrate()

await app.register(tokenAuth, {
  secret,
  store,
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  },
  accessToken: { lifetime: lifetime as Duration },
  // A file cannot notify other processes, so they look 5 times a second. PostgreSQL and Redis push.
  revocations: { pollInterval: '200ms' },
  cookie: { secure: process.env.COOKIE_SECURE !== 'false' },
  throttle: { attempts: new SqliteAttempts(db) }
})
ann.passwordHash = await app.tokenAuth.hashPassword('correct horse')
await app.register(websocket)

// Fastify loads @fastify/websocket before it adds routes of the next plugin.
await app.register(async app => {
  const sockets = new Set<WebSocket>()

  // Each message goes to all sockets of this instance.
  app.get('/live', { websocket: true, onRequest: [authenticate] }, (socket, request) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    bindToSession(socket, app.tokenAuth.follow(request), message => {
      for (const each of sockets) {
        each.send(message)
      }
    })
    socket.send(`connected to process ${process.pid}`)
  })
})

app.get('/events', { onRequest: [authenticate] }, (request, reply) => {
  const { signal, end } = app.tokenAuth.follow(request)
  const stream = new PassThrough()
  const timer = setInterval(() => {
    stream.write(`data: ${new Date().toISOString()} from process ${process.pid}\n\n`)
  }, 1000)

  const close = (): void => {
    stream.end(`event: end\ndata: ${(signal.reason as TokenAuthError).code}\n\n`)
  }

  addAbortListener(signal, close)
  stream.on('close', () => {
    clearInterval(timer)
    end()
  })
  return reply.type('text/event-stream').header('cache-control', 'no-store').send(stream)
})

// A job of ten steps. It stops between two steps when the session ends.
app.post('/reports', { onRequest: [authenticate] }, async request => {
  const { signal, end } = app.tokenAuth.follow(request)

  try {
    for (let step = 1; step <= 10; step++) {
      signal.throwIfAborted()
      await sleep(500)
    }

    return { report: 'complete' }
  } finally {
    end()
  }
})

// Only the tests call it: a protected route as in the other examples.
app.get('/protected', { onRequest: [authenticate] }, async request => ({
  userId: request.auth?.userId,
  processId: process.pid
}))

// The bundler of your app does this.
const { outputFiles: [script] } = await build({
  entryPoints: [fileURLToPath(new URL('page.ts', import.meta.url))],
  bundle: true,
  format: 'esm',
  write: false
})
const page = readFileSync(new URL('page.html', import.meta.url), 'utf8')
app.get('/', async (_request, reply) => reply.type('text/html; charset=utf-8').send(page))
app.get(
  '/page.js',
  async (_request, reply) => reply.type('text/javascript; charset=utf-8').send(script?.text)
)

await start(app)
