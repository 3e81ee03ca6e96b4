import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { CLIENT_SECRET, startDemo } from './demo.js'

const insecure = { [oauth.allowInsecureRequests]: true }
const phone: oauth.Client = { client_id: 'phone' }
const orders: oauth.Client = { client_id: 'orders' }

const demo = await startDemo(t)
const issuer = new URL(demo.url)
const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure })
)

async function refresh (
  token: string,
  options: oauth.TokenEndpointRequestOptions = {}
): Promise<oauth.TokenEndpointResponse> {
  return oauth.processRefreshTokenResponse(
    as,
    phone,
    await oauth.refreshTokenGrantRequest(as, phone, oauth.None(), token, {
      ...options,
      ...insecure
    })
  )
}

async function assertRejected (
  t: Test,
  token: string,
  options?: oauth.TokenEndpointRequestOptions
): Promise<void> {
  const error = await refresh(token, options).catch((error: unknown) => error)
  t.match(error, { error: 'invalid_grant', status: 400 })
  t.ok(error instanceof oauth.ResponseBodyError)
}

async function introspect (token: string): Promise<oauth.IntrospectionResponse> {
  return oauth.processIntrospectionResponse(
    as,
    orders,
    await oauth.introspectionRequest(
      as,
      orders,
      oauth.ClientSecretBasic(CLIENT_SECRET),
      token,
      insecure
    )
  )
}

async function revoke (token: string): Promise<undefined> {
  return oauth.processRevocationResponse(
    await oauth.revocationRequest(as, phone, oauth.None(), token, insecure)
  )
}

/** Sends a request with the access token, as to a resource server. */
function withToken (
  token: string,
  scheme = 'Bearer',
  headers: Record<string, string> = {}
): Request {
  return new Request(`${demo.url}/protected`, {
    headers: { authorization: `${scheme} ${token}`, ...headers }
  })
}

/** Logs in with a DPoP proof. A token request with a custom grant carries the proof. */
async function loginWith (
  username: string,
  handle: oauth.DPoPHandle
): Promise<{ refresh_token: string, token_type: string }> {
  const parameters = { username, password: PASSWORD }
  const ask = async (): Promise<Response> =>
    oauth.genericTokenEndpointRequest(
      { ...as, token_endpoint: `${demo.url}/auth/login` },
      phone,
      oauth.None(),
      'x',
      parameters,
      { DPoP: handle, ...insecure }
    )
  const first = await ask()

  if (first.ok) {
    throw new Error('a proof without a nonce was accepted')
  }

  // Saves the nonce.
  await oauth.processGenericTokenEndpointResponse(as, phone, first).catch(() => {})
  return await (await ask()).json() as { refresh_token: string, token_type: string }
}

t.test('oauth4webapi discovers the server', async t => {
  t.strictSame(as, {
    issuer: demo.url,
    token_endpoint: `${demo.url}/auth/token`,
    token_endpoint_auth_methods_supported: ['none', 'client_secret_basic', 'client_secret_post'],
    grant_types_supported: ['refresh_token'],
    response_types_supported: ['none'],
    revocation_endpoint: `${demo.url}/auth/revoke`,
    revocation_endpoint_auth_methods_supported: [
      'none',
      'client_secret_basic',
      'client_secret_post'
    ],
    introspection_endpoint: `${demo.url}/auth/introspect`,
    introspection_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    jwks_uri: `${demo.url}/.well-known/jwks.json`,
    dpop_signing_alg_values_supported: ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256']
  })
})

t.test('oauth4webapi refreshes, and an old token revokes the session', async t => {
  const { refresh_token: first = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })
  const second = await refresh(first)
  t.match(second, { token_type: 'bearer', expires_in: 60 })
  t.not(second.refresh_token, first)
  const claims = await oauth.validateJwtAccessToken(
    as,
    withToken(second.access_token),
    'demo',
    insecure
  )
  t.match(claims, {
    iss: demo.url,
    aud: 'demo',
    client_id: 'phone',
    sub: (await introspect(second.access_token)).sub as string
  })
  t.equal((await demo.protected({ authorization: `Bearer ${second.access_token}` })).status, 200)

  await assertRejected(t, first)
  await assertRejected(t, second.refresh_token as string)
  t.strictSame(await introspect(second.access_token), { active: false })
  t.equal((await demo.protected({ authorization: `Bearer ${second.access_token}` })).status, 401)
})

t.test('oauth4webapi reports unknown and unauthenticated clients', async t => {
  const { refresh_token: token = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })

  for (
    const [client, auth, status] of [
      [{ client_id: 'nobody' }, oauth.None(), 400],
      [orders, oauth.None(), 400],
      [orders, oauth.ClientSecretPost('wrong'), 400],
      [phone, oauth.ClientSecretPost(CLIENT_SECRET), 400]
    ] as const
  ) {
    const response = await oauth.refreshTokenGrantRequest(as, client, auth, token, insecure)
    t.match(
      await oauth.processRefreshTokenResponse(as, client, response).catch((error: unknown) =>
        error
      ),
      { error: 'invalid_client', status }
    )
  }

  const response = await oauth.refreshTokenGrantRequest(
    as,
    orders,
    oauth.ClientSecretBasic('wrong'),
    token,
    insecure
  )
  const error = await oauth.processRefreshTokenResponse(as, orders, response).catch((
    error: unknown
  ) => error)
  t.ok(error instanceof oauth.WWWAuthenticateChallengeError)
  t.match(error, { status: 401, cause: [{ scheme: 'basic', parameters: { realm: 'auth' } }] })
  t.ok((await refresh(token)).access_token, 'the correct client can continue')
})

t.test('oauth4webapi authenticates by client_secret_basic and client_secret_post', async t => {
  for (
    const auth of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]
  ) {
    const { refresh_token: token = '' } = await demo.login(await demo.register(), {
      client_id: 'orders',
      client_secret: CLIENT_SECRET
    })
    const answer = await oauth.processRefreshTokenResponse(
      as,
      orders,
      await oauth.refreshTokenGrantRequest(as, orders, auth, token, insecure)
    )
    t.match(await introspect(answer.refresh_token as string), { active: true, client_id: 'orders' })
    t.equal(
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(as, orders, auth, answer.refresh_token as string, insecure)
      ),
      undefined
    )
    t.strictSame(await introspect(answer.refresh_token as string), { active: false })
  }
})

t.test('oauth4webapi introspects and revokes tokens', async t => {
  const { refresh_token: first = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })
  const { access_token: access, refresh_token: token = '' } = await refresh(first)
  t.match(await introspect(access), {
    active: true,
    client_id: 'phone',
    iss: demo.url,
    aud: 'demo',
    token_type: 'Bearer',
    jti: /./
  })
  t.strictSame(await introspect(token), { active: false }, 'a refresh token is its own client\'s')
  t.strictSame(await introspect('garbage'), { active: false })

  t.equal(await revoke('garbage'), undefined)
  t.equal(await revoke(token), undefined)
  t.equal(await revoke(token), undefined, 'once more')
  t.strictSame(await introspect(access), { active: false })
  t.equal((await demo.protected({ authorization: `Bearer ${access}` })).status, 401)
  await assertRejected(t, token)

  const own = await demo.login(await demo.register())
  t.match(await revoke(own.refresh_token as string).catch((error: unknown) => error), {
    error: 'invalid_grant',
    status: 400
  })
  t.match(
    await introspect(own.access_token),
    { active: true, client_id: 'auth' },
    'a session of the app itself'
  )
})

t.test('oauth4webapi sends DPoP proofs with a nonce to token endpoint and resource', async t => {
  const keys = await oauth.generateKeyPair('ES256')
  const { refresh_token: token, token_type: type } = await loginWith(
    await demo.register(),
    oauth.DPoP(phone, keys)
  )
  t.equal(type, 'DPoP')

  const atToken = oauth.DPoP(phone, keys)
  const refusal = await refresh(token, { DPoP: atToken }).catch((error: unknown) => error)
  t.ok(oauth.isDPoPNonceError(refusal), 'the response has the nonce')
  const answer = await refresh(token, { DPoP: atToken })
  t.equal(answer.token_type, 'dpop')
  t.match(await introspect(answer.access_token), {
    active: true,
    token_type: 'DPoP',
    cnf: { jkt: await atToken.calculateThumbprint() }
  })

  const atResource = oauth.DPoP(phone, keys)
  const ask = async (handle: oauth.DPoPHandle): Promise<Response> =>
    oauth.protectedResourceRequest(
      answer.access_token,
      'GET',
      new URL(`${demo.url}/protected`),
      new Headers(),
      null,
      { DPoP: handle, ...insecure }
    )
  const challenge = await ask(atResource).catch((error: unknown) => error)
  t.ok(oauth.isDPoPNonceError(challenge), 'the resource server sends the nonce too')
  t.equal((await ask(atResource)).status, 200)

  const bare = await demo.protected({ authorization: `Bearer ${answer.access_token}` })
  t.equal(bare.status, 401)
  t.match(
    bare.headers.get('www-authenticate'),
    /^Bearer realm="auth", error="invalid_token".*, DPoP realm="auth", algs="ES256 /
  )

  // An attacker with a copied token has another key or none, and cannot use it.
  t.match(await refresh(answer.refresh_token as string).catch((error: unknown) => error), {
    error: 'invalid_dpop_proof',
    status: 400
  })
  const thief = oauth.DPoP(phone, await oauth.generateKeyPair('ES256'))
  await refresh(answer.refresh_token as string, { DPoP: thief }).catch(() => {})
  await assertRejected(t, answer.refresh_token as string, { DPoP: thief })
  t.equal((await refresh(answer.refresh_token as string, { DPoP: atToken })).token_type, 'dpop')
})

t.test('oauth4webapi verifies access tokens with the key set', async t => {
  const username = await demo.register()
  const { access_token: plain } = await refresh(
    (await demo.login(username, { client_id: 'phone' })).refresh_token as string
  )
  const own = await demo.login(username)
  const validate = async (
    request: Request,
    requireDPoP = false
  ): Promise<oauth.JWTAccessTokenClaims> =>
    oauth.validateJwtAccessToken(as, request, 'demo', { requireDPoP, ...insecure })
  t.match(await validate(withToken(plain)), { client_id: 'phone' })
  t.match(await validate(withToken(own.access_token)), { client_id: 'auth' })
  await t.rejects(validate(withToken(plain), true))
  await t.rejects(validate(withToken(own.refresh_token as string)))

  const keys = await oauth.generateKeyPair('ES256')
  const handle = oauth.DPoP(phone, keys)
  const { refresh_token: token } = await loginWith(username, handle)
  await refresh(token, { DPoP: handle }).catch(() => {})
  const { access_token: bound } = await refresh(token, { DPoP: handle })
  let sent: Request | undefined
  await oauth.protectedResourceRequest(
    bound,
    'GET',
    new URL(`${demo.url}/protected`),
    new Headers(),
    null,
    {
      DPoP: oauth.DPoP(phone, keys),
      [oauth.customFetch]: async (url, { headers, method }) => {
        sent = new Request(url, { headers, method })
        return new Response()
      },
      ...insecure
    }
  )
  const claims = await validate(sent as Request, true)
  t.match(claims, { client_id: 'phone', cnf: { jkt: await handle.calculateThumbprint() } })
  await t.rejects(validate(withToken(bound)), 'as a bearer')
})
