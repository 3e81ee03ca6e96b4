// Starts the app: npx tsx examples/app/server.ts
// The README of this folder lists the environment variables.

import { buildApp } from './app.js'
import { openDatabase } from './database.js'
import { readSettings } from './settings.js'

const settings = readSettings()
const app = await buildApp(settings, await openDatabase(settings.databaseFile))

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    app.log.info({ signal }, 'closing')
    setTimeout(() => process.exit(1), 10_000).unref() // for a request that never ends
    // A connection that becomes idle now would stay open for 72 s, the default of Fastify.
    setInterval(() => app.server.closeIdleConnections(), 100).unref()
    await app.close() // finishes requests, and writes what the plugin has not saved yet
  })
}

await app.listen({ host: settings.host, port: settings.port })
