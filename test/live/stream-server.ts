// Server of streams in a process of its own. Usage: stream-server.ts <database URL> <schema> <mode>

import '../helpers/cheap-argon2.js'
import Fastify from 'fastify'
import pg from 'pg'
import { tokenAuth } from '../../src/index.js'
import type { TokenAuthError, TokenResponse } from '../../src/index.js'
import { listenForRevocations, PostgresStore } from '../../src/stores/postgres/index.js'
import { SECRET } from '../helpers/app.js'

const [url = '', schema = '', mode] = process.argv.slice(2)
const connection = { connectionString: url, options: `-c search_path=${schema}` }
const pool = new pg.Pool({ ...connection, max: 4 })
const subscribe = listenForRevocations(() => new pg.Client(connection))
const findUser = (id: string): { id: string, passwordHash: null } => ({ id, passwordHash: null })
const app = Fastify({ forceCloseConnections: true })

await app.register(tokenAuth, {
  secret: SECRET,
  store: new PostgresStore(pool),
  throttle: false,
  revocations: mode === 'listen' ? { subscribe, pollInterval: '1s' } : { pollInterval: '500ms' },
  users: { findByLogin: () => null, findById: findUser }
})

app.post('/open', async (request): Promise<TokenResponse[]> => {
  const { from, count } = request.body as { from: number, count: number }
  const users = Array.from({ length: count }, (_, i) => `u-${from + i}`)
  return Promise.all(users.map(id => app.tokenAuth.openSession(id, request)))
})

app.get('/stream', { onRequest: [app.authenticate] }, (request, reply) => {
  const { signal, end } = app.tokenAuth.follow(request)
  reply.hijack()
  const { raw } = reply
  raw.writeHead(200, { 'content-type': 'text/event-stream' })
  raw.write('event: open\n\n')
  signal.addEventListener('abort', () => {
    raw.end(`event: ${(signal.reason as TokenAuthError).code}\n\n`)
  })
  raw.on('close', end)
})

console.log(await app.listen({ port: 0 }))
process.on('SIGTERM', () => {
  void app.close().then(() => pool.end())
})
