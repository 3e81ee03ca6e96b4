// The examples: the demo as `npm run demo:tour` plays it (a server process, killed in the middle), two instances on one
// database, and a store of one's own.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { childEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'
import { startPostgres } from '../helpers/databases/postgres.js'
import { startRedis } from '../helpers/databases/redis.js'

const run = promisify(execFile)
const options = { cwd: root, env: childEnv() }

t.test('the tour sees what was promised', async t => {
  const { stdout } = await run(
    process.execPath,
    ['--import', 'tsx', 'examples/demo/tour.ts'],
    options
  )
  t.match(stdout, 'The tour is over: everything was as promised.')
  t.equal(
    stdout.match(/started in \d+ ms/g)?.length,
    2,
    'it was started, killed, and started again'
  )
})

t.test('the store of a reader\'s own holds the laws', async t => {
  const { stdout } = await run(process.execPath, [
    '--import',
    'tsx',
    '--test',
    'examples/custom-store/conformance.ts'
  ], options)
  t.match(stdout, /# pass (3|4)\d\n# fail 0/)
})

t.test('two instances on one PostgreSQL', async t => {
  const { url, stop } = await startPostgres()
  t.teardown(stop)
  await checkInstances(t, 'postgres', { DATABASE_URL: url })
})

t.test('two instances on one Redis', async t => {
  const server = await startRedis()

  if (server === null) {
    if (process.env.CI !== undefined) {
      throw new Error('there is no redis-server to start')
    }

    t.comment('left out: there is no redis-server to start')
    return
  }

  t.teardown(server.stop)
  await checkInstances(t, 'redis', { REDIS_URL: server.url })
})

/** Logs in, is served by both, logs out at one, and is refused by both: at once, since the database pushes. */
async function checkInstances (
  t: Test,
  example: string,
  env: Record<string, string>
): Promise<void> {
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${example}/start.ts`], {
    cwd: root,
    env: childEnv({ ...env, PORT: '0' }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(() => {
    child.kill('SIGKILL')
  })
  let url: string | undefined

  for await (const line of createInterface({ input: child.stdout })) {
    url = /behind (\S+)\. Try/.exec(line)?.[1]

    if (url !== undefined) {
      break
    }
  }

  const login = new URLSearchParams({ username: 'ann', password: 'correct horse' })
  const { access_token: token } =
    await (await fetch(`${url}/auth/login`, { method: 'POST', body: login })).json() as {
      access_token: string
    }
  const headers = { authorization: `Bearer ${token}` }

  const ask = async (): Promise<{ status: number, from: string }> => {
    const response = await fetch(`${url}/protected`, { headers })
    return { status: response.status, from: (await response.json() as { from: string }).from }
  }

  const [one, other] = [await ask(), await ask()]
  t.strictSame([one.status, other.status], [200, 200])
  t.not(one.from, other.from)
  t.equal((await fetch(`${url}/auth/logout`, { method: 'POST', headers })).status, 204)
  const since = performance.now()
  let refused = 0

  while (refused < 2 && performance.now() - since < 10_000) {
    refused = (await ask()).status === 401 ? refused + 1 : 0
  }

  t.equal(refused, 2, 'both refuse the access token')
  child.kill()
  t.strictSame(await ended, [0, null], 'it ends when it is told to')
}
