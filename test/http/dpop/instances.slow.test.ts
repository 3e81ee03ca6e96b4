// With the arguments `serve <file>`, this file runs as an instance on a SQLite file.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import Database from 'libsql'
import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { SqliteAttempts } from '../../../src/stores/sqlite/index.js'
import { SqliteStore } from '../../../src/stores/sqlite/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createChildEnv } from '../../helpers/child-env.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import { createProofKey, DpopClient, hashAccessToken } from '../../helpers/dpop.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

const OTHER_SECRET = 'Xb3Nw8Kt5Rz1Vy6Qm0Lj4Hd7Fg2Sc9Pa'
const PUBLIC = 'https://api.test'
const credentials = { username: 'ann', password: PASSWORD }

if (process.argv[2] === 'serve') {
  await serve(process.argv[3] as string)
} else {
  await test()
}

async function serve (file: string): Promise<void> {
  const db = new Database(file)
  db.exec('PRAGMA busy_timeout = 0')
  const { app } = await createTestApp({
    store: new SqliteStore(db),
    options: { clock: Date.now, publicUrl: PUBLIC, dpop: { replays: new SqliteAttempts(db) } }
  })
  console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
  process.stdin.resume().on('end', () => {
    void app.close().then(() => process.exit())
  })
}

async function startInstance (t: Test, file: string): Promise<string> {
  const child = spawn(process.execPath, [
    '--import',
    'tsx',
    fileURLToPath(import.meta.url),
    'serve',
    file
  ], {
    env: createChildEnv(),
    stdio: ['pipe', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.stdin.end()
    await ended
  })
  const [url] = await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    ended.then(() => {
      throw new Error('it did not start')
    })
  ])
  return url as string
}

async function test (): Promise<void> {
  /** Instances with one store and different options. */
  async function start (t: Test, ...options: Array<Partial<TokenAuthOptions>>): Promise<TestApp[]> {
    const shared: TestAppOptions = { store: new MemoryStore(), clock: createClock() }
    const instances = await Promise.all(
      options.map(async own => createTestApp({ ...shared, options: { dpop: true, ...own } }))
    )
    t.teardown(() => Promise.all(instances.map(({ app }) => app.close())))
    return instances
  }

  /** Client that continues on another instance with its nonce. */
  function move ({ nonce }: DpopClient, { app }: TestApp, key = createProofKey()): DpopClient {
    return Object.assign(new DpopClient(app, key), { nonce })
  }

  const login = async (holder: DpopClient): Promise<LightMyRequestResponse> =>
    holder.sendOnce('POST', '/auth/login', { body: credentials })

  t.test('a nonce is valid on all instances with the same secret and name', async t => {
    const [one, same, other, named] = await start(t, {}, {}, { secret: OTHER_SECRET }, {
      name: 'admin'
    }) as [TestApp, TestApp, TestApp, TestApp]
    const holder = new DpopClient(one.app)
    await login(holder)

    for (const [instance, status] of [[same, 200], [other, 401], [named, 401]] as const) {
      const response = await login(move(holder, instance))
      t.equal(response.statusCode, status)

      if (status !== 401) {
        continue
      }

      t.equal(response.json().code, 'AUTH_DPOP_NONCE')
      t.not(response.headers['dpop-nonce'], holder.nonce)
    }
  })

  t.test('nonces of both secrets are valid while both are configured', async t => {
    const [before, during, after] = await start(t, { secret: OTHER_SECRET }, {
      secret: [SECRET, OTHER_SECRET]
    }, { secret: SECRET }) as [TestApp, TestApp, TestApp]
    const holder = new DpopClient(before.app)
    await login(holder)
    t.equal((await login(move(holder, after))).json().code, 'AUTH_DPOP_NONCE')
    const moved = move(holder, during)
    const response = await login(moved)
    t.equal(response.statusCode, 200)
    t.not(response.headers['dpop-nonce'], holder.nonce, 'and answered with the new one')
    t.equal((await login(move(moved, after))).statusCode, 200)
  })

  t.test('an instance accepts nonces of instances whose clocks differ by 30 s', async t => {
    const store = new MemoryStore()
    const clocks = [0, 30 * SECOND, -30 * SECOND].map(skew =>
      createClock(Date.UTC(2026, 0, 1) + skew)
    )
    const instances = await Promise.all(
      clocks.map(async clock => createTestApp({ store, clock, options: { dpop: true } }))
    )
    t.teardown(() => Promise.all(instances.map(({ app }) => app.close())))

    for (const from of instances) {
      const holder = new DpopClient(from.app)
      await login(holder)

      for (const to of instances) {
        t.equal((await login(move(holder, to))).statusCode, 200)
      }
    }
  })

  t.test('a proof is valid once per shared replay store', async t => {
    const file = createSqliteFile()
    t.teardown(() => {
      file.remove()
    })
    await new SqliteStore(file.connect()).migrate()
    const memory = new MemoryAttempts()
    const kinds = {
      memory: () => memory,
      sqlite: () => new SqliteAttempts(file.connect()),
      apart: () => new MemoryAttempts()
    }

    for (const [kind, connect] of Object.entries(kinds)) {
      const options = [connect(), connect()].map(replays => ({ dpop: { replays } }))
      const [one, other] = await start(t, ...options) as [TestApp, TestApp]
      const holder = new DpopClient(one.app)
      const { access_token: token } =
        (await holder.send('POST', '/auth/login', { body: credentials })).json<TokenResponse>()
      const dpop = holder.createProof('GET', '/protected', { ath: hashAccessToken(token) })
      const send = async ({ app }: TestApp): Promise<number> =>
        (await app.inject({ url: '/protected', headers: { dpop, authorization: `DPoP ${token}` } }))
          .statusCode
      t.equal(await send(one), 200)
      t.equal(await send(other), kind === 'apart' ? 200 : 401, kind)
      t.equal(await send(one), 401)
      one.clock.advance(4 * MINUTE)
      t.match(await one.app.tokenAuth.sweep(), Number, 'expired sessions can be deleted')
    }

    const rows = file.connect().prepare('SELECT * FROM token_auth_attempts').all([])
    t.strictSame(rows, [], 'and is')
  })

  t.test('two processes on one SQLite file accept one of 20 concurrent proofs', async t => {
    const file = createSqliteFile()
    await new SqliteStore(file.connect()).migrate()
    const urls = await Promise.all([startInstance(t, file.path), startInstance(t, file.path)])
    t.teardown(() => {
      file.remove()
    })
    const { app } = await createTestApp()
    t.teardown(() => app.close())
    const holder = new DpopClient(app)
    const prove = (path: string, claims: object = {}): string =>
      holder.createProof('POST', path, { htu: PUBLIC + path, ...claims })
    const post = async (url: string, dpop: string, body: object): Promise<Response> =>
      fetch(url, {
        method: 'POST',
        headers: { dpop, 'content-type': 'application/json' },
        body: JSON.stringify(body)
      })
    const first = await post(`${urls[0]}/auth/login`, prove('/auth/login'), credentials)
    holder.nonce = first.headers.get('dpop-nonce') ?? undefined
    const answer = await post(`${urls[1]}/auth/login`, prove('/auth/login'), credentials)
    let { refresh_token: token } = await answer.json() as TokenResponse

    for (let round = 0; round < 20; round++) {
      const dpop = prove('/auth/refresh')
      const responses = await Promise.all(
        Array.from(
          { length: 20 },
          async (_, i) => post(`${urls[i % 2] ?? ''}/auth/refresh`, dpop, { refresh_token: token })
        )
      )
      const good = responses.filter(({ status }) => status === 200)
      t.equal(good.length, 1)
      t.strictSame(
        [...new Set(responses.map(({ status }) => status))].sort(),
        [200, 401],
        'and nobody is told that the database is busy'
      )
      token = (await good[0]?.json() as TokenResponse).refresh_token
    }
  })
}
