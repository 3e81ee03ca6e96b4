// Each example server starts in a child process and serves its protected route after a login.

import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { root } from '../helpers/consumer.js'
import { whyNoMysql } from '../helpers/databases/mysql.js'
import { whyNoRedis } from '../helpers/databases/redis.js'
import { openMysql, openPostgres, openRedis, openSqlite } from '../helpers/example-databases.js'
import type { DatabaseEnv } from '../helpers/example-databases.js'
import { callWithToken, login, startExample } from '../helpers/example-process.js'

interface Server {
  readonly script: string
  /** Creates a database and returns the environment variables that select it. */
  readonly open?: (t: Test) => Promise<DatabaseEnv>
  /** Reason why the test cannot run. */
  readonly skip?: string | false
  readonly login?: string
  readonly credentials?: Record<string, string>
  readonly protectedPath?: string
}

const SECRET_KEYS = {
  SECRET_KEY: randomBytes(32).toString('hex'),
  REFRESH_SECRET_KEY: randomBytes(32).toString('hex')
}

const servers: readonly Server[] = [
  { script: 'minimal/server.ts' },
  { script: 'oauth-clients/server.ts' },
  { script: 'metrics/server.ts' },
  { script: 'readiness/server.ts' },
  { script: 'layouts/scopes/server.ts', protectedPath: '/api/orders' },
  { script: 'sqlite/server.ts', open: openSqlite },
  { script: 'live/server.ts', open: openSqlite },
  { script: 'postgres/server.ts', open: openPostgres },
  { script: 'mysql/server.ts', open: openMysql, skip: await whyNoMysql() },
  { script: 'serverless/server.ts', open: openPostgres },
  { script: 'redis/server.ts', open: openRedis, skip: await whyNoRedis() },
  {
    script: 'migrate-from/form-login/server.ts',
    open: async () => SECRET_KEYS,
    login: '/login',
    credentials: { username: 'cyd', password: 'correct horse' }
  },
  {
    script: 'migrate-from/hybrid-renewal/server.ts',
    open: async () => SECRET_KEYS,
    login: '/api/login',
    credentials: { email: 'ann@example.org', password: 'correct horse' },
    protectedPath: '/api/notes'
  },
  {
    script: 'migrate-from/rotating-pair/server.ts',
    open: async () => SECRET_KEYS,
    login: '/api/v1/auth/login',
    protectedPath: '/api/v1/orders'
  },
  {
    script: 'migrate-from/token-refresh/server.ts',
    open: async t => ({ ...await openSqlite(t), ...SECRET_KEYS }),
    protectedPath: '/reports'
  }
]

/** Servers that log in differently. Other files of this folder, or in test/browser, test them. */
const otherServers = [
  'account/server.ts',
  'app/server.ts',
  'browser-cookies/server.ts',
  'demo/server.ts',
  'dpop/server.ts',
  'oauth2-login/server.ts',
  'passkeys/server.ts',
  'resource-server/server.ts',
  'ssr/server.ts'
]

const folders = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter(entry => entry.isDirectory())
  .map(({ name }) => name)

t.test('every server of the examples has a test', async t => {
  // The packages of nest/ contain a link to this repository, so a search in them would not end.
  const scripts = folders.filter(folder => folder !== 'nest').flatMap(folder =>
    readdirSync(join(root, 'examples', folder), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith('server.ts'))
      .map(file => `${folder}/${file}`)
  )
  t.strictSame(
    scripts.sort(),
    [...servers.map(({ script }) => script), ...otherServers].sort()
  )
})

t.test('the table of the README has a row for every folder', async t => {
  const readme = readFileSync(join(root, 'examples/README.md'), 'utf8')
  const rows = [...readme.matchAll(/^\| \[`([\w-]+)\/`\]\(([\w/.-]+)\)/gm)]
  t.strictSame(rows.map(([, name]) => name).sort(), folders.toSorted())

  for (const [, , link = ''] of rows) {
    t.ok(existsSync(join(root, 'examples', link)), `${link} exists`)
  }
})

for (const { script, open, skip, login: path, credentials, protectedPath } of servers) {
  t.test(`${script} serves a protected route to a user`, { skip: skip ?? false }, async t => {
    const { url, stop } = await startExample(t, script, await open?.(t) ?? {})

    if (credentials?.username !== undefined) {
      const response = await fetch(`${url}/register`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(credentials)
      })
      t.equal(response.status, 201)
    }

    const token = await login(url, path, credentials)
    const route = url + (protectedPath ?? '/protected')
    t.equal((await fetch(route)).status, 401)
    t.equal((await callWithToken(route, token)).status, 200)
    t.strictSame(await stop(), script === 'minimal/server.ts' ? [null, 'SIGTERM'] : [0, null])
  })
}
