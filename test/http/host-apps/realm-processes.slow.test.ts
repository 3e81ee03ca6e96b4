import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'
import { startServer } from '../../helpers/server-process.js'

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

/** Two processes on one database. Each has a registration of its own, and the user `u-ann`. */
async function startRealms (t: Test): Promise<readonly [staff: string, shop: string]> {
  const file = createSqliteFile()
  const servers = await Promise.all([
    startServer(file.path, { name: 'staff' }),
    startServer(file.path, { name: 'shop' })
  ])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })
  const [staff, shop] = servers
  return [staff.url, shop.url]
}

t.test('a process rejects the tokens of another realm on its database', async t => {
  const [staff, shop] = await startRealms(t)
  const tokens = await login(staff)

  t.equal(await call(shop, 'GET', '/protected', tokens.access_token), 401)
  t.equal(await call(shop, 'GET', '/auth/sessions', tokens.access_token), 401)
  t.equal(await call(shop, 'DELETE', '/auth/sessions', tokens.access_token), 401)
  t.equal(await call(shop, 'POST', '/auth/logout/all', tokens.access_token), 401)
  t.equal((await refresh(shop, tokens)).status, 401)
  await call(shop, 'POST', '/auth/logout', tokens.access_token)
  await post(shop, '/auth/logout', { refresh_token: tokens.refresh_token })

  t.equal(await call(staff, 'GET', '/protected', tokens.access_token), 200, 'it has not ended')
  t.equal((await refresh(staff, tokens)).status, 200)
})

t.test('a process lists and ends only the sessions of its realm', async t => {
  const [staff, shop] = await startRealms(t)
  const [staffTokens, otherStaffTokens, shopTokens] = [
    await login(staff),
    await login(staff),
    await login(shop)
  ]
  t.equal(await countSessions(staff, staffTokens), 2)
  t.equal(await countSessions(shop, shopTokens), 1)

  t.equal(await call(shop, 'POST', '/auth/logout/all', shopTokens.access_token), 204)
  t.equal((await refresh(shop, shopTokens)).status, 401, 'it has ended')

  t.equal(await call(staff, 'GET', '/protected', staffTokens.access_token), 200)
  t.equal((await refresh(staff, staffTokens)).status, 200)
  t.equal((await refresh(staff, otherStaffTokens)).status, 200)
})

async function login (url: string): Promise<Tokens> {
  const response = await post(url, '/auth/login', { username: 'ann', password: PASSWORD })
  return await response.json() as Tokens
}

async function countSessions (url: string, { access_token: token }: Tokens): Promise<number> {
  const response = await fetch(`${url}/auth/sessions`, {
    headers: { authorization: `Bearer ${token}` }
  })
  const { sessions } = await response.json() as { readonly sessions: readonly unknown[] }
  return sessions.length
}

function refresh (url: string, { refresh_token: token }: Tokens): Promise<Response> {
  return post(url, '/auth/refresh', { refresh_token: token })
}

function post (url: string, path: string, body: object): Promise<Response> {
  return fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body)
  })
}

async function call (url: string, method: string, path: string, token: string): Promise<number> {
  const { status } = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}` }
  })
  return status
}
