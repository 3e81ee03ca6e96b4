// A process that starts an app and says how many milliseconds it took, with our plugin (`plugin`) or without (`alone`). Plain
// JavaScript: what compiles TypeScript would take longer than what is measured.
//
// With `--list` it says what it has loaded instead, and with a package's name how long that package alone takes.

import { Session } from 'node:inspector'
import { createRequire } from 'node:module'

const [what, option] = process.argv.slice(2)
const start = { alone: startAlone, plugin: startPlugin }[what]

if (start === undefined) {
  // `require` takes packages of either module system, and native ones too.
  const begin = performance.now()
  createRequire(import.meta.url)(what)
  process.send({ ms: performance.now() - begin })
} else {
  const begin = performance.now()
  const app = await start()
  const ms = performance.now() - begin
  process.send(option === '--list' ? { urls: loadedUrls(), refusal: await refusal(app) } : { ms })
  await app.close()
}

process.disconnect()

async function startAlone () {
  const { default: Fastify } = await import('fastify')
  const app = Fastify()
  app.get('/protected', async () => ({ hello: 'world' }))
  return app.ready()
}

async function startPlugin () {
  const { default: Fastify } = await import('fastify')
  const { tokenAuth } = await import('fastify-token-auth')
  const { MemoryStore } = await import('fastify-token-auth/memory')
  const app = Fastify()
  await app.register(tokenAuth, {
    secret: 'for-the-benchmark-alone-Vq3xZ8nK1rT6wY0p',
    store: new MemoryStore(),
    users: { findByLogin: () => null, findById: () => null }
  })
  app.get('/protected', { onRequest: app.authenticate }, async () => ({ hello: 'world' }))
  return app.ready()
}

// Every script that the engine knows, of either module system, and every native library.
function loadedUrls () {
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

// That it has started in earnest.
async function refusal (app) {
  const { statusCode } = await app.inject('/protected')
  return statusCode
}
