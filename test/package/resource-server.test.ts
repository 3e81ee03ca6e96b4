// The demo issues tokens, and examples/resource-server verifies them in another process.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { startExample } from '../helpers/example-process.js'

const CLIENT_SECRET = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
// Long enough for a busy machine. One test waits for it.
const LIFETIME = 12_000
const MAX_AGE = 2000
const MARGIN = 2000
const insecure = { [oauth.allowInsecureRequests]: true }

const folder = mkdtempSync(join(tmpdir(), 'token-auth-resource-'))
t.teardown(() => {
  rmSync(folder, { recursive: true, force: true })
})
const { url: demo } = await startExample(t, 'demo/server.ts', {
  DEMO_DATABASE: join(folder, 'demo.db'),
  ACCESS_LIFETIME: `${LIFETIME}ms`,
  CLIENT_SECRET
})
const servers = await Promise.all(
  [{}, { INTROSPECT: CLIENT_SECRET }, { REQUIRE_DPOP: '1' }, { SYNC: CLIENT_SECRET }]
    .map(async env =>
      (await startExample(t, 'resource-server/server.ts', { ISSUER: demo, ...env })).url
    )
)
const [jwksServer = '', introspectionServer = '', dpopServer = '', syncServer = ''] = servers

const send = (url: string, token?: string, method = 'GET'): Promise<Response> =>
  fetch(url, { method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } })
const getStatus = async (url: string, token?: string): Promise<number> =>
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

t.test('the service accepts tokens of the demo for their user', async t => {
  const [ann, bob] = [await login('ann'), await login('bob')]

  for (const server of [jwksServer, introspectionServer]) {
    const response = await send(`${server}/orders`, ann.access_token)
    t.equal(response.status, 200)
    const { userId, orders } = await response.json() as { userId: string, orders: object[] }
    t.equal(userId, (ann.user as { id: string }).id)
    t.ok(orders.length > 0)
    t.strictSame([
      await getStatus(`${server}/report`, ann.access_token),
      await getStatus(`${server}/report`, bob.access_token)
    ], [200, 403])
    t.equal(
      (await send(`${server}/orders`, bob.access_token, 'DELETE')).status,
      200,
      'the login is fresh'
    )

    for (const token of [undefined, 'garbage', ann.refresh_token, `${ann.access_token}A`]) {
      t.equal(await getStatus(`${server}/orders`, token), 401)
    }
  }
})

t.test('the service accepts a token that is bound to a key only with proofs', async t => {
  const keys = await oauth.generateKeyPair('ES256')
  const client: oauth.Client = { client_id: 'phone' }
  const DPoP = oauth.DPoP(client, keys)
  const as = { issuer: demo, token_endpoint: `${demo}/auth/login` }

  // The first response contains the nonce for the second request.
  async function sendWithNonce<Result> (sendProven: () => Promise<Result>): Promise<Result> {
    return sendProven().catch((error: unknown) => {
      if (!oauth.isDPoPNonceError(error)) {
        throw error
      }

      return sendProven()
    })
  }

  const { access_token: token, token_type: type } = await sendWithNonce(async () => {
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
    const response = await sendWithNonce(() =>
      oauth.protectedResourceRequest(token, 'GET', orders, new Headers(), null, {
        DPoP,
        ...insecure
      })
    )
    t.equal(response.status, 200)
    t.equal(await getStatus(orders.href, token), 401, 'the token is rejected as a bearer token')
  }

  t.equal(await getStatus(`${dpopServer}/orders`, (await login('bob')).access_token), 401)
})

t.test('a service with sync ends streams and rejects tokens after a logout', async t => {
  const { access_token: token } = await login('ann')
  const stream = await send(`${syncServer}/events`, token)
  t.equal(stream.status, 200)
  const loggedOutAt = performance.now()
  t.equal((await send(`${demo}/auth/logout`, token, 'POST')).status, 204)
  t.equal(await stream.text(), 'data: welcome\n\ndata: signed out\n\n')
  const delay = performance.now() - loggedOutAt
  t.ok(delay < 1500 + MARGIN, `after ${Math.round(delay)} ms`)
  t.equal(await getStatus(`${syncServer}/orders`, token), 401)
})

t.test('the service rejects a revoked session within the documented time', async t => {
  const { access_token: token } = await login('ann')
  const loggedInAt = performance.now()
  t.strictSame(
    [
      await getStatus(`${jwksServer}/orders`, token),
      await getStatus(`${introspectionServer}/orders`, token)
    ],
    [200, 200]
  )
  const loggedOutAt = performance.now()
  t.equal((await send(`${demo}/auth/logout`, token, 'POST')).status, 204)
  t.equal(await getStatus(`${jwksServer}/orders`, token), 200, 'the key set does not know it')

  async function waitForRejection (server: string): Promise<number> {
    while (await getStatus(`${server}/orders`, token) !== 401) {
      await setTimeout(100)
    }

    return performance.now()
  }

  const introspectionDelay = await waitForRejection(introspectionServer) - loggedOutAt
  t.ok(
    introspectionDelay < MAX_AGE + MARGIN,
    `introspection: after ${Math.round(introspectionDelay)} ms`
  )
  t.equal(await getStatus(`${jwksServer}/orders`, token), 200, 'the token has not expired')
  const jwksDelay = await waitForRejection(jwksServer) - loggedInAt
  t.ok(jwksDelay < LIFETIME + MARGIN, `key set: after ${Math.round(jwksDelay)} ms`)
})
