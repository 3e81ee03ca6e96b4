import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { scripts } from '../../../src/stores/redis/scripts.js'
import type { IoredisClient } from '../../../src/stores/redis/index.js'

export const redisUrl = process.env.REDIS_URL ?? 'redis://127.0.0.1:6379'

/** Why tests that need Redis are skipped; `false` where it answers. In CI it has to. */
export async function whyNoRedis (): Promise<string | false> {
  const redis = new Redis(redisUrl, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 2000
  })
  redis.on('error', () => {})

  try {
    await redis.connect()
    return false
  } catch (error) {
    if (process.env.CI !== undefined) {
      throw new Error(`Redis does not answer at ${redisUrl}`, { cause: error })
    }

    return `Redis does not answer at ${redisUrl}: start one, or set REDIS_URL`
  } finally {
    redis.disconnect()
  }
}

export function randomPrefix (): string {
  return `token-auth-test:${randomBytes(6).toString('hex')}:`
}

export async function keysOf (redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = []

  for await (const found of redis.scanStream({ match: `${prefix}*`, count: 1000 })) {
    keys.push(...found as string[])
  }

  return [...new Set(keys)].sort()
}

export async function deleteKeys (redis: Redis, prefix: string): Promise<void> {
  await Promise.all((await keysOf(redis, prefix)).map(key => redis.del(key)))
}

/** Script that is about to be sent. `name` is that of the command if it is the script `command`. */
export interface Call {
  readonly name: string
  /** First key. */
  readonly key: string
  readonly values: readonly string[]
}

export type Hook = (call: Call, send: () => Promise<unknown>) => Promise<unknown>

/** Wraps every call of a client. Sends scripts by their text, so that each is sent once. */
export function hooked (client: IoredisClient, hook: Hook): IoredisClient {
  const names = new Map(Object.entries(scripts).map(([name, { text }]) => [text, name]))
  const texts = new Map(Object.values(scripts).map(({ text, sha }) => [sha, text]))

  return {
    evalsha (sha, ...input) {
      return this.eval(texts.get(sha) as string, ...input)
    },
    eval (text, keyCount, ...keysAndValues) {
      const name = names.get(text) as string
      const values = keysAndValues.slice(keyCount)
      const call = {
        name: name === 'command' ? values[0] as string : name,
        key: keysAndValues[0] as string,
        values
      }
      return hook(call, () => client.eval(text, keyCount, ...keysAndValues))
    }
  }
}

/** Holds the first call that is meant; everything else passes. */
export function pausing (
  isMeant: (call: Call) => boolean
): { hook: Hook, reached: Promise<void>, release: () => void } {
  let seen = false

  let reach = (): void => {}

  let release = (): void => {}

  const reached = new Promise<void>(resolve => {
    reach = resolve
  })
  const released = new Promise<void>(resolve => {
    release = resolve
  })

  return {
    reached,
    release: () => {
      release()
    },
    async hook (call, send) {
      if (!seen && isMeant(call)) {
        seen = true
        reach()
        await released
      }

      return send()
    }
  }
}

/** Lets the calls through until the first that is meant; from then on the connection is broken. */
export function breaking (isMeant: (call: Call) => boolean): Hook {
  let broken = false

  return async (call, send) => {
    broken ||= isMeant(call)

    if (broken) {
      throw new Error('the connection is broken')
    }

    return send()
  }
}

/** A Redis of the test's own; `null` where there is no `redis-server` to start. */
export async function startRedis (): Promise<
  { readonly url: string, readonly stop: () => Promise<void> } | null
> {
  const [port] = await freePorts(1)
  const server = spawn('redis-server', [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    ''
  ], { stdio: 'ignore' })

  if (!await hasStarted(server)) {
    return null
  }

  return {
    url: `redis://127.0.0.1:${port}`,
    async stop () {
      server.kill('SIGKILL')
      await once(server, 'exit')
    }
  }
}

export interface RedisCluster {
  readonly ports: number[]
  readonly stop: () => Promise<void>
}

/** Three machines of a cluster; `null` where there is no `redis-server` to start. */
export async function startCluster (): Promise<RedisCluster | null> {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-redis-'))
  const ports = await freePorts(6)
  const servers = ports.slice(0, 3).map((port, i) =>
    spawn('redis-server', [
      '--port',
      String(port),
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      String(ports[i + 3]),
      '--bind',
      '127.0.0.1',
      '--cluster-config-file',
      `${port}.conf`,
      '--dir',
      folder,
      '--save',
      '',
      '--appendonly',
      'no'
    ], { stdio: 'ignore' })
  )

  const kill = (): void => {
    for (const server of servers) {
      server.kill('SIGKILL')
    }
  }

  process.once('exit', kill)

  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    const exits = servers.filter(server => server.pid !== undefined).map(server =>
      once(server, 'exit')
    )
    kill()
    await Promise.all(exits)
    rmSync(folder, { recursive: true })
  }

  const started = await Promise.all(servers.map(hasStarted))

  if (started.includes(false)) {
    await stop()
    return null
  }

  const nodes = ports.slice(0, 3).map(port => new Redis(port))
  const slots = [0, 5461, 10923, 16384] as const
  await Promise.all(
    nodes.map((node, i) =>
      node.call('CLUSTER', 'ADDSLOTSRANGE', String(slots[i]), String((slots[i + 1] ?? 0) - 1))
    )
  )

  for (const i of [1, 2]) {
    await nodes[0]?.call('CLUSTER', 'MEET', '127.0.0.1', String(ports[i]), String(ports[i + 3]))
  }

  for (const node of nodes) {
    while (
      !/cluster_state:ok[^]*cluster_known_nodes:3/.test(
        await node.call('CLUSTER', 'INFO') as string
      )
    ) {
      await sleep(20)
    }

    node.disconnect()
  }

  return { ports: ports.slice(0, 3), stop }
}

function hasStarted (server: ChildProcess): Promise<boolean> {
  return once(server, 'spawn').then(() => true, () => false)
}

async function freePorts (count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map(server => once(server, 'listening')))
  const ports = servers.map(server => (server.address() as AddressInfo).port)
  await Promise.all(servers.map(server => once(server.close(), 'close')))
  return ports
}
