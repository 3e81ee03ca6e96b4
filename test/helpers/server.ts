// Server process on a SQLite file: `server.ts <file> <settings as JSON>`. Prints its address, and
// exits when its standard input closes.

import Database from 'libsql'
import Fastify from 'fastify'
import { tokenAuth } from '../../src/index.js'
import { SqliteAttempts } from '../../src/stores/sqlite/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import { PASSWORD_HASH, SECRET } from './app.js'
import type { ServerSettings } from './server-process.js'

const [file, json] = process.argv.slice(2) as [string, string]
const { isThrottled = false, ...settings } = JSON.parse(json) as ServerSettings
const db = new Database(file)
db.exec('PRAGMA busy_timeout = 0')
const store = new SqliteStore(db)
await store.migrate()

const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }
const app = Fastify()
await app.register(tokenAuth, {
  ...settings,
  secret: SECRET,
  store,
  // This process uses the real clock. After 10 failures, no attempt is possible within the test.
  throttle: isThrottled &&
    { attempts: new SqliteAttempts(db), account: { freeAttempts: 10, maxAttempts: 10 } },
  users: {
    findByLogin: login => login === ann.username ? ann : null,
    findById: id => id === ann.id ? ann : null
  }
})
app.get('/protected', { onRequest: app.authenticate }, request => request.auth)
app.get('/block', () => {
  const end = performance.now() + 7000

  while (performance.now() < end) {
    // Blocks the event loop.
  }

  return {}
})
console.log(await app.listen({ host: '127.0.0.1', port: 0 }))

process.stdin.resume().on('end', () => {
  void app.close().then(() => process.exit())
})
