import pg from 'pg'
import { listenForRevocations, PostgresStore } from 'fastify-token-auth/postgres'
import { startInstance } from '../shared/instance.js'

const connectionString = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const pool = new pg.Pool({ connectionString })
const listener = new pg.Client({ connectionString })
await listener.connect()

const store = new PostgresStore(pool)
await store.migrate()

await startInstance({
  store,
  subscribe: listenForRevocations(listener),
  close: () => Promise.all([listener.end(), pool.end()])
})
