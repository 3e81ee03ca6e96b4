import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { SECOND } from '../../helpers/clock.js'
import { startServer } from '../../helpers/server-process.js'
import type { ServerProcess } from '../../helpers/server-process.js'

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

t.test('a process that was stopped for 15 s takes no client for a thief', async t => {
  const file = createSqliteFile()
  const servers = await Promise.all([startServer(file.path), startServer(file.path)])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })
  const [stopped, other] = servers.map(({ url }) => url) as [string, string]
  const first = await post(other, '/auth/login', { username: 'ann', password: PASSWORD })
  t.equal((await refresh(stopped, first.tokens.refresh_token)).status, 200, 'it has worked before')
  await sleep(11 * SECOND)
  const { tokens } = await refresh(other, first.tokens.refresh_token)
  await sleep(11 * SECOND)

  servers[0]?.pause()
  // Ten tabs give up after a second and go on at the other process.
  const abandoned = Array.from(
    { length: 10 },
    () =>
      refresh(stopped, tokens.refresh_token, AbortSignal.timeout(SECOND)).then(
        () => 'answered',
        () => 'given up'
      )
  )
  t.strictSame(new Set(await Promise.all(abandoned)), new Set(['given up']))
  const second = await refresh(other, tokens.refresh_token)
  t.equal(second.status, 200)
  t.equal(await use(other, second.tokens.access_token), 200)
  await sleep(14 * SECOND)
  const third = await refresh(other, second.tokens.refresh_token)
  t.equal(third.status, 200)
  t.equal(await use(other, third.tokens.access_token), 200)
  servers[0]?.resume()
  await sleep(2 * SECOND)

  t.equal(await use(other, third.tokens.access_token), 200, 'the session lives')
  t.equal(await use(stopped, third.tokens.access_token), 200, 'at both processes')
  await sleep(9 * SECOND)
  t.equal((await refresh(stopped, third.tokens.refresh_token)).status, 200)
})

for (
  const [how, standStill] of Object.entries({
    'was stopped for 8 s': async (server: ServerProcess, meanwhile: () => Promise<unknown>) => {
      server.pause()
      await sleep(SECOND)
      await meanwhile()
      await sleep(7 * SECOND)
      server.resume()
    },
    'was blocked for 7 s': async (server: ServerProcess, meanwhile: () => Promise<unknown>) => {
      const blocked = fetch(`${server.url}/block`)
      await sleep(SECOND)
      await meanwhile()
      await blocked
    }
  })
) {
  t.test(`a process that ${how} rejects a token that was revoked meanwhile`, async t => {
    const file = createSqliteFile()
    const servers = await Promise.all([startServer(file.path), startServer(file.path)])
    t.teardown(async () => {
      await Promise.all(servers.map(server => server.close()))
      file.remove()
    })
    const [still, other] = servers as [ServerProcess, ServerProcess]
    const credentials = { username: 'ann', password: PASSWORD }

    for (let times = 0; times < 3; times++) {
      const { tokens } = await post(still.url, '/auth/login', credentials)
      const live = await post(still.url, '/auth/login', credentials)
      t.equal(await use(still.url, tokens.access_token), 200)
      const early: Array<Promise<number>> = []
      await standStill(still, async () => {
        const { status } = await fetch(`${other.url}/auth/logout`, {
          method: 'POST',
          headers: { authorization: `Bearer ${tokens.access_token}` }
        })
        t.equal(status, 204)
        // These wait in the socket of the process.
        early.push(use(still.url, tokens.access_token), use(still.url, live.tokens.access_token))
      })
      t.equal(await use(still.url, tokens.access_token), 401)
      t.strictSame(await Promise.all(early), [401, 200])
    }
  })
}

async function refresh (
  url: string,
  token: string,
  signal: AbortSignal | null = null
): Promise<{ readonly status: number, readonly tokens: Tokens }> {
  return post(url, '/auth/refresh', { refresh_token: token }, signal)
}

async function post (
  url: string,
  path: string,
  body: object,
  signal: AbortSignal | null = null
): Promise<{ readonly status: number, readonly tokens: Tokens }> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal
  })
  return { status: response.status, tokens: await response.json() as Tokens }
}

async function use (url: string, token: string): Promise<number> {
  const { status } = await fetch(`${url}/protected`, {
    headers: { authorization: `Bearer ${token}` }
  })
  return status
}
