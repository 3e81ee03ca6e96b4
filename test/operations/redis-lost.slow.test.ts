import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import t from 'tap'
import { RedisStore } from '../../src/stores/redis/index.js'
import { findFreePort } from '../../examples/shared/free-port.js'
import { createChildEnv } from '../helpers/child-env.js'
import { whyNoRedis } from '../helpers/databases/redis.js'
import { findBlock, getStatus, login, refresh, startApp } from './guide.js'

t.test('a Redis that loses its data', { skip: await whyNoRedis() }, async t => {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-redis-'))
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  const env = createChildEnv({ REDIS_URL: url })
  let server: ChildProcess | undefined

  const start = (...settings: string[]): void => {
    const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '']
    server = spawn('redis-server', [...fixed, ...settings], { stdio: 'ignore' })
  }

  const stop = async (): Promise<void> => {
    server?.kill('SIGKILL')
    await once(server as ChildProcess, 'exit')
  }

  const runShell = async (name: string): Promise<string> =>
    (await promisify(execFile)('sh', ['-ec', findBlock('sh', name)], { env })).stdout

  start('--maxmemory-policy', 'allkeys-lru')
  const client = new Redis(url, { retryStrategy: () => 100, maxRetriesPerRequest: null })
  client.on('error', () => {})
  t.teardown(async () => {
    client.disconnect()
    await stop()
    rmSync(folder, { recursive: true })
  })
  await client.ping()
  const missing: unknown[] = []
  subscribe('fastify-token-auth:session-missing', event => missing.push(event))
  const app = await startApp(t, new RedisStore(client))

  const lost = await login(app)
  await client.flushall()
  t.equal(await getStatus(app, lost), 200, 'the access token is valid until it expires')
  t.equal((await refresh(app, lost)).statusCode, 401)
  t.match(missing, [{ userId: '42' }])
  t.equal((await refresh(app, await login(app))).statusCode, 200, 'users log in again')

  t.match(await runShell('redis-settings'), /allkeys-lru[^]*appendonly\nno/)
  await runShell('redis-repair')
  t.match(await runShell('redis-settings'), /noeviction[^]*appendonly\nyes/)
  await client.config('SET', 'appendfsync', 'always')
  const kept = await login(app)
  await stop()
  start('--appendonly', 'yes')
  await client.ping()
  t.equal((await refresh(app, kept)).statusCode, 200, 'a restart keeps the sessions')
})
