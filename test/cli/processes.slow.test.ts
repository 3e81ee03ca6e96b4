import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { createTestApp } from '../helpers/app.js'
import { createChildEnv } from '../helpers/child-env.js'
import { cliDatabases } from '../helpers/cli-databases.js'
import { root } from '../helpers/consumer.js'
import { redisUrl } from '../helpers/databases/redis.js'
import { deploy } from '../helpers/deployment.js'

const command = join(root, 'dist/cli/index.js')

interface Output {
  readonly code: number | null
  readonly out: string
  readonly error: string
}

/** Runs the built command in a process of its own. */
function runProcess (
  args: readonly string[],
  env: Record<string, string> = {},
  cwd = root
): Promise<Output> {
  return new Promise(resolve => {
    const child = execFile(
      command,
      args,
      { env: createChildEnv(env), cwd },
      (_error, out, error) => {
        resolve({ code: child.exitCode, out, error })
      }
    )
  })
}

async function waitFor (condition: () => Promise<boolean> | boolean): Promise<number> {
  const startedAt = performance.now()

  while (!await condition()) {
    await sleep(20)
  }

  return performance.now() - startedAt
}

for (const [name, { skip, open }] of Object.entries(cliDatabases)) {
  t.test(`a running app on ${name} refuses what the command revoked`, { skip }, async t => {
    const { url, store, args } = await open(t)
    const { app, login, get, events, refresh } = await createTestApp({
      store,
      options: { clock: undefined as never, revocations: { pollInterval: '1s' } }
    })
    t.teardown(() => app.close())
    const targets = [
      (id: string) => ['--session', id],
      () => ['--user', 'u-ann', '--yes'],
      () => ['--all', '--yes']
    ]

    for (const getTarget of targets) {
      const { access_token: token, refresh_token: refreshToken } = await login()
      const { sessionId } = (await get('/protected', token)).json()
      t.equal((await get('/protected', token)).statusCode, 200)
      events.length = 0
      const target = getTarget(sessionId as string)
      const { code, error } = await runProcess(
        ['revoke', ...target, ...args],
        { DATABASE_URL: url }
      )
      t.equal(error, '')
      t.equal(code, 0)
      const took = await waitFor(async () => (await get('/protected', token)).statusCode === 401)
      t.ok(took < 2000, `${target.join(' ')}: refused after ${Math.round(took)} ms`)
      t.equal((await refresh(refreshToken)).json().code, 'AUTH_REFRESH_REVOKED')
      await waitFor(() => events.some(event => event.name === 'session-ended'))
      t.match(
        events.filter(event => event.name === 'session-ended'),
        [{ local: false, reason: 'revoked' }]
      )
    }
  })
}

t.test('the command loads the driver of its folder', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-cli-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(join(root, 'node_modules/ioredis'), join(folder, 'node_modules/ioredis'))
  const redis = await runProcess(['sessions', '--user', 'nobody'], {
    DATABASE_URL: 'redis://127.0.0.1:1/0'
  }, folder)
  t.match(redis.error, 'cannot connect to Redis at 127.0.0.1:1: nothing listens there')

  if (cliDatabases.redis?.skip === false) {
    const { code, out } = await runProcess(
      ['sessions', '--user', 'nobody', '--table-prefix', 'token-auth-test-none:'],
      { DATABASE_URL: redisUrl },
      folder
    )
    t.equal(out, 'user "nobody" has no active sessions in realm "auth"\n')
    t.equal(code, 0)
  }

  const postgres = await runProcess(['sessions', '--user', 'nobody'], {
    DATABASE_URL: 'postgres://127.0.0.1:1/d'
  }, folder)
  t.match(postgres.error, 'run "npm install pg"')
})

t.test('the command prints a secret and its help without a driver', async t => {
  const secret = await runProcess(['secret'])
  t.match(secret, { code: 0, error: '', out: /^[\w-]{64}\n$/ })
  const help = await runProcess([])
  t.match(help, { code: 0, error: '', out: /^Usage: npx fastify-token-auth COMMAND/ })
  const wrong = await runProcess(['secret', '--now'])
  t.match(wrong, { code: 2, out: '', error: /^fastify-token-auth: unknown option "--now"/ })
})

t.test('doctor examines a deployment from another process', async t => {
  const { app } = await deploy(t, { trustProxy: false })
  const sound = await runProcess(['doctor', `${app.listeningOrigin}/auth`])
  t.equal(sound.code, 0, sound.out)
  t.match(sound.out, /^No findings\.$/m)
  const wrong = await runProcess(['doctor', `${app.listeningOrigin}/login`, '--json'])
  t.equal(wrong.code, 1)
  t.match(JSON.parse(wrong.out).findings, [{ id: 'unexpected-response' }])
})
