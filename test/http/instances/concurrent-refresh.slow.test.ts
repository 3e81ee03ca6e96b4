import t from 'tap'
import type { Test } from 'tap'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { startServer } from '../../helpers/server-process.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { localStores } from '../../helpers/stores.js'

const CONCURRENCY = 200

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

for (const [name, open] of Object.entries(localStores)) {
  t.test(`one server with ${name} rotates once for 200 concurrent refreshes`, async t => {
    const { store, close } = await open()
    const { app } = await createTestApp({ store })
    t.teardown(async () => {
      await app.close()
      close()
    })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const { refresh_token: token } = await login(url)
    await refreshConcurrently(t, [url], token)
    const [session] = await app.tokenAuth.listSessions('u-ann')
    t.equal(session?.generation, 1)
  })
}

t.test('two processes on one SQLite file rotate once for 200 concurrent refreshes', async t => {
  const file = createSqliteFile()
  const servers = await Promise.all([startServer(file.path), startServer(file.path)])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })
  const urls = servers.map(server => server.url)
  let { refresh_token: token } = await login(urls[0] as string)
  token = await refreshConcurrently(t, urls, token)
  const sessions = await fetch(`${urls[1]}/auth/sessions`, {
    headers: {
      authorization: `Bearer ${(await refresh(urls[0] as string, token)).body.access_token}`
    }
  })
  t.equal((await sessions.json() as { sessions: unknown[] }).sessions.length, 1)
})

t.test('two processes rotate each of 20 sessions once for concurrent refreshes', async t => {
  const file = createSqliteFile()
  const servers = await Promise.all([startServer(file.path), startServer(file.path)])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })
  const urls = servers.map(server => server.url)
  const tokens = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => (await login(urls[i % 2] as string)).refresh_token)
  )
  await Promise.all(tokens.map(token => refreshConcurrently(t, urls, token, 10)))
})

t.test('a killed server signs no user out', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  let server = await startServer(file.path)
  let { refresh_token: token } = await login(server.url)

  for (let round = 0; round < 3; round++) {
    const responses = Array.from({ length: 50 }, () => refresh(server.url, token).catch(() => null))
    await Promise.race(responses)
    await server.kill()
    const successful = (await Promise.all(responses)).filter(response => response?.status === 200)
    server = await startServer(file.path)
    const again = await refresh(server.url, token)
    t.equal(again.status, 200)

    // The token stays current within the grace period of the previous round.
    for (const response of successful) {
      t.ok([token, again.body.refresh_token].includes(response?.body.refresh_token ?? ''))
    }

    token = again.body.refresh_token
  }

  await server.close()
})

async function login (url: string): Promise<Tokens> {
  const { body } = await post(`${url}/auth/login`, { username: 'ann', password: PASSWORD })
  return body
}

function refresh (url: string, token: string): Promise<{ status: number, body: Tokens }> {
  return post(`${url}/auth/refresh`, { refresh_token: token })
}

async function post (url: string, body: object): Promise<{ status: number, body: Tokens }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
  return { status: response.status, body: await response.json() as Tokens }
}

/** Asserts that all responses contain the same successor. */
async function refreshConcurrently (
  t: Test,
  urls: readonly string[],
  token: string,
  times = CONCURRENCY
): Promise<string> {
  const responses = await Promise.all(
    Array.from({ length: times }, (_, i) => refresh(urls[i % urls.length] as string, token))
  )
  t.strictSame(new Set(responses.map(({ status }) => status)), new Set([200]))
  const successors = new Set(responses.map(({ body }) => body.refresh_token))
  t.equal(successors.size, 1, 'one successor')
  const [successor = ''] = successors
  t.equal(getGeneration(successor), getGeneration(token) + 1)
  t.strictSame(
    new Set(responses.map(({ body }) => getGeneration(body.access_token))),
    new Set([getGeneration(successor)])
  )
  return successor
}

function getGeneration (token: string): number {
  return (JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    gen: number
  }).gen
}
