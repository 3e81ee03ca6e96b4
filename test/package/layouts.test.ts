// The layouts of examples/layouts, started as their README says.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request as sendRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { Test } from 'tap'
import viteConfig from '../../examples/layouts/vite/vite.config.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, defaultDependencies, root } from '../helpers/consumer.js'
import { ann, callWithToken, login, startExample } from '../helpers/example-process.js'

/** Starts Node.js with the arguments, and returns the URL that it logs. */
async function startNode (t: Test, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: createChildEnv({ PORT: '0', AUTH_SECRET: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill())

  for await (const line of createInterface({ input: child.stdout })) {
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? []

    if (url !== undefined) {
      child.stdout.resume()
      return url
    }
  }

  throw new Error(`node ${args.join(' ')} did not listen`)
}

async function expectProtected (t: Test, url: string, path: string): Promise<void> {
  t.equal((await fetch(url + path)).status, 401)
  const response = await callWithToken(url + path, await login(url))
  t.equal(response.status, 200)
  t.match(await response.json(), { userId: '1' })
}

/** Starts a proxy that treats the host of a request like the development server of Vite. */
async function startProxy (
  t: Test,
  target: string,
  { changeOrigin }: { readonly changeOrigin: boolean }
): Promise<string> {
  const server = createServer((request, response) => {
    const headers = { ...request.headers, ...(changeOrigin && { host: new URL(target).host }) }
    const forwarded = sendRequest(target + request.url, { method: request.method, headers })
    forwarded.on('response', answer => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    request.pipe(forwarded)
  })
  server.listen(0, '127.0.0.1')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

t.test('scopes: pages and documentation are public, the API is not', async t => {
  const { url } = await startExample(t, 'layouts/scopes/server.ts')

  for (const path of ['/', '/index.html', '/docs', '/docs/json', '/docs/static/swagger-ui.css']) {
    t.equal((await fetch(url + path)).status, 200, path)
  }

  const document = await (await fetch(`${url}/docs/json`)).json()
  t.match(document, { paths: { '/api/orders': {}, '/auth/login': {} } })
  await expectProtected(t, url, '/api/orders')
})

t.test('autoload: fastify-cli starts the app', async t => {
  const args = ['start', '-a', '127.0.0.1', '-p', '0', '-l', 'info']
  const url = await startNode(t, [
    'node_modules/tsx/dist/cli.mjs',
    'node_modules/fastify-cli/cli.js',
    ...args,
    'examples/layouts/autoload/app.ts'
  ])
  await expectProtected(t, url, '/orders')
})

t.test('commonjs: node starts the server', async t => {
  await expectProtected(
    t,
    await startNode(t, ['examples/layouts/commonjs/server.cjs']),
    '/protected'
  )
})

t.test('commonjs: TypeScript compiles', async t => {
  const consumer = createConsumer(defaultDependencies)
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write('package.json', JSON.stringify({ type: 'commonjs' }))
  consumer.write(
    'app.ts',
    `import Fastify from 'fastify'
    import { authenticate, tokenAuth } from 'fastify-token-auth'
    import { MemoryStore } from 'fastify-token-auth/memory'

    const app = Fastify()
    void app.register(tokenAuth, {
      secret: process.env.AUTH_SECRET,
      store: new MemoryStore(),
      users: { findByLogin: () => null, findById: () => null }
    })
    app.get('/', { onRequest: [authenticate] }, request => request.auth?.userId)`
  )
  t.equal(await consumer.compile(), '')
})

t.test('vite: a page that Vite serves logs in with a cookie', async t => {
  const { url } = await startExample(t, 'layouts/scopes/server.ts')

  const logIn = async (proxy: string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${proxy}/auth/login`, {
      method: 'POST',
      headers: { origin: proxy, 'x-token-transport': 'cookie', ...headers },
      body: new URLSearchParams(ann)
    })

  const [config] = Object.values(viteConfig.server.proxy)
  const proxy = await startProxy(t, url, config ?? { changeOrigin: true })
  t.equal((await fetch(`${proxy}/api/orders`)).status, 401)
  const onLocalhost = await logIn(proxy, { 'sec-fetch-site': 'same-origin' })
  t.match(onLocalhost.headers.get('set-cookie'), /__Host-auth-refresh=/)
  // Browsers send no Sec-Fetch-Site over http to another host than localhost.
  t.equal((await logIn(proxy, {})).status, 200)
  const changed = await startProxy(t, url, { changeOrigin: true })
  t.equal((await logIn(changed, {})).status, 403, 'the reason for changeOrigin: false')
  t.equal((await logIn(proxy, { origin: 'https://attacker.example' })).status, 403)
})
