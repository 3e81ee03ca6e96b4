// These tests compile examples/client and its guide in a project of a user. The interceptors of
// axios and the keychain storage run with a server. React and Vue run in test/client.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import axios from 'axios'
import type { AxiosInstance } from 'axios'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthClient } from '../../src/client/index.js'
import type { AuthClient } from '../../src/client/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp, TestAppOptions } from '../helpers/app.js'
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
  /** Called before an item is saved. Returns `false` to reject it. */
  onSet: () => unknown
  getGenericPassword(item: { service: string }): Promise<false | KeychainItem>
  setGenericPassword(
    username: string,
    password: string,
    options: { service: string }
  ): Promise<unknown>
  resetGenericPassword(item: { service: string }): Promise<unknown>
}

interface Examples {
  addAuthInterceptors(http: AxiosInstance, auth: AuthClient, probeUrl: string): () => void
  createMobileAuthClient(keychain: FakeKeychain, baseUrl: string): AuthClient
}

const folder = join(root, 'examples/client')
const readExample = (file: string): string => readFileSync(join(folder, file), 'utf8')
const ann = { username: 'ann', password: PASSWORD }

// Loaded by URL, because the examples have the types of the built package.
const load = (file: string): Promise<Examples> =>
  import(new URL(`../../examples/client/${file}`, import.meta.url).href)
const { addAuthInterceptors } = await load('axios.ts')
const { createMobileAuthClient } = await load('react-native.ts')

interface Server extends TestApp {
  readonly url: string
  /** URL and Authorization header of each request. */
  readonly requests: string[]
}

async function startServer (t: Test, options: TestAppOptions = {}): Promise<Server> {
  const requests: string[] = []
  const testApp = await createTestApp({
    ...options,
    before (app) {
      app.addHook('onRequest', async ({ url, headers }) => {
        requests.push(`${url} ${headers.authorization ?? ''}`.trim())
      })
    }
  })
  t.teardown(() => testApp.app.close())
  return { ...testApp, url: await testApp.app.listen({ host: '127.0.0.1', port: 0 }), requests }
}

const filterByPath = (requests: readonly string[], path: string): string[] =>
  requests.filter(request => request.startsWith(path))

// Parts of the types of Vitest, Testing Library and Vite
const shims = `
  declare module 'vitest' {
    export function test (name: string, run: () => Promise<void>): void
    export function expect (value: unknown): { toBeTruthy (): void }
  }
  declare module '@testing-library/react' {
    import type { ReactNode } from 'react'
    export function render (node: ReactNode): void
    export const screen: { findByText (text: string): Promise<object> }
  }`

// A part of the types of react-native-keychain 10
const use = `
  import { createAuthClient } from 'fastify-token-auth/client'
  import { AuthProvider, useAuth, useAuthClient } from 'fastify-token-auth/client/react'
  import { App, createQueryClient, type User } from './react.js'
  import { createMobileAuthClient } from './react-native.js'
  import { useAuth as useVueAuth } from './vue.js'
  enum ACCESSIBLE {
    AFTER_FIRST_UNLOCK_THIS_DEVICE_ONLY = 'AccessibleAfterFirstUnlockThisDeviceOnly'
  }
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
  const auth = createAuthClient<User>({ baseUrl: 'https://api.example.org' })
  function Page () {
    const { status, user, reason, logout } = useAuth<User>()
    if (status === 'starting') return null
    if (status === 'signed-out') {
      const nobody: null = user
      return <p>{reason} {nobody}</p>
    }
    const name: string | undefined = user?.username
    return <button onClick={() => { void logout() }}>{name}</button>
  }
  export const useClient = useAuthClient<User>
  export const app = <AuthProvider client={auth}><Page /></AuthProvider>
  export const example = <App auth={auth} queryClient={createQueryClient(auth)} />
  export const service = createMobileAuthClient(Keychain, 'https://api.example.org')
  export const vueUser: { value: User | null } = useVueAuth<User>().user`

const wrong = `
  import { useAuth } from 'fastify-token-auth/client/react'
  import type { User } from './react.js'
  export const Status = () => <p>{useAuth().statuses}</p>
  export function Name () {
    const { user } = useAuth<User>()
    return <p>{user.username}</p>
  }
  export function Nobody () {
    const auth = useAuth<User>()
    return auth.status === 'signed-out' ? <p>{auth.user?.username}</p> : null
  }`

t.test('the client examples compile with the types of React 18 and 19', async t => {
  const dependencies = [
    'react',
    'react-dom',
    '@types/react',
    '@types/react-dom',
    '@tanstack/react-query',
    'axios',
    'vue',
    'fastify',
    '@types/node'
  ]
  const consumer = createConsumer(dependencies)
  t.teardown(() => {
    consumer.remove()
  })

  for (const file of ['axios.ts', 'react.tsx', 'react-native.ts', 'test-client.ts', 'vue.ts']) {
    consumer.write(file, readExample(file))
  }

  const guide = [...readExample('README.md').matchAll(/^```tsx\n(.*?)^```$/gms)]
  t.equal(guide.length, 2)
  guide.forEach(([, code = ''], i) => {
    consumer.write(`guide-${i}.tsx`, code)
  })
  consumer.write('page.tsx', 'export const Page = () => <p />')
  consumer.write('shims.d.ts', shims)
  consumer.write('use.tsx', use)
  consumer.write('wrong.tsx', wrong)

  for (const types of ['@types/react', 'types-react-19']) {
    consumer.write('tsconfig.json', JSON.stringify(createTsConfig(types)))
    const output = await consumer.compile()
    const errors = output.split('\n').filter(line => line.includes('error TS'))
    t.strictSame(errors.filter(line => !line.includes('wrong.tsx')), [], types)
    t.match(errors, [
      /'statuses' does not exist/,
      /'user' is possibly 'null'/,
      /'username' does not exist on type 'never'/
    ])
    t.equal(errors.length, 3)
  }
})

t.test('the built hooks are client components for servers that render React', async t => {
  const code = readFileSync(join(root, 'dist/client/react/index.js'), 'utf8')
  t.ok(code.startsWith('\'use client\''))
})

t.test('axios requests refresh once and send a token to its origin only', async t => {
  let streams = 0
  const server = await startServer(t, {
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
  const { url, requests, clock } = server
  const otherServer = await startServer(t)
  const auth = createAuthClient({ baseUrl: url, storage: 'memory' })
  t.teardown(() => {
    auth.dispose()
  })
  const http = axios.create({ baseURL: url, validateStatus: status => status < 400 })
  const removeInterceptors = addAuthInterceptors(http, auth, `${url}/auth/me`)
  const getStatus = (request: Promise<{ status: number }>): Promise<number> =>
    request.then(
      ({ status }) => status,
      (error: { response?: { status: number } }) => error.response?.status ?? 0
    )

  t.equal(await getStatus(http.get('/protected')), 401)
  t.strictSame(
    requests,
    ['/protected'],
    'a signed-out client sends the request once, without a token'
  )
  await auth.login(ann)
  t.equal((await http.get<{ userId: string }>('/protected')).data.userId, 'u-ann')

  clock.advance(20 * MINUTE)
  requests.length = 0
  t.strictSame(
    await Promise.all(Array.from({ length: 5 }, () => getStatus(http.get('/protected')))),
    Array(5).fill(200)
  )
  t.equal(filterByPath(requests, '/auth/refresh').length, 1, 'one refresh serves all requests')
  t.equal(filterByPath(requests, '/protected').length, 10)

  clock.advance(20 * MINUTE)
  requests.length = 0
  t.strictSame((await http.post('/echo', { a: 1 })).data, { a: 1 }, 'the body is sent again')
  t.equal(filterByPath(requests, '/echo').length, 2)
  clock.advance(20 * MINUTE)
  requests.length = 0
  const headers = { 'content-type': 'application/octet-stream' }
  t.equal(await getStatus(http.post('/echo', Readable.from(['x']), { headers })), 401)
  t.equal(filterByPath(requests, '/echo').length, 1, 'a stream is sent once')
  t.equal(streams, 0)

  requests.length = 0
  t.equal(await getStatus(http.get('/never')), 401)
  t.ok(
    filterByPath(requests, '/never').length <= 2 &&
      filterByPath(requests, '/auth/refresh').length <= 1,
    'a rejected retry ends the attempts'
  )

  requests.length = 0
  await getStatus(http.get('/protected', { headers: { authorization: 'Bearer mine' } }))
  t.strictSame(requests, ['/protected Bearer mine'], 'a header of the caller is unchanged')

  for (const path of ['/protected', '//127.0.0.1/x']) {
    await getStatus(http.get(new URL(path, otherServer.url).href, { timeout: 500 }))
  }

  await getStatus(http.get(`/go?to=${encodeURIComponent(`${otherServer.url}/protected`)}`))
  t.ok(otherServer.requests.length >= 1)
  t.notOk(
    otherServer.requests.some(request => request.includes('Bearer')),
    'no token is sent to another origin'
  )

  requests.length = 0
  await server.app.tokenAuth.revokeUser('u-ann')
  t.equal(await getStatus(http.get('/protected')), 401)
  t.equal(auth.state.status, 'signed-out')
  t.equal(await getStatus(http.get('/protected')), 401)
  t.equal(filterByPath(requests, '/auth/refresh').length, 1)
  await auth.login(ann)
  removeInterceptors()
  t.equal(await getStatus(http.get('/protected')), 401)
})

t.test('the keychain client recovers from a kill while it saves a token', async t => {
  const { url, clock, events, store } = await startServer(t)
  const clients: AuthClient[] = []
  t.teardown(() => {
    for (const client of clients) {
      client.dispose()
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
  const getSavedToken = (): string | undefined => keychain.items.get(url)?.password

  const start = async (): Promise<AuthClient> => {
    const client = createMobileAuthClient(keychain, url)
    clients.push(client)
    await client.ready
    return client
  }

  const first = await start()
  t.equal(first.state.status, 'signed-out')
  await first.login(ann)
  const token = getSavedToken()
  t.ok(token)
  t.match(keychain.options, [{ service: url, accessible: 'this device', storage: 'keystore' }])

  for (const delay of [0, 60 * MINUTE]) {
    const before = getSavedToken()
    clock.advance(20 * MINUTE)

    let reached = (): void => {}

    const isSaving = new Promise<void>(resolve => {
      reached = resolve
    })

    keychain.onSet = () => {
      reached()
      return new Promise(() => {})
    }

    const killed = createMobileAuthClient(keychain, url)
    clients.push(killed)
    await isSaving
    t.equal(killed.state.status, 'starting', 'the token is not used before it is saved')
    killed.dispose()

    keychain.onSet = () => {}

    clock.advance(delay)
    t.equal(getSavedToken(), before)

    const next = await start()
    t.match(next.state, { status: 'signed-in', user: { username: 'ann' } })
    t.equal((await next.fetch('/protected')).status, 200)
    t.not(getSavedToken(), before)
    next.dispose()
  }

  t.notOk(events.some(({ name }) => name === 'reuse'))

  const last = await start()
  keychain.onSet = () => false
  clock.advance(20 * MINUTE)
  const result = last.fetch('/protected', { signal: AbortSignal.timeout(300) }).catch((
    error: Error
  ) => error.name)
  t.equal(await result, 'TimeoutError', 'a failing keychain rejects the call')
  t.equal(last.state.status, 'signed-in')

  keychain.onSet = () => {}

  t.equal((await last.fetch('/protected')).status, 200)
  await last.logout()
  t.equal(keychain.items.size, 0)
  t.equal((await store.list('auth', 'u-ann', { now: clock(), limit: 9 })).length, 0)
})

function createTsConfig (reactTypes: string): object {
  const types = join(root, 'node_modules', reactTypes)

  return {
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
      paths: { react: [types], 'react/jsx-runtime': [join(types, 'jsx-runtime.d.ts')] },
      noEmit: true
    },
    include: ['*.ts', '*.tsx']
  }
}
