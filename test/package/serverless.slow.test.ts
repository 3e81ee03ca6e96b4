// examples/serverless with processes that are stopped (SIGSTOP) between two invocations.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import pg from 'pg'
import type { TokenResponse } from 'fastify-token-auth'
import { PostgresStore } from 'fastify-token-auth/postgres'
import { startFrozenProcess } from '../../examples/serverless/frozen-process.js'
import type { FrozenProcess } from '../../examples/serverless/frozen-process.js'
import type { FunctionEvent } from '../../examples/serverless/handler.js'
import { createChildEnv } from '../helpers/child-env.js'
import { SECOND } from '../helpers/clock.js'
import { openPostgres } from '../helpers/example-databases.js'
import { startExample } from '../helpers/example-process.js'

const GRACE = 10 * SECOND
const LOGIN = 'username=ann&password=correct+horse'

interface Platform {
  readonly one: FrozenProcess
  readonly other: FrozenProcess
  readonly pool: pg.Pool
  readonly url: string
}

interface Result {
  readonly status: number
  readonly code: unknown
  readonly tokens: TokenResponse
}

async function openDatabase (t: Test): Promise<{ url: string, pool: pg.Pool }> {
  const { DATABASE_URL: url = '' } = await openPostgres(t)
  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => {})
  t.teardown(() => pool.end())
  await new PostgresStore(pool).migrate()
  return { url, pool }
}

async function startPlatform (t: Test): Promise<Platform> {
  const { url, pool } = await openDatabase(t)
  const start = (): FrozenProcess => startFrozenProcess(createChildEnv({ DATABASE_URL: url }))
  const [one, other] = [start(), start()]
  t.teardown(() => {
    one.stop()
    other.stop()
  })
  return { one, other, pool, url }
}

function createEvent (method: string, rawPath: string, token = '', body = ''): FunctionEvent {
  return {
    rawPath,
    rawQueryString: '',
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...token !== '' && { authorization: `Bearer ${token}` }
    },
    body,
    isBase64Encoded: false,
    requestContext: { http: { method, sourceIp: '198.51.100.7' } }
  }
}

async function send (
  process: FrozenProcess,
  ...request: Parameters<typeof createEvent>
): Promise<Result> {
  const { statusCode, body } = await process.invoke(createEvent(...request))
  const text = Buffer.from(body, 'base64').toString()
  const tokens = text === '' ? {} : JSON.parse(text)
  return { status: statusCode, code: tokens.code, tokens }
}

const logIn = (process: FrozenProcess): Promise<Result> =>
  send(process, 'POST', '/auth/login', '', LOGIN)

const refresh = (process: FrozenProcess, { tokens }: Result): Promise<Result> =>
  send(process, 'POST', '/auth/refresh', '', `refresh_token=${tokens.refresh_token ?? ''}`)

const use = (process: FrozenProcess, { tokens }: Result): Promise<Result> =>
  send(process, 'GET', '/protected', tokens.access_token)

t.test('a session survives freezes, and refreshes on all processes', async t => {
  const { one, other, pool } = await startPlatform(t)
  const login = await logIn(one)
  t.equal(login.status, 200)
  t.equal((await use(other, login)).status, 200)
  const first = await refresh(other, login)
  t.equal(first.status, 200)
  await sleep(4 * SECOND)
  const replay = await refresh(one, login)
  t.equal(replay.tokens.refresh_token, first.tokens.refresh_token, 'the same successor')
  t.equal((await use(one, first)).status, 200)

  // The connections of a frozen process may be gone. A request may then fail, but signs nobody out.
  await pool.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity ' +
      'WHERE datname = current_database() AND pid <> pg_backend_pid()'
  )
  const lost = await refresh(one, first)
  t.ok([200, 503].includes(lost.status), `status ${lost.status}`)
  t.equal((await refresh(one, first)).status, 200)
})

t.test('the last use is written although the process is frozen after its response', async t => {
  const { one, other } = await startPlatform(t)
  const login = await logIn(one)
  t.equal((await use(other, login)).status, 200)
  const first = await refresh(one, login)
  t.equal((await use(one, first)).status, 200)
  await sleep(GRACE + SECOND)

  // A process that was frozen does not judge a reuse for a second. The next attempt does.
  const statuses = new Set<number>()
  let stolen = await refresh(other, login)

  for (let i = 0; i < 20 && stolen.status === 503; i++) {
    statuses.add(stolen.status)
    await sleep(1.2 * SECOND)
    stolen = await refresh(other, login)
  }

  t.strictSame(statuses, new Set([503]))
  t.match(stolen, { status: 401, code: 'AUTH_REFRESH_REUSED' })
  t.match(await refresh(other, first), { status: 401, code: 'AUTH_REFRESH_REVOKED' })
})

t.test('a process that was frozen reads revocations before it accepts a token', async t => {
  const { one, other } = await startPlatform(t)
  const login = await logIn(one)
  t.equal((await use(one, login)).status, 200)
  t.equal((await send(other, 'POST', '/auth/logout', login.tokens.access_token)).status, 204)
  await sleep(4 * SECOND)
  t.match(await use(one, login), { status: 401, code: 'AUTH_SESSION_REVOKED' })
})

t.test('the handler of the schedule deletes expired sessions', async t => {
  const { one, pool } = await startPlatform(t)
  await logIn(one)
  await logIn(one)
  t.strictSame(await one.sweep(), { deleted: 0 })
  const past = Date.now() - 26 * 60 * 60 * SECOND
  await pool.query('UPDATE token_auth_sessions SET expires_at = $1, sweep_after = $1', [past])
  t.strictSame(await one.sweep(), { deleted: 2 })
})

t.test('the next invocation builds the app again after a cold start failed', async t => {
  const { url } = await openDatabase(t)
  const before = process.env.DATABASE_URL
  t.teardown(() => {
    process.env.DATABASE_URL = before ?? ''
  })
  process.env.DATABASE_URL = 'postgres://postgres@127.0.0.1:1/none'
  const { getApp, handler, nodeHandler } = await import('../../examples/serverless/handler.js')
  await t.rejects(handler(createEvent('GET', '/protected')))
  process.env.DATABASE_URL = url
  t.equal((await handler(createEvent('GET', '/protected'))).statusCode, 401)

  const server = createServer(nodeHandler).listen(0, '127.0.0.1')
  t.teardown(async () => {
    server.close()
    await (await getApp()).close()
  })
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/auth/login`, {
    method: 'POST',
    headers: { 'sec-fetch-site': 'same-origin', 'x-token-transport': 'cookie' },
    body: new URLSearchParams(LOGIN)
  })
  t.equal(response.status, 200)
  t.match(response.headers.getSetCookie().join(), /__Host-auth-refresh=/)

  const event = createEvent('POST', '/auth/refresh')
  const result = await handler({
    ...event,
    headers: { ...event.headers, 'x-token-transport': 'cookie' },
    cookies: response.headers.getSetCookie().map(header => header.split(';')[0] ?? '')
  })
  t.equal(result.statusCode, 200)
  t.match(result.cookies.join(), /__Host-auth-refresh=/)
})

t.test('serverless/server.ts serves requests with two frozen processes', async t => {
  const { url, stop } = await startExample(t, 'serverless/server.ts', await openPostgres(t))
  const login = await fetch(`${url}/auth/login`, {
    method: 'POST',
    body: new URLSearchParams(LOGIN)
  })
  t.equal(login.status, 200)
  const { access_token: token } = await login.json() as TokenResponse
  const processes = new Set<number>()

  for (let i = 0; i < 4; i++) {
    const response = await fetch(`${url}/protected`, {
      headers: { authorization: `Bearer ${token}` }
    })
    t.equal(response.status, 200)
    processes.add((await response.json() as { processId: number }).processId)
  }

  t.equal(processes.size, 2)
  t.strictSame(await stop(), [0, null])
})
