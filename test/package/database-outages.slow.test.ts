import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import mysql from 'mysql2/promise'
import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { findFreePort } from '../../examples/shared/free-port.js'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresStore } from '../../src/stores/postgres/index.js'
import { engines } from '../chaos/engines.js'
import type { Cleanups, Engine } from '../chaos/engines.js'
import { createChildEnv } from '../helpers/child-env.js'
import { createConsumer, defaultDependencies, root } from '../helpers/consumer.js'

// The servers run the code of the guide word for word, between these lines.
const BEFORE = `
import Fastify from 'fastify'
import { tokenAuth } from 'fastify-token-auth'

const app = Fastify()
const ann = { id: '1', username: 'ann' }
const users = { findByLogin: () => ann, findById: () => ann }
`
const AFTER = `
app.post('/open', request => app.tokenAuth.openSession('1', request))
app.get('/protected', { onRequest: [app.authenticate] }, () => 'hello')
process.send?.(await app.listen({ host: '127.0.0.1', port: 0 }))
`
const guide = readFileSync(join(root, 'examples/operations/stores.md'), 'utf8')

function getBlock (importLine: string): string {
  const blocks = [...guide.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code)
  const block = blocks.find(code => code.includes(importLine) && code.includes('app.register'))

  if (block === undefined) {
    throw new Error(`guide has no code with ${importLine}`)
  }

  return block
}

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

class Instance {
  readonly #url: string
  readonly process: ChildProcess

  constructor (url: string, process: ChildProcess) {
    this.#url = url
    this.process = process
  }

  async open (): Promise<Tokens> {
    const response = await this.#send('/open', {})
    return await response.json() as Tokens
  }

  async refresh (token: string): Promise<number> {
    return (await this.#send('/auth/refresh', { refresh_token: token })).status
  }

  async logout (token: string): Promise<number> {
    return (await this.#send('/auth/logout', { refresh_token: token })).status
  }

  async getProtected (token: string): Promise<number> {
    const headers = { authorization: `Bearer ${token}` }
    return (await fetch(new URL('/protected', this.#url), { headers })).status
  }

  #send (path: string, body: object): Promise<Response> {
    return fetch(new URL(path, this.#url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })
  }
}

/** TCP proxy whose connections can become half-open. */
class Proxy {
  readonly #sockets = new Set<{ readonly client: Socket, readonly upstream: Socket }>()
  isSwallowing = false
  port = 0

  async listen (t: Test, target: number): Promise<void> {
    const server = createServer(client => {
      const isLost = this.isSwallowing
      const upstream = connect(target, '127.0.0.1')
      const pair = { client, upstream }
      this.#sockets.add(pair)
      client.on('error', () => {})
      upstream.on('error', () => client.destroy())
      upstream.on('close', () => !isLost && client.destroy())
      client.on('close', () => upstream.destroy())

      if (isLost) {
        client.resume()
        return
      }

      client.pipe(upstream)
      upstream.pipe(client)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.port = (server.address() as AddressInfo).port
    t.teardown(() => {
      for (const { client, upstream } of this.#sockets) {
        client.destroy()
        upstream.destroy()
      }

      server.close()
    })
  }

  /** Loses all bytes of the connections that are open now, without closing them. */
  breakConnections (): void {
    for (const { client, upstream } of this.#sockets) {
      client.unpipe(upstream)
      upstream.unpipe(client)
      client.resume()
      upstream.resume()
    }
  }
}

interface Driver {
  readonly engine: 'postgres' | 'mysql' | 'redis'
  readonly importLine: string
  readonly dependencies: readonly string[]
  getEnv(url: URL): Record<string, string>
  migrate(url: string): Promise<void>
}

const drivers: readonly Driver[] = [
  {
    engine: 'postgres',
    importLine: 'import pg from',
    dependencies: [],
    getEnv: url => ({
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: url.password,
      PGDATABASE: url.pathname.slice(1)
    }),
    async migrate (connectionString) {
      const pool = new pg.Pool({ connectionString })
      await new PostgresStore(pool).migrate()
      await pool.end()
    }
  },
  {
    engine: 'mysql',
    importLine: 'import mysql from',
    dependencies: ['mysql2'],
    getEnv: url => ({ DATABASE_URL: url.href }),
    async migrate (uri) {
      const pool = mysql.createPool({ uri })
      await new MysqlStore(pool).migrate()
      await pool.end()
    }
  },
  {
    engine: 'redis',
    importLine: 'import { Redis } from',
    dependencies: ['ioredis'],
    getEnv: url => ({ REDIS_URL: url.href }),
    migrate: async () => {}
  }
]

async function until (condition: () => Promise<boolean>): Promise<number> {
  const startedAt = performance.now()

  while (!await condition().catch(() => false)) {
    if (performance.now() - startedAt > 60_000) {
      throw new Error('nothing changed within 60 s')
    }

    await sleep(50)
  }

  return Math.round(performance.now() - startedAt)
}

async function startEngine (t: Test, { engine }: Driver): Promise<Engine> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-outage-'))
  const cleanups: Cleanups = []
  t.teardown(async () => {
    for (const cleanup of cleanups.toReversed()) {
      await cleanup()
    }

    rmSync(folder, { recursive: true, force: true })
  })
  return engines[engine](folder, await findFreePort(), cleanups)
}

async function startInstances (t: Test, driver: Driver, url: URL): Promise<[Instance, Instance]> {
  const consumer = createConsumer([...defaultDependencies, ...driver.dependencies])
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write('server.ts', BEFORE + getBlock(driver.importLine) + AFTER)

  const start = async (): Promise<Instance> => {
    const child = fork(join(consumer.folder, 'server.ts'), {
      cwd: consumer.folder,
      execArgv: ['--import', join(root, 'node_modules/tsx/dist/loader.mjs')],
      env: createChildEnv({
        ...driver.getEnv(url),
        AUTH_SECRET: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf'
      })
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [address] = await once(child, 'message') as [string]
    return new Instance(address, child)
  }

  return Promise.all([start(), start()])
}

for (const driver of drivers) {
  const { engine: name } = driver

  t.test(`the code of the guide survives outages of ${name}`, async t => {
    const engine = await startEngine(t, driver)
    await driver.migrate(engine.url)
    const url = new URL(engine.url)
    const proxy = new Proxy()
    await proxy.listen(t, Number(url.port))
    url.port = String(proxy.port)
    const [here, other] = await startInstances(t, driver, url)

    const assertRecovered = async (outage: string, limit: number): Promise<void> => {
      const recoveries = await Promise.all([here, other].map(async instance => {
        let tokens: Tokens | null = null
        const time = await until(async () => {
          tokens = await instance.open()
          return await instance.refresh(tokens.refresh_token) === 200
        })
        return { time, tokens: tokens as unknown as Tokens }
      }))
      const times = recoveries.map(({ time }) => time)
      t.ok(Math.max(...times) < limit, `${outage}: requests recovered after ${times.join(', ')} ms`)
      const { access_token: access, refresh_token: refresh } = await here.open()
      t.equal(await other.getProtected(access), 200)
      t.equal(await here.logout(refresh), 204)
      const known = await until(async () => await other.getProtected(access) === 401)
      t.ok(known < 2000, `${outage}: a logout was known elsewhere after ${known} ms`)
      t.comment(`${name}, ${outage}: ${times.join(', ')} ms, logout ${known} ms`)
      t.strictSame([here, other].map(({ process }) => process.exitCode), [null, null])
    }

    await assertRecovered('start', 5000)
    await engine.cutConnections()
    await assertRecovered('cut connections', 5000)
    await engine.restart()
    await assertRecovered('restart', 5000)

    proxy.isSwallowing = true
    proxy.breakConnections()
    const load = new AbortController()
    sendRequests([here, other], load.signal)
    await sleep(8000)
    proxy.isSwallowing = false
    load.abort()
    await assertRecovered('half-open connections', 10_000)
  })
}

/** Sends requests to all instances until the signal is aborted. */
function sendRequests (instances: readonly Instance[], signal: AbortSignal): void {
  const send = async (instance: Instance): Promise<void> => {
    while (!signal.aborted) {
      void instance.open().catch(() => {})
      await sleep(100)
    }
  }

  for (const instance of instances) {
    void send(instance)
  }
}
