import { createRequire } from 'node:module'
import { OAuth2Client } from '@badgateway/oauth2-client'
import * as openid from 'openid-client'
import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { CLIENT_SECRET, startDemo } from './demo.js'

interface SimpleToken {
  readonly token: { readonly access_token: string, readonly refresh_token?: string }
  refresh(): Promise<SimpleToken>
  revokeAll(): Promise<void>
}

/** Used part of simple-oauth2, which has no types. */
interface SimpleOAuth2 {
  readonly ResourceOwnerPassword: new(config: object) => {
    createToken(token: object): SimpleToken
    getToken(parameters: object): Promise<SimpleToken>
  }
}

const { ResourceOwnerPassword } = createRequire(import.meta.url)('simple-oauth2') as SimpleOAuth2
const demo = await startDemo(t)

async function discover (clientId: string, auth: openid.ClientAuth): Promise<openid.Configuration> {
  return openid.discovery(new URL(demo.url), clientId, undefined, auth, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests]
  })
}

async function status (accessToken: string): Promise<number> {
  return (await demo.protected({ authorization: `Bearer ${accessToken}` })).status
}

/** Returns the reason of a rejected promise. */
async function getError (promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => null, (error: unknown) => error)
}

t.test('openid-client works as a public client', async t => {
  const config = await discover('phone', openid.None())
  t.match(config.serverMetadata(), { issuer: demo.url, token_endpoint: `${demo.url}/auth/token` })
  const { refresh_token: first = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })
  const second = await openid.refreshTokenGrant(config, first)
  t.ok((second.expiresIn() ?? 0) > 50)
  t.equal(await status(second.access_token), 200)
  t.match(
    await getError(
      openid.refreshTokenGrant(config, second.refresh_token as string, { scope: 'admin' })
    ),
    { error: 'invalid_scope' }
  )
  t.match(await getError(openid.tokenIntrospection(config, second.access_token)), { status: 401 })
  t.match(
    await getError(
      openid.genericGrantRequest(config, 'password', { username: 'ann', password: PASSWORD })
    ),
    { error: 'unsupported_grant_type' }
  )

  await openid.tokenRevocation(config, second.refresh_token as string, {
    token_type_hint: 'refresh_token'
  })
  t.equal(await status(second.access_token), 401)
  const error = await getError(openid.refreshTokenGrant(config, second.refresh_token as string))
  t.ok(error instanceof openid.ResponseBodyError)
  t.match(error, { error: 'invalid_grant', status: 400 })
})

t.test('openid-client works as a confidential client', async t => {
  for (
    const auth of [openid.ClientSecretBasic(CLIENT_SECRET), openid.ClientSecretPost(CLIENT_SECRET)]
  ) {
    const config = await discover('orders', auth)
    const { refresh_token: first = '' } = await demo.login(await demo.register(), {
      client_id: 'orders',
      client_secret: CLIENT_SECRET
    })
    const { access_token: access, refresh_token: second = '' } = await openid.refreshTokenGrant(
      config,
      first
    )
    t.match(await openid.tokenIntrospection(config, access), {
      active: true,
      client_id: 'orders',
      token_type: 'Bearer'
    })
    t.match(await openid.tokenIntrospection(config, second), { active: true, client_id: 'orders' })
    await openid.tokenRevocation(config, access)
    t.strictSame(await openid.tokenIntrospection(config, access), { active: false })
    t.strictSame(await openid.tokenIntrospection(config, second), { active: false })
  }

  const wrong = await discover('orders', openid.ClientSecretBasic('wrong'))
  t.match(await getError(openid.tokenIntrospection(wrong, 'x')), { status: 401 })
})

t.test('openid-client works with DPoP', async t => {
  const config = await discover('phone', openid.None())
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair())
  const { refresh_token: first = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })
  // The library repeats the request if the response has a nonce.
  const answer = await openid.refreshTokenGrant(config, first, undefined, { DPoP })
  t.equal(answer.token_type, 'dpop')
  const url = new URL(`${demo.url}/protected`)
  const response = await openid.fetchProtectedResource(
    config,
    answer.access_token,
    url,
    'GET',
    undefined,
    undefined,
    { DPoP }
  )
  t.equal(response.status, 200)
  t.equal(await status(answer.access_token), 401, 'without a proof')
  await openid.tokenRevocation(config, answer.refresh_token as string)
  t.match(
    await getError(
      openid.fetchProtectedResource(config, answer.access_token, url, 'GET', undefined, undefined, {
        DPoP
      })
    ),
    { status: 401 }
  )
})

t.test('@badgateway/oauth2-client works as a public client', async t => {
  const client = new OAuth2Client({ server: demo.url, clientId: 'phone' })
  const { refresh_token: first = '' } = await demo.login(await demo.register(), {
    client_id: 'phone'
  })
  const second = await client.refreshToken({
    accessToken: 'x',
    expiresAt: null,
    refreshToken: first
  })
  t.equal(await status(second.accessToken), 200)
  t.ok((second.expiresAt ?? 0) > Date.now())
  t.not(second.refreshToken, first)
  t.match(await getError(client.refreshToken(second, { scope: ['admin'] })), {
    oauth2Code: 'invalid_scope'
  })
  t.match(await getError(client.introspect(second)), {
    httpCode: 401,
    oauth2Code: 'invalid_client'
  })
  t.match(await getError(client.password({ username: 'ann', password: PASSWORD })), {
    oauth2Code: 'unsupported_grant_type'
  })
  await client.revoke(second, 'refresh_token')
  t.equal(await status(second.accessToken), 401)
  t.match(await getError(client.refreshToken(second)), {
    httpCode: 400,
    oauth2Code: 'invalid_grant'
  })
})

t.test('@badgateway/oauth2-client works as a confidential client', async t => {
  const methods = [
    undefined,
    'client_secret_basic',
    'client_secret_basic_interop',
    'client_secret_post'
  ] as const

  for (const authenticationMethod of methods) {
    const client = new OAuth2Client({
      server: demo.url,
      clientId: 'orders',
      clientSecret: CLIENT_SECRET,
      ...(authenticationMethod && { authenticationMethod })
    })
    const { refresh_token: first = '' } = await demo.login(await demo.register(), {
      client_id: 'orders',
      client_secret: CLIENT_SECRET
    })
    const second = await client.refreshToken({
      accessToken: 'x',
      expiresAt: null,
      refreshToken: first
    })
    t.match(await client.introspect(second), { active: true, client_id: 'orders' })
    await client.revoke(second)
    t.strictSame(await client.introspect(second), { active: false })
    t.match(await getError(client.clientCredentials()), { oauth2Code: 'unsupported_grant_type' })
  }
})

t.test('simple-oauth2 refreshes and revokes tokens', async t => {
  for (const authorizationMethod of ['header', 'body'] as const) {
    const client = new ResourceOwnerPassword({
      client: { id: 'orders', secret: CLIENT_SECRET },
      auth: { tokenHost: demo.url, tokenPath: '/auth/token', revokePath: '/auth/revoke' },
      options: { authorizationMethod },
      // The default mode would parse even an empty response as JSON (RFC 7009, section 2.2).
      http: { json: true }
    })
    const answer = await demo.login(await demo.register(), {
      client_id: 'orders',
      client_secret: CLIENT_SECRET
    })
    const second = await client.createToken({ ...answer }).refresh()
    t.equal(await status(second.token.access_token), 200)
    t.not(second.token.refresh_token, answer.refresh_token)
    await second.revokeAll()
    t.equal(await status(second.token.access_token), 401)
    t.match(await getError(second.refresh()), {
      output: { statusCode: 400 },
      data: { payload: { error: 'invalid_grant' } }
    })
    t.match(await getError(client.getToken({ username: 'ann', password: PASSWORD })), {
      data: { payload: { error: 'unsupported_grant_type' } }
    })
  }
})
