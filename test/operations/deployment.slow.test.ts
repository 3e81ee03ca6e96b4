import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import Database from 'libsql'
import Fastify from 'fastify'
import t from 'tap'
import { subscribe } from 'node:diagnostics_channel'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import { PASSWORD, PASSWORD_HASH, SECRET } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, root } from '../helpers/consumer.js'
import { createSqliteFile, openSqliteStore } from '../helpers/databases/sqlite.js'
import { openPostgres } from '../helpers/example-databases.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import pg from 'pg'
import {
  blocks,
  findBlock,
  getStatus,
  guide,
  login,
  runBlock,
  runShell,
  startApp,
  startFromBlock
} from './guide.js'

t.test('the page moves its session to a cookie, and forgets its token', async t => {
  const app = await startApp(t, new MemoryStore(), { refreshToken: { transport: 'both' } })
  const cookies: string[] = []

  const send = async (url: string, { body, headers, method }: RequestInit) => {
    const response = await app.inject({
      method: method as 'POST',
      url,
      headers: { ...headers as Record<string, string>, 'sec-fetch-site': 'same-origin' },
      payload: body as string
    })
    cookies.push(...[response.headers['set-cookie'] ?? []].flat())
    return { ok: response.statusCode === 200, status: response.statusCode }
  }

  const { moveToCookie } = await runBlock(t, 'move-to-cookie', { fetch: send }, {}, [
    'moveToCookie'
  ])
  const { refresh_token: token = '' } = await login(app)
  const storage = new Map([['refresh_token', token]])
  const page = {
    getItem: (key: string) => storage.get(key) ?? null,
    removeItem: (key: string) => storage.delete(key)
  }
  await (moveToCookie as (storage: object) => Promise<void>)(page)
  t.equal(storage.size, 0)
  t.match(cookies, [/^__Host-auth-refresh=.*Max-Age=\d+/])
  const cookie = cookies[0]?.split(';')[0] ?? ''
  const headers = { cookie, 'sec-fetch-site': 'same-origin' }
  const response = await app.inject({ method: 'POST', url: '/auth/refresh', headers })
  t.equal(response.statusCode, 200)
})

t.test('a serverless process writes notes before the response, and a job sweeps', async t => {
  const { store, break: fail } = createBreakableStore(new MemoryStore())
  const app = await startFromBlock(t, 'serverless', store)
  const tokens = await login(app)
  fail('throws', ['touch'])
  t.equal(await getStatus(app, tokens), 503, 'no response without the note')
  fail(null)
  t.equal(await getStatus(app, tokens), 200)

  const job = await startApp(t, store)
  const lines: string[] = []
  const console = { log: (line: string) => lines.push(line) }
  await runBlock(t, 'serverless-sweep', { app: job, console })
  t.match(lines, [/^deleted \d+ records$/])

  const { file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const env = { DATABASE_URL: `sqlite:${file.path}` }
  t.match(await runShell(t, 'serverless-sweep', env), /deleted 0/)
})

t.test('readiness fails while an instance may accept revoked tokens', async t => {
  const { store, break: fail } = createBreakableStore(new MemoryStore())
  const options = {
    storeTimeout: '500ms',
    revocations: { pollInterval: '100ms', failAfter: '1s' }
  } as const
  const app = await startApp(t, store, options, Fastify(), app => runBlock(t, 'readiness', { app }))
  const getProbe = async (url: string): Promise<number> => (await app.inject({ url })).statusCode
  t.equal(await getProbe('/readyz'), 200)
  fail('throws')
  const end = Date.now() + 5000

  while (await getProbe('/readyz') === 200 && Date.now() < end) {
    await new Promise(resolve => {
      setTimeout(resolve, 100)
    })
  }

  t.equal(await getProbe('/readyz'), 503)
  t.equal(await getProbe('/livez'), 200, 'a restart would not help')
  fail(null)
})

t.test('SIGTERM lets requests finish, and writes pending notes', async t => {
  const file = createSqliteFile()
  await new SqliteStore(file.connect()).migrate()
  const consumer = createConsumer()
  t.teardown(() => {
    file.remove()
    consumer.remove()
  })
  consumer.write(
    'server.ts',
    `
    import Fastify from 'fastify'
    import Database from 'libsql'
    import { tokenAuth } from 'fastify-token-auth'
    import { SqliteStore } from 'fastify-token-auth/sqlite'
    const app = Fastify()
    const ann = ${JSON.stringify({ id: '42', username: 'ann', passwordHash: PASSWORD_HASH })}
    const store = new SqliteStore(new Database(${JSON.stringify(file.path)}))
    const users = { findByLogin: () => ann, findById: () => ann }
    await app.register(tokenAuth, { secret: '${SECRET}', store, users })
    app.get('/slow', { onRequest: [app.authenticate] }, async () => {
      await sleep(500)
      return 'finished'
    })
    ${findBlock('ts', 'kubernetes')}
    console.log(await app.listen({ host: '127.0.0.1', port: 0 }))`
  )
  const loader = join(root, 'node_modules/tsx/dist/loader.mjs')
  const child = spawn(process.execPath, ['--import', loader, 'server.ts'], {
    cwd: consumer.folder,
    env: createChildEnv({ SHUTDOWN_DELAY: '100' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const [url] = await once(createInterface({ input: child.stdout }), 'line') as [string]
  const response = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'ann', password: PASSWORD })
  })
  const { access_token: token } = await response.json() as { readonly access_token: string }
  const slow = fetch(`${url}/slow`, { headers: { authorization: `Bearer ${token}` } })
  await new Promise(resolve => {
    setTimeout(resolve, 200)
  })
  child.kill('SIGTERM')
  const stoppedAt = performance.now()
  t.equal(await (await slow).text(), 'finished')
  t.strictSame(await ended, [0, null])
  t.ok(performance.now() - stoppedAt < 10_000, 'and waits for no idle connection')
  const db = new Database(file.path)
  const row = db.prepare('SELECT last_used_at > created_at AS is_noted FROM token_auth_sessions')
  t.match(row.get(), { is_noted: 1 })
  db.close()
})

t.test('the guide\'s nginx buffers hold the largest cookies', async t => {
  const app = await startApp(t, new MemoryStore(), {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true },
    users: {
      findByLogin: () => ({ id: '42', passwordHash: PASSWORD_HASH }),
      findById: () => ({ id: '42', passwordHash: PASSWORD_HASH }),
      claims: () => ({ note: 'x'.repeat(2400) })
    }
  })
  const response = await app.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'sec-fetch-site': 'same-origin' },
    payload: { username: 'ann', password: PASSWORD }
  })
  const cookies = [response.headers['set-cookie'] ?? []].flat()
  t.equal(cookies.length, 3)
  t.ok(cookies.every(cookie => cookie.length < 4200))
  t.ok(cookies.join('').length > 4096, 'more than the default buffer of nginx')
  const [, size] = /proxy_buffer_size (\d+)k/.exec(guide) ?? []
  t.ok(Number(size) * 1024 >= 3 * 4200)
})

t.test('an app that trusts its proxy sees the address of the client', async t => {
  const { app } = await runBlock(t, 'trust-proxy', {}, {}, ['app']) as {
    readonly app: ReturnType<typeof Fastify>
  }
  const addresses: unknown[] = []
  subscribe('fastify-token-auth:login', event => {
    addresses.push((event as { readonly address: string }).address)
  })
  await startApp(t, new MemoryStore(), {}, app)
  const payload = { username: 'ann', password: PASSWORD }
  const headers = { 'x-forwarded-for': '203.0.113.9' }

  for (const remoteAddress of ['127.0.0.1', '192.0.2.1']) {
    await app.inject({ method: 'POST', url: '/auth/login', payload, headers, remoteAddress })
  }

  t.strictSame(addresses, ['203.0.113.9', '192.0.2.1'])
})

t.test('guesses from many addresses are stopped, and a known device logs in', async t => {
  const { DATABASE_URL: url = '' } = await openPostgres(t)
  const pool = new pg.Pool({ connectionString: url })
  await new PostgresStore(pool).migrate()
  await pool.end()
  const store = new MemoryStore()
  const apps = [
    await startFromBlock(t, 'credential-stuffing', store, { DATABASE_URL: url }),
    await startFromBlock(t, 'credential-stuffing', store, { DATABASE_URL: url })
  ]

  const attempt = async (i: number, password: string, more: object = {}) =>
    apps[i % 2]?.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { username: 'ann', password, ...more },
      remoteAddress: `198.51.100.${i}`
    })

  const { device_token: device } = (await attempt(0, PASSWORD))?.json()
  const statuses: unknown[] = []

  for (let i = 1; i <= 12; i++) {
    statuses.push((await attempt(i, 'wrong horse'))?.statusCode)
  }

  t.ok(statuses.filter(status => status === 401).length <= 4, 'few passwords are tried')
  t.equal(statuses.at(-1), 429)
  t.equal((await attempt(99, PASSWORD))?.statusCode, 429)
  const known = await attempt(98, PASSWORD, { device_token: device })
  t.equal(known?.statusCode, 200)
})

t.test('all blocks of TypeScript compile', async t => {
  const declarations: Readonly<Record<string, string>> = {
    app: 'import type { FastifyInstance } from "fastify"\ndeclare const app: FastifyInstance',
    store: 'import type { TokenStore } from "fastify-token-auth"\ndeclare const store: TokenStore',
    users: 'import type { Users } from "fastify-token-auth"\ndeclare const users: Users',
    tokenAuth: 'import { tokenAuth } from "fastify-token-auth"'
  }
  const consumer = createConsumer()
  t.teardown(() => {
    consumer.remove()
  })
  const typescript = blocks.filter(({ language }) => language === 'ts')
  t.ok(typescript.length >= 10)

  for (const { name, code } of typescript) {
    t.ok(name, 'a block without a name has no test')
    const missing = Object.entries(declarations).filter(([variable]) =>
      new RegExp(`\\b${variable}\\b`).test(code) && !code.includes(`const ${variable} `) &&
      !code.includes(`const ${variable}:`)
    )
    const lines = [...missing.map(([, declaration]) => declaration), code, 'export {}']
    // Every block sees the types that the plugin adds to an app.
    lines.push('import type {} from "fastify-token-auth"')
    consumer.write(`${name}.ts`, lines.join('\n'))
  }

  t.equal(await consumer.compile(), '')
})
