// Two processes on PostgreSQL, one of them with 5,000 streams.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { createChildEnv } from '../helpers/child-env.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../helpers/databases/postgres.js'

const STREAMS = 5000
const LOGOUTS = 40
const script = fileURLToPath(new URL('stream-server.ts', import.meta.url))

interface Stream {
  readonly tokens: TokenResponse
  /** Moment of the end, or `null` while the stream is open. */
  endedAt: number | null
  received: string
}

async function startServer (t: Test, url: string, schema: string, mode: string): Promise<string> {
  const args = ['--import', 'tsx', script, url, schema, mode]
  const child = spawn(process.execPath, args, {
    env: createChildEnv(),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  return line as string
}

async function post (url: string, path: string, body: object): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
}

const agent = new Agent({ keepAlive: false, maxSockets: Infinity })

async function openStream (url: string, tokens: TokenResponse): Promise<Stream> {
  const stream: Stream = { tokens, endedAt: null, received: '' }
  const headers = { authorization: `Bearer ${tokens.access_token}` }
  const sent = request(`${url}/stream`, { agent, headers })
  sent.end()
  const [response] = await once(sent, 'response')
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    stream.received += chunk
  })
  response.on('close', () => {
    stream.endedAt = performance.now()
  })

  if (response.statusCode !== 200) {
    throw new Error(`status ${response.statusCode}`)
  }

  return stream
}

async function logOut (url: string, { tokens }: Stream): Promise<void> {
  const { status } = await post(url, '/auth/logout', { refresh_token: tokens.refresh_token })

  if (status >= 300) {
    throw new Error(`logout: status ${status}`)
  }
}

for (const [mode, limit] of [['poll', 1000], ['listen', 150]] as const) {
  t.test(`${mode}: a logout at one instance ends its stream at the other`, {
    timeout: 180_000
  }, async t => {
    const own = await answers(POSTGRES_URL) ? null : await startPostgres()
    const url = own?.url ?? POSTGRES_URL
    const database = await createPostgresDatabase(url)
    t.teardown(() => database.remove().then(() => own?.stop()))
    const { rows: [row] } = await database.connect({ max: 1 }).query(
      'SELECT current_schema AS name'
    )
    const { name: schema } = row as { name: string }
    const one = await startServer(t, url, schema, mode)
    const other = await startServer(t, url, schema, mode)
    const streams: Stream[] = []

    for (let from = 0; from < STREAMS; from += 100) {
      const response = await post(one, '/open', { from, count: 100 })
      const opened = await response.json() as TokenResponse[]
      streams.push(...await Promise.all(opened.map(tokens => openStream(other, tokens))))
    }

    t.equal(streams.length, STREAMS)
    const delays: number[] = []

    for (let i = 0; i < LOGOUTS; i++) {
      const stream = streams[i * 100 + 7] as Stream
      const sentAt = performance.now()
      await logOut(one, stream)

      while (stream.endedAt === null && performance.now() - sentAt < 5000) {
        await sleep(1)
      }

      delays.push((stream.endedAt ?? Infinity) - sentAt)
      t.match(stream.received, 'event: AUTH_SESSION_REVOKED')
      // Polls must not be in step with the logouts.
      await sleep(Math.random() * 300)
    }

    delays.sort((a, b) => a - b)
    const [median, p95] = [0.5, 0.95].map(part => delays[Math.floor(part * LOGOUTS)] as number)
    t.comment(`median ${median?.toFixed(0)} ms, p95 ${p95?.toFixed(0)} ms`)
    t.ok(mode === 'listen' ? (median as number) < limit : (p95 as number) < limit)
    t.equal(streams.filter(({ endedAt }) => endedAt !== null).length, LOGOUTS, 'no other stream')
    agent.destroy()
  })
}
