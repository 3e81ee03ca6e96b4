// Stock OAuth clients against a server on a real port: what a client library of others demands, which is the RFCs' text.

import { generateKeyPairSync } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAnswer, TokenAuthOptions } from '../../src/index.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'

export const CLIENT_SECRET = 'Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
const insecure = { [oauth.allowInsecureRequests]: true }
const pair = generateKeyPairSync('ed25519').privateKey

interface Server extends TestApp { readonly base: string, readonly as: oauth.AuthorizationServer }

async function serve (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Server> {
  const { createServer } = await import('node:net')
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise(resolve => probe.close(resolve))
  const issuer = `http://127.0.0.1:${port}`
  const test = await createTestApp({
    options: {
      clock: Date.now,
      issuer,
      audience: 'api',
      keys: [pair],
      oauth: { clients: [{ clientId: 'phone' }, { clientId: 'server', clientSecret: CLIENT_SECRET }] },
      dpop: true,
      ...options
    }
  })
  t.teardown(() => test.app.close())
  const base = await test.app.listen({ host: '127.0.0.1', port })
  const as = await oauth.processDiscoveryResponse(new URL(issuer),
    await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2', ...insecure }))
  return { ...test, base, as }
}

async function login (server: Server, members: object = {}, headers: Record<string, string> = {}): Promise<TokenAnswer> {
  const response = await fetch(`${server.base}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ username: 'ann', password: PASSWORD, ...members })
  })
  if (response.status !== 200) throw new Error(await response.text())
  return await response.json() as TokenAnswer
}

t.test('discovery, refresh, reuse, revocation, by a public client', async t => {
  const server = await serve(t)
  const { as } = server
  t.strictSame(as, {
    issuer: server.base,
    token_endpoint: `${server.base}/auth/token`,
    token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post'],
    grant_types_supported: ['refresh_token'],
    response_types_supported: ['none'],
    revocation_endpoint: `${server.base}/auth/revoke`,
    revocation_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post'],
    introspection_endpoint: `${server.base}/auth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    jwks_uri: `${server.base}/.well-known/jwks.json`,
    dpop_signing_alg_values_supported: ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256']
  })
  const client: oauth.Client = { client_id: 'phone' }
  const { refresh_token: first } = await login(server, { client_id: 'phone' })
  const refresh = async (token: string): Promise<oauth.TokenEndpointResponse> => oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, oauth.None(), token, insecure))
  const second = await refresh(first as string)
  t.match(second, { token_type: 'bearer', expires_in: 900 })
  t.not(second.refresh_token, first)

  const claims = await oauth.validateJwtAccessToken(as, new Request(`${server.base}/api`, {
    headers: { authorization: `Bearer ${second.access_token}` }
  }), 'api', insecure)
  t.match(claims, { iss: server.base, sub: 'u-ann', client_id: 'phone' })

  const response = await oauth.revocationRequest(as, client, oauth.None(), second.refresh_token as string, insecure)
  t.equal(await oauth.processRevocationResponse(response), undefined)
  t.match(await refresh(second.refresh_token as string).catch((error: unknown) => error), { error: 'invalid_grant', status: 400 })
})

t.test('DPoP with a nonce that is asked for, refreshed, and a resource that demands it', async t => {
  const server = await serve(t)
  const { as } = server
  const client: oauth.Client = { client_id: 'phone' }
  const keys = await oauth.generateKeyPair('ES256')
  const dpop = oauth.DPoP(client, keys)
  const { refresh_token: token, token_type: type } = await loginWith(server, keys)
  t.equal(type, 'DPoP')
  const ask = async (): Promise<oauth.TokenEndpointResponse> => oauth.processRefreshTokenResponse(as, client,
    await oauth.refreshTokenGrantRequest(as, client, oauth.None(), token, { DPoP: dpop, ...insecure }))
  const answer = await ask().catch(async (error: unknown) => {
    t.ok(oauth.isDPoPNonceError(error), 'the first time it is told the nonce')
    return ask()
  })
  t.equal(answer.token_type, 'dpop')
  const protect = async (): Promise<Response> => oauth.protectedResourceRequest(
    answer.access_token, 'GET', new URL(`${server.base}/protected`), new Headers(), null, { DPoP: dpop, ...insecure })
  const shown = await protect()
  t.match(await shown.json(), { userId: 'u-ann', clientId: 'phone' })
  const bare = await fetch(`${server.base}/protected`, { headers: { authorization: `Bearer ${answer.access_token}` } })
  t.equal(bare.status, 401)
  t.match(bare.headers.get('www-authenticate'), /^Bearer realm="auth", error="invalid_token".*, DPoP realm="auth", algs="ES256 /)
})

async function loginWith (server: Server, keys: oauth.CryptoKeyPair): Promise<{ refresh_token: string, token_type: string }> {
  const client: oauth.Client = { client_id: 'phone' }
  const dpop = oauth.DPoP(client, keys)
  // A login is no grant of OAuth: a token request of another grant is sent there, and carries the proof.
  for (let i = 0; i < 2; i++) {
    const response = await oauth.genericTokenEndpointRequest({ ...server.as, token_endpoint: `${server.base}/auth/login` }, client,
      oauth.None(), 'x', { username: 'ann', password: PASSWORD }, { DPoP: dpop, ...insecure })
    if (response.status === 200) return await response.json() as { refresh_token: string, token_type: string }
    await oauth.processGenericTokenEndpointResponse(server.as, client, response).catch(() => {})
  }
  throw new Error('no login')
}
