// Starts an app in a new process, and reports the milliseconds. This file is JavaScript, because
// compiling TypeScript would take longer than the measured start.
//
//   without-plugin          starts an app without the plugin
//   with-plugin             starts an app with the plugin
//   <package>               loads one package
//   <app> --list            reports the loaded scripts instead of the time

import { Session } from 'node:inspector'
import { createRequire } from 'node:module'

const [target, option] = process.argv.slice(2)
const start = { 'without-plugin': startWithoutPlugin, 'with-plugin': startWithPlugin }[target]

if (start === undefined) {
  const startTime = performance.now()
  // `require` loads packages of both module systems, and native ones.
  createRequire(import.meta.url)(target)
  process.send({ ms: performance.now() - startTime })
} else {
  const startTime = performance.now()
  const app = await start()
  const ms = performance.now() - startTime
  process.send(
    option === '--list' ? { urls: readLoadedUrls(), status: await callProtectedRoute(app) } : { ms }
  )
  await app.close()
}

process.disconnect()

async function startWithoutPlugin () {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.get('/protected', async () => ({ hello: 'world' }))
  return app.ready()
}

async function startWithPlugin () {
  const { default: Fastify } = await import('fastify')
  const { tokenAuth } = await import('fastify-token-auth')
  const { MemoryStore } = await import('fastify-token-auth/memory')
  const app = Fastify()
  await app.register(tokenAuth, {
    secret: 'only-for-the-benchmark-Vq3xZ8nK1rT6wY0p',
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null }
  })
  app.get('/protected', { onRequest: [app.authenticate] }, async () => ({ hello: 'world' }))
  return app.ready()
}

/** Returns the URLs of all scripts of both module systems, and of all native libraries. */
function readLoadedUrls () {
  const urls = []
  const session = new Session()
  session.connect()
  session.on('Debugger.scriptParsed', ({ params }) => {
    urls.push(params.url)
  })
  session.post('Debugger.enable')
  session.disconnect()
  return [...urls, ...process.report.getReport().sharedObjects]
}

/** Returns the status of a request, which shows that the app has started. */
async function callProtectedRoute (app) {
  const { statusCode } = await app.inject('/protected')
  return statusCode
}
