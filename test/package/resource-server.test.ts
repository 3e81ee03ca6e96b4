// examples/resource-server beside the demo, each in a process of its own: the demo's tokens are good there, and no longer than
// is promised when the demo has ended their session.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { childEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

const CLIENT_SECRET = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
// Long enough for a test on a busy machine, and waited for once.
const LIFETIME = 12_000
const MAX_AGE = 2000
const MARGIN = 2000
const insecure = { [oauth.allowInsecureRequests]: true }

/** Starts an example, and gives the address that it prints. */
async function start (t: Test, script: string, env: Record<string, string> = {}): Promise<string> {
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/${script}`], {
    cwd: root,
    env: childEnv({ PORT: '0', ...env }),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })

  for await (const line of createInterface({ input: child.stdout })) {
    const url = /listen\w* (?:at|on) (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1]

    if (url === undefined) {
      continue
    }

    // Whoever prints more is not to wait for a reader.
    child.stdout.resume()
    return url
  }

  throw new Error(`${script} did not start`)
}

const folder = mkdtempSync(join(tmpdir(), 'token-auth-resource-'))
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true })
})
const demo = await start(t, 'demo/server.ts', {
  DEMO_DATABASE: join(folder, 'demo.db'),
  ACCESS_LIFETIME: `${LIFETIME}ms`,
  CLIENT_SECRET
})
const servers = await Promise.all([{}, { INTROSPECT: CLIENT_SECRET }, { REQUIRE_DPOP: '1' }]
  .map(env => start(t, 'resource-server/index.ts', { ISSUER: demo, ...env })))
const [byKeys = '', byAsking = '', demanding = ''] = servers

const send = (url: string, token?: string, method = 'GET'): Promise<Response> =>
  fetch(url, { method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
const status = async (url: string, token?: string): Promise<number> =>
  (await send(url, token)).status

async function login (username: string): Promise<TokenResponse> {
  const body = new URLSearchParams({ username, password: 'correct horse' })
  return await (await fetch(`${demo}/auth/login`, { method: 'POST', body })).json() as TokenResponse
}

t.before(async () => {
  for (const username of ['ann', 'bob']) {
    await fetch(`${demo}/register`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username, password: 'correct horse' })
    })
  }
})

t.test('the demo\'s tokens are good there, for whom they say', async t => {
  const [ann, bob] = [await login('ann'), await login('bob')]

  for (const server of [byKeys, byAsking]) {
    const response = await send(`${server}/orders`, ann.access_token)
    t.equal(response.status, 200)
    const { userId, orders } = await response.json() as { userId: string, orders: object[] }
    t.equal(userId, (ann.user as { id: string }).id)
    t.ok(orders.length > 0)
    t.strictSame([
      await status(`${server}/report`, ann.access_token),
      await status(`${server}/report`, bob.access_token)
    ], [200, 403])
    t.equal(
      (await send(`${server}/orders`, bob.access_token, 'DELETE')).status,
      200,
      'who has just logged in'
    )

    for (const token of [undefined, 'garbage', ann.refresh_token, `${ann.access_token}A`]) {
      t.equal(await status(`${server}/orders`, token), 401)
    }
  }
})

t.test('a token that is bound to a key is good with proofs of it; where they are required, no other is', async t => {
  const keys = await oauth.generateKeyPair('ES256')
  const client: oauth.Client = { client_id: 'phone' }
  const DPoP = oauth.DPoP(client, keys)
  const as = { issuer: demo, token_endpoint: `${demo}/auth/login` }

  // Sent again with the nonce that it was told.
  async function twice<Answer> (ask: () => Promise<Answer>): Promise<Answer> {
    return ask().catch((error: unknown) => {
      if (!oauth.isDPoPNonceError(error)) {
        throw error
      }

      return ask()
    })
  }

  const { access_token: token, token_type: type } = await twice(async () => {
    const form = { username: 'ann', password: 'correct horse' }
    const response = await oauth.genericTokenEndpointRequest(
      as,
      client,
      oauth.None(),
      'password',
      form,
      { DPoP, ...insecure }
    )
    return oauth.processGenericTokenEndpointResponse(as, client, response)
  })
  t.equal(type, 'dpop')

  for (const server of servers) {
    const orders = new URL(`${server}/orders`)
    const response = await twice(() =>
      oauth.protectedResourceRequest(token, 'GET', orders, new Headers(), null, {
        DPoP,
        ...insecure
      })
    )
    t.equal(response.status, 200)
    t.equal(await status(orders.href, token), 401, 'as bearer')
  }

  t.equal(await status(`${demanding}/orders`, (await login('bob')).access_token), 401)
})

t.test('what the demo has ended is refused there within the promised time: maxAge by asking, the token\'s life by keys', async t => {
  const { access_token: token } = await login('ann')
  const loggedIn = performance.now()
  t.strictSame(
    [await status(`${byKeys}/orders`, token), await status(`${byAsking}/orders`, token)],
    [200, 200]
  )
  const ended = performance.now()
  t.equal((await send(`${demo}/auth/logout`, token, 'POST')).status, 204)
  t.equal(await status(`${byKeys}/orders`, token), 200, 'by keys it is not known')

  async function refusedAt (server: string): Promise<number> {
    while (await status(`${server}/orders`, token) !== 401) {
      await setTimeout(100)
    }

    return performance.now()
  }

  const asking = await refusedAt(byAsking) - ended
  t.ok(asking < MAX_AGE + MARGIN, `by asking after ${Math.round(asking)} ms`)
  t.equal(await status(`${byKeys}/orders`, token), 200, 'while the token itself is not over')
  const life = await refusedAt(byKeys) - loggedIn
  t.ok(life < LIFETIME + MARGIN, `by keys after ${Math.round(life)} ms`)
})
