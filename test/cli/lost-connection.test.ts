import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { runCli } from '../helpers/cli.js'
import { mysqlUrl, whyNoMysql } from '../helpers/databases/mysql.js'
import { answers, POSTGRES_URL } from '../helpers/databases/postgres.js'
import { redisUrl, whyNoRedis } from '../helpers/databases/redis.js'

/** Starts a proxy that closes a connection whose client sends the given string. */
async function startProxy (t: Test, url: string, fatal: string): Promise<string> {
  const { hostname, port } = new URL(url)
  const server = createServer(client => {
    const target = connect(Number(port), hostname)

    for (const socket of [client, target]) {
      socket.on('error', () => {})
      socket.on('close', () => {
        client.destroy()
        target.destroy()
      })
    }

    client.on('data', data => {
      if (data.includes(fatal)) {
        client.destroy()
      } else {
        target.write(data)
      }
    })
    target.pipe(client)
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => {
    server.close()
  })
  const { port: ownPort } = server.address() as AddressInfo
  return Object.assign(new URL(url), { hostname: '127.0.0.1', port: String(ownPort) }).href
}

const databases = {
  postgres: [POSTGRES_URL, 'token_auth_', await answers(POSTGRES_URL) ? false : 'no PostgreSQL'],
  mysql: [mysqlUrl, 'token_auth_', await whyNoMysql()],
  redis: [redisUrl, 'EVALSHA', await whyNoRedis()]
} as const

for (const [name, [url, fatal, skip]] of Object.entries(databases)) {
  t.test(`a command that loses its connection to ${name} exits with 3`, { skip }, async t => {
    const { code, error } = await runCli(['sessions', '--user', '1'], {
      env: { DATABASE_URL: await startProxy(t, url, fatal) }
    })
    t.match(error, /^fastify-token-auth: lost the connection to /)
    t.equal(code, 3)
  })
}
