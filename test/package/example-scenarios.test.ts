// These tests use the features of the examples: cookies, DPoP, OAuth, the tour and two instances.

import { execFile } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import type { Test } from 'tap'
import { createChildEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'
import { whyNoRedis } from '../helpers/databases/redis.js'
import { createProof, createProofKey } from '../helpers/dpop.js'
import { openPostgres, openRedis } from '../helpers/example-databases.js'
import type { DatabaseEnv } from '../helpers/example-databases.js'
import { ann, callWithToken, login, startExample } from '../helpers/example-process.js'
import type { ExampleProcess } from '../helpers/example-process.js'

const run = promisify(execFile)
/** Header of browsers. Without it, the server rejects a login that asks for cookies. */
const sameOrigin = { 'sec-fetch-site': 'same-origin' }

t.test('browser-cookies/server.ts keeps tokens out of all response bodies', async t => {
  const { url } = await startExample(t, 'browser-cookies/server.ts')
  const response = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: sameOrigin,
    body: new URLSearchParams(ann)
  })
  t.equal(response.status, 200)
  t.notMatch(await response.text(), /token":"/)
  const cookies = response.headers.getSetCookie()
  t.match(cookies.sort(), [
    /^__Host-auth-access=.*; HttpOnly; Secure/,
    /^__Host-auth-device=.*; HttpOnly; Secure/,
    /^__Host-auth-refresh=.*; HttpOnly; Secure/
  ])
  const cookie = cookies.map(line => line.split(';')[0]).join('; ')
  t.equal((await fetch(`${url}/protected`)).status, 401)
  t.equal((await fetch(`${url}/protected`, { headers: { ...sameOrigin, cookie } })).status, 200)
  t.match(await (await fetch(url)).text(), /<title>Login with cookies<\/title>/)
})

t.test('readiness/server.ts answers probes without a token', async t => {
  const { url } = await startExample(t, 'readiness/server.ts')

  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(url + path)
    return { code: response.status, body: await response.json() }
  }

  t.strictSame(await get('/livez'), { code: 200, body: { status: 'ok' } })
  t.strictSame(await get('/readyz'), { code: 200, body: { status: 'ok' } })
  t.match(await get('/health'), {
    code: 200,
    body: { status: 'ok', reasons: [], acceptsTokens: true, store: { pendingRotations: 0 } }
  })
})

t.test('dpop/server.ts accepts a token only with a proof of its key', async t => {
  const { url } = await startExample(t, 'dpop/server.ts')
  const key = createProofKey('ES256')
  let nonce: string | undefined

  const send = async (method: string, path: string, token?: string): Promise<Response> => {
    const claims = {
      jti: randomUUID(),
      htm: method,
      htu: url + path,
      iat: Math.floor(Date.now() / 1000),
      nonce,
      ath: token && createHash('sha256').update(token).digest('base64url')
    }
    const response = await fetch(url + path, {
      method,
      headers: {
        ...sameOrigin,
        dpop: createProof(key, claims),
        ...(token !== undefined && { authorization: `DPoP ${token}` })
      },
      ...(method === 'POST' && { body: new URLSearchParams(ann) })
    })
    nonce = response.headers.get('dpop-nonce') ?? nonce
    return response
  }

  const unproven = await fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: sameOrigin,
    body: new URLSearchParams(ann)
  })
  t.equal(unproven.status, 401)
  t.equal((await send('POST', '/auth/login')).status, 401, 'the proof has no nonce')
  const response = await send('POST', '/auth/login')
  t.equal(response.status, 200)
  const { access_token: token } = await response.json() as { access_token: string }
  t.equal((await send('GET', '/protected', token)).status, 200)
  t.equal((await callWithToken(`${url}/protected`, token)).status, 401)
})

t.test('oauth-clients/client.ts refreshes, introspects and revokes tokens', async t => {
  const { url } = await startExample(t, 'oauth-clients/server.ts')
  const { stdout } = await run(
    process.execPath,
    ['--import', 'tsx', 'examples/oauth-clients/client.ts'],
    { cwd: root, env: createChildEnv({ ISSUER: url }) }
  )
  t.equal(
    stdout,
    [
      `token endpoint: ${url}/auth/token`,
      'protected route: 200 {"userId":"1","clientId":"phone"}',
      'active after the refresh: true',
      'active after the revocation: false',
      ''
    ].join('\n')
  )
})

t.test('demo/tour.ts succeeds', async t => {
  const { stdout } = await run(
    process.execPath,
    ['--import', 'tsx', 'examples/demo/tour.ts'],
    { cwd: root, env: createChildEnv() }
  )
  t.match(stdout, 'The tour succeeded.')
  t.equal(stdout.match(/server started in \d+ ms/g)?.length, 2, 'it restarts after the kill')
})

t.test('custom-store passes the conformance suite', async t => {
  const { stdout } = await run(
    process.execPath,
    ['--import', 'tsx', '--test', 'examples/custom-store/conformance.ts'],
    { cwd: root, env: createChildEnv() }
  )
  t.match(stdout, /# pass [67]\d\n# fail 0/)
})

t.test('two instances on PostgreSQL share logouts', async t => {
  const env = await openPostgres(t)
  await checkInstances(t, await startBehindProxy(t, 'postgres/server.ts', env))
})

t.test('two instances on Redis share logouts', { skip: await whyNoRedis() }, async t => {
  const env = await openRedis(t)
  await checkInstances(t, await startBehindProxy(t, 'redis/server.ts', env))
})

function startBehindProxy (t: Test, script: string, env: DatabaseEnv): Promise<ExampleProcess> {
  return startExample(t, ['shared/round-robin.ts', `examples/${script}`], env)
}

/** Logs in, gets responses of both instances, logs out at one, and is rejected by both. */
async function checkInstances (t: Test, { url, stop }: ExampleProcess): Promise<void> {
  const token = await login(url, '/auth/login')

  const call = async (): Promise<{ status: number, processId: number }> => {
    const response = await callWithToken(`${url}/protected`, token)
    const { processId } = await response.json() as { processId: number }
    return { status: response.status, processId }
  }

  const [one, other] = [await call(), await call()]
  t.strictSame([one.status, other.status], [200, 200])
  t.not(one.processId, other.processId)
  t.equal((await callWithToken(`${url}/auth/logout`, token, 'POST')).status, 204)
  const loggedOutAt = performance.now()
  let rejections = 0

  while (rejections < 2 && performance.now() - loggedOutAt < 10_000) {
    rejections = (await call()).status === 401 ? rejections + 1 : 0
  }

  t.equal(rejections, 2, 'both instances reject the access token')
  t.strictSame(await stop(), [0, null])
}
