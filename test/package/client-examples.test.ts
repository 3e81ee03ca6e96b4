// examples/client: each adapter compiled as its reader would compile it, and run where it belongs: React and the plain page in
// Chromium, axios against a server, the token service on a keychain that is killed between receiving a token and keeping it.

import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import axios from 'axios'
import type { AxiosInstance } from 'axios'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthClient } from '../../src/client/index.js'
import type { AuthClient } from '../../src/client/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'
import { jar, startApp, startBrowser, whyNoChromium } from '../helpers/browser/browser.js'
import { until } from '../helpers/browser/client-page.js'
import { MINUTE } from '../helpers/clock.js'
import { createConsumer, root } from '../helpers/consumer.js'

interface KeychainItem {
  readonly password: string
}

interface FakeKeychain {
  readonly ACCESSIBLE: Record<'AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY', string>
  readonly STORAGE_TYPE: Record<'AES_GCM_NO_AUTH', string>
  readonly items: Map<string, KeychainItem>
  readonly options: object[]
  /** What a `set` does before it works. */
  onSet: () => unknown
  getGenericPassword(place: { service: string }): Promise<false | KeychainItem>
  setGenericPassword(
    username: string,
    password: string,
    options: { service: string }
  ): Promise<unknown>
  resetGenericPassword(place: { service: string }): Promise<unknown>
}

interface Examples {
  authorize(http: AxiosInstance, auth: AuthClient, probe: string): () => void
  createTokenService(keychain: FakeKeychain, baseUrl: string): AuthClient
}

const folder = join(root, 'examples/client')
const read = (file: string): string => readFileSync(join(folder, file), 'utf8')
const ann = { username: 'ann', password: PASSWORD }

// By their addresses, since their types are those of the package as it was built.
const load = (file: string): Promise<Examples> =>
  import(new URL(`../../examples/client/${file}`, import.meta.url).href)
const { authorize } = await load('axios.ts')
const { createTokenService } = await load('react-native.ts')

interface Server extends TestApp {
  readonly url: string
  /** Each request: its URL, and its Authorization header. */
  readonly asked: string[]
}

async function serve (t: Test, given: TestAppOptions = {}): Promise<Server> {
  const asked: string[] = []
  const made = await createTestApp({
    ...given,
    before (app) {
      app.addHook('onRequest', async ({ url, headers }) => {
        asked.push(`${url} ${headers.authorization ?? ''}`.trim())
      })
    }
  })
  t.teardown(() => made.app.close())
  return { ...made, url: await made.app.listen({ host: '127.0.0.1', port: 0 }), asked }
}

const to = (asked: readonly string[], path: string): string[] =>
  asked.filter(one => one.startsWith(path))

t.test('they compile, and the compiler sees what does not', async t => {
  const dependencies = [
    'react',
    'react-dom',
    '@types/react',
    '@types/react-dom',
    'axios',
    'fastify',
    '@types/node'
  ]
  const consumer = createConsumer(dependencies)
  t.teardown(() => {
    consumer.remove()
  })

  for (const file of ['axios.ts', 'react.tsx', 'react-native.ts']) {
    consumer.write(file, read(file))
  }

  consumer.write(
    'tsconfig.json',
    JSON.stringify({
      compilerOptions: {
        target: 'ES2023',
        module: 'NodeNext',
        jsx: 'react-jsx',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        verbatimModuleSyntax: true,
        noUnusedLocals: true,
        skipLibCheck: true,
        types: ['node'],
        noEmit: true
      },
      include: ['*.ts', '*.tsx']
    })
  )
  // What react-native-keychain 10 declares of itself, in short.
  consumer.write(
    'use.tsx',
    `
    import { useAuth, AuthProvider } from './react.js'
    import { createAuthClient } from 'fastify-token-auth/client'
    import { createTokenService } from './react-native.js'
    enum ACCESSIBLE { AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY = 'AccessibleAfterFirstUnlockThisDeviceOnly' }
    enum STORAGE_TYPE { AES_GCM_NO_AUTH = 'KeystoreAESGCM_NoAuth' }
    interface Result { service: string, storage: STORAGE_TYPE }
    interface UserCredentials extends Result { username: string, password: string }
    declare const Keychain: {
      ACCESSIBLE: typeof ACCESSIBLE
      STORAGE_TYPE: typeof STORAGE_TYPE
      getGenericPassword (options?: { service?: string }): Promise<false | UserCredentials>
      setGenericPassword (username: string, password: string, options?: {
        service?: string, accessible?: ACCESSIBLE, storage?: STORAGE_TYPE
      }): Promise<false | Result>
      resetGenericPassword (options?: { service?: string }): Promise<boolean>
    }
    const create = () => createAuthClient({ baseUrl: 'https://api.example.org' })
    function Page () {
      const { status, client } = useAuth()
      return <button onClick={() => { void client.logout() }}>{status}</button>
    }
    export const app = <AuthProvider create={create}><Page /></AuthProvider>
    export const service = createTokenService(Keychain, 'https://api.example.org')`
  )
  consumer.write(
    'wrong.tsx',
    `
    import { useAuth } from './react.js'
    export const Page = () => <p>{useAuth().statuses}</p>`
  )
  const errors = (await consumer.compile()).split('\n').filter(line => line.includes('error TS'))
  t.strictSame(errors.filter(line => !line.includes('wrong.tsx')), [])
  t.match(errors.at(-1), /'statuses' does not exist on type 'Auth'/)
})

t.test('axios', async t => {
  let streams = 0
  const server = await serve(t, {
    after (app) {
      app.post('/echo', { onRequest: app.authenticate }, request => request.body)
      app.addContentTypeParser('application/octet-stream', async () => {
        streams++
      })
      app.get('/never', (_request, reply) => reply.code(401).send({ code: 'AUTH_ACCESS_INVALID' }))
      app.get<{ Querystring: { to: string } }>(
        '/go',
        (request, reply) => reply.redirect(request.query.to)
      )
    }
  })
  const { url, asked, clock } = server
  const other = await serve(t)
  const auth = createAuthClient({ baseUrl: url, storage: 'memory' })
  t.teardown(() => {
    auth.dispose()
  })
  const http = axios.create({ baseURL: url, validateStatus: status => status < 400 })
  const eject = authorize(http, auth, `${url}/auth/me`)
  const status = (request: Promise<{ status: number }>): Promise<number> =>
    request.then(
      ({ status }) => status,
      (error: { response?: { status: number } }) => error.response?.status ?? 0
    )

  t.equal(await status(http.get('/protected')), 401)
  t.strictSame(asked, ['/protected'], 'nobody is signed in: sent once, without a token')
  await auth.login(ann)
  t.equal((await http.get<{ userId: string }>('/protected')).data.userId, 'u-ann')

  clock.advance(20 * MINUTE)
  asked.length = 0
  t.strictSame(
    await Promise.all(Array.from({ length: 5 }, () => status(http.get('/protected')))),
    Array(5).fill(200)
  )
  t.equal(to(asked, '/auth/refresh').length, 1, 'one refresh for all')
  t.equal(to(asked, '/protected').length, 10)

  clock.advance(20 * MINUTE)
  asked.length = 0
  t.strictSame((await http.post('/echo', { a: 1 })).data, { a: 1 }, 'a body is sent again')
  t.equal(to(asked, '/echo').length, 2)
  clock.advance(20 * MINUTE)
  asked.length = 0
  const headers = { 'content-type': 'application/octet-stream' }
  t.equal(await status(http.post('/echo', Readable.from(['x']), { headers })), 401)
  t.equal(to(asked, '/echo').length, 1, 'a stream is not')
  t.equal(streams, 0)

  asked.length = 0
  t.equal(await status(http.get('/never')), 401)
  t.ok(to(asked, '/never').length <= 2 && to(asked, '/auth/refresh').length <= 1, 'no loop')

  asked.length = 0
  await status(http.get('/protected', { headers: { authorization: 'Bearer mine' } }))
  t.strictSame(asked, ['/protected Bearer mine'], 'a header of one\'s own is left alone')

  for (const path of ['/protected', '//127.0.0.1/x']) {
    await status(http.get(new URL(path, other.url).href, { timeout: 500 }))
  }

  await status(http.get(`/go?to=${encodeURIComponent(`${other.url}/protected`)}`))
  t.ok(other.asked.length >= 1)
  t.notOk(other.asked.some(one => one.includes('Bearer')), 'no token to another origin')

  asked.length = 0
  await server.app.tokenAuth.revokeUser('u-ann')
  t.equal(await status(http.get('/protected')), 401)
  t.equal(auth.state.status, 'signed-out')
  t.equal(await status(http.get('/protected')), 401)
  t.equal(to(asked, '/auth/refresh').length, 1)
  await auth.login(ann)
  eject()
  t.equal(await status(http.get('/protected')), 401)
})

t.test('React Native: a keychain, and the app killed between receiving a token and keeping it', async t => {
  const { url, clock, events, store } = await serve(t)
  const services: AuthClient[] = []
  t.teardown(() => {
    for (const service of services) {
      service.dispose()
    }
  })
  const keychain: FakeKeychain = {
    ACCESSIBLE: { AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY: 'this device' },
    STORAGE_TYPE: { AES_GCM_NO_AUTH: 'keystore' },
    items: new Map(),
    options: [],
    onSet: () => {},
    async getGenericPassword ({ service }) {
      return this.items.get(service) ?? false
    },
    async setGenericPassword (_username, password, options) {
      if (await this.onSet() === false) {
        return false
      }

      this.items.set(options.service, { password })
      this.options.push(options)
      return options
    },
    async resetGenericPassword ({ service }) {
      this.items.delete(service)
    }
  }
  const kept = (): string | undefined => keychain.items.get(url)?.password

  const start = async (): Promise<AuthClient> => {
    const service = createTokenService(keychain, url)
    services.push(service)
    await service.ready
    return service
  }

  const first = await start()
  t.equal(first.state.status, 'signed-out')
  await first.login(ann)
  const token = kept()
  t.ok(token)
  t.match(keychain.options, [{ service: url, accessible: 'this device', storage: 'keystore' }])

  for (const later of [0, 60 * MINUTE]) {
    const before = kept()
    clock.advance(20 * MINUTE)

    let reached = (): void => {}

    const isKeeping = new Promise<void>(resolve => {
      reached = resolve
    })

    keychain.onSet = () => {
      reached()
      return new Promise(() => {})
    }

    const killed = createTokenService(keychain, url)
    services.push(killed)
    await isKeeping
    t.equal(killed.state.status, 'starting', 'not used before it is kept')
    killed.dispose()

    keychain.onSet = () => {}

    clock.advance(later)
    t.equal(kept(), before)

    const next = await start()
    t.match(next.state, { status: 'signed-in', user: { username: 'ann' } })
    t.equal((await next.fetch('/protected')).status, 200)
    t.not(kept(), before)
    next.dispose()
  }

  t.notOk(events.some(({ name }) => name === 'reuse'))

  const last = await start()
  keychain.onSet = () => false
  clock.advance(20 * MINUTE)
  const refused = last.fetch('/protected', { signal: AbortSignal.timeout(300) }).catch((
    error: Error
  ) => error.name)
  t.equal(await refused, 'TimeoutError', 'a keychain that refuses is heard of')
  t.equal(last.state.status, 'signed-in')

  keychain.onSet = () => {}

  t.equal((await last.fetch('/protected')).status, 200)
  await last.logout()
  t.equal(keychain.items.size, 0)
  t.equal((await store.list('u-ann', { now: clock(), limit: 9 })).length, 0)
})

const dist = (path: string): string => readFileSync(join(root, 'dist', path), 'utf8')

t.test('in Chromium', { skip: whyNoChromium() }, async t => {
  const browser = await startBrowser(t)
  t.afterEach(() => browser.clearCookies())

  const open = async (t: Test, url: string): Promise<Page> => {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    page.on('pageerror', error => {
      t.fail(error.message)
    })
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().includes('401')) {
        t.fail(message.text())
      }
    })
    await page.goto(url)
    return page
  }

  await t.test('React, in Strict Mode', async t => {
    const { outputFiles } = await build({
      stdin: { contents: reactPage, resolveDir: folder, loader: 'tsx' },
      alias: { 'fastify-token-auth/client': join(root, 'src/client/index.ts') },
      bundle: true,
      format: 'esm',
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
      write: false
    })
    const app = await startApp(t, {
      options: { refreshToken: { transport: 'cookie' } },
      before (app) {
        app.get(
          '/page.js',
          (_request, reply) => reply.type('text/javascript').send(outputFiles[0]?.text)
        )
        app.get('/page', (_request, reply) =>
          reply.type('text/html')
            .send(
              '<!doctype html><link rel="icon" href="data:,"><body><div id="root"></div><script type="module" src="/page.js"></script>'
            ))
      }
    })
    const page = await open(t, `${app.origin}/page`)
    const other = await open(t, `${app.origin}/page`)
    const shows = (page: Page, text: string): Promise<unknown> =>
      page.waitForFunction(`document.querySelector('p')?.textContent === '${text}'`)
    const lives = (): Promise<unknown> =>
      page.evaluate('[made.length, made.filter(({ isDisposed }) => !isDisposed).length]')

    for (const each of [page, other]) {
      await shows(each, 'signed-out:')
    }

    t.strictSame(await lives(), [2, 1], 'Strict Mode made two, and one of them is disposed of')
    await page.click('#enter')

    for (const each of [page, other]) {
      await shows(each, 'signed-in:ann')
    }

    await page.click('#ask')
    await page.waitForFunction('document.querySelector(\'output\').textContent === \'200\'')

    await page.reload()
    await shows(page, 'signed-in:ann')
    await page.evaluate('hotReload()')
    await page.waitForFunction('made.length === 3')
    await shows(page, 'signed-in:ann')
    t.strictSame(await lives(), [3, 1], 'the client from before is disposed of')
    t.equal((await app.store.list('u-ann', { now: app.clock(), limit: 9 })).length, 1)

    await other.click('#leave')

    for (const each of [page, other]) {
      await shows(each, 'signed-out:')
    }

    await until(async () => Object.keys(await jar(browser, app)).length === 0)
    await page.evaluate('unmount()')
    await page.waitForFunction('made.every(({ isDisposed }) => isDisposed)')
    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })

  await t.test('a page without a build step, over http on localhost', async t => {
    const { app, events } = await createTestApp({
      options: { refreshToken: { transport: 'cookie' } },
      before (app) {
        app.get('/', (_request, reply) => reply.type('text/html').send(read('plain.html')))
        app.get<{ Params: { '*': string } }>(
          '/token-auth/*',
          (request, reply) => reply.type('text/javascript').send(dist(request.params['*']))
        )
      }
    })
    t.teardown(() => app.close())
    await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
    app.server.keepAliveTimeout = 1
    const page = await open(t, `http://localhost:${(app.server.address() as AddressInfo).port}/`)
    const says = (text: string): Promise<unknown> =>
      page.waitForFunction(`document.querySelector('[role=status]').textContent === '${text}'`)
    await says('signed-out')
    await page.fill('[name=username]', 'ann')
    await page.fill('[name=password]', 'wrong')
    await page.click('form button')
    await says('AUTH_CREDENTIALS_REJECTED')
    await page.fill('[name=username]', 'ann')
    await page.fill('[name=password]', PASSWORD)
    await page.click('form button')
    await says('Signed in as ann')
    t.equal(await page.isVisible('form'), false)
    await page.reload()
    await says('Signed in as ann')
    await page.click('#ask')
    await page.waitForFunction('document.querySelector(\'output\').textContent.includes(\'u-ann\')')
    await page.click('#leave')
    await says('signed-out')
    await until(() => events.length === 4)
    t.strictSame(events.map(({ name }) => name), ['login-rejected', 'login', 'refresh', 'revoke'])
  })
})

const reactPage = `
  import { StrictMode, useState } from 'react'
  import { createRoot } from 'react-dom/client'
  import { createAuthClient } from 'fastify-token-auth/client'
  import { AuthProvider, useAuth } from './react.js'

  const made = globalThis.made = []
  const creator = () => () => {
    const client = createAuthClient()
    const { dispose } = client
    made.push(client)
    return Object.assign(client, { dispose () { client.isDisposed = true; dispose() } })
  }
  function Page () {
    const { status, user, client } = useAuth()
    const [answer, setAnswer] = useState('')
    return <>
      <p>{status + ':' + (user?.username ?? '')}</p>
      <button id="enter" onClick={() => client.login(${JSON.stringify(ann)})} />
      <button id="leave" onClick={() => client.logout()} />
      <button id="ask" onClick={async () => setAnswer((await client.fetch('/protected')).status)} />
      <output>{answer}</output>
    </>
  }
  const root = createRoot(document.querySelector('#root'))
  const render = create => root.render(<StrictMode><AuthProvider create={create}><Page /></AuthProvider></StrictMode>)
  Object.assign(globalThis, { hotReload: () => render(creator()), unmount: () => root.unmount() })
  render(creator())`
