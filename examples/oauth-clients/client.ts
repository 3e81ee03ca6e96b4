// A standard OAuth client refreshes, introspects and revokes tokens of the server beside this file.
//
//   ISSUER          http://127.0.0.1:3000
//   CLIENT_SECRET   as for the server

import * as oauth from 'oauth4webapi'

const {
  ISSUER = 'http://127.0.0.1:3000',
  CLIENT_SECRET: clientSecret = 'only-for-local-trials-Hx7sQ2mT9bLd4Wn6'
} = process.env
// The library rejects http URLs by default. Use https in production.
const options = { [oauth.allowInsecureRequests]: true }

// 1. Find the routes of the server (RFC 8414).
const issuer = new URL(ISSUER)
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...options })
)
console.log(`token endpoint: ${server.token_endpoint}`)

// 2. A user logs in on the phone. The session belongs to the client "phone".
const phone: oauth.Client = { client_id: 'phone' }
const login = await fetch(new URL('/auth/login', ISSUER), {
  method: 'POST',
  body: new URLSearchParams({ username: 'ann', password: 'correct horse', client_id: 'phone' })
})

if (!login.ok) {
  throw new Error(`login failed with ${login.status}: ${await login.text()}`)
}

const { refresh_token: firstToken } = await login.json() as { refresh_token: string }

// 3. The phone refreshes its tokens (RFC 6749, section 6).
const { access_token: accessToken, refresh_token: refreshToken = firstToken } = await oauth
  .processRefreshTokenResponse(
    server,
    phone,
    await oauth.refreshTokenGrantRequest(server, phone, oauth.None(), firstToken, options)
  )
const call = await fetch(new URL('/protected', ISSUER), {
  headers: { authorization: `Bearer ${accessToken}` }
})
console.log(`protected route: ${call.status} ${await call.text()}`)

// 4. Another service asks whether the access token is active (RFC 7662).
const orders: oauth.Client = { client_id: 'orders' }

async function isActive (token: string): Promise<boolean> {
  const authentication = oauth.ClientSecretBasic(clientSecret)
  const response = await oauth.introspectionRequest(server, orders, authentication, token, options)
  return (await oauth.processIntrospectionResponse(server, orders, response)).active
}

console.log(`active after the refresh: ${await isActive(accessToken)}`)

// 5. The phone revokes its session (RFC 7009).
await oauth.processRevocationResponse(
  await oauth.revocationRequest(server, phone, oauth.None(), refreshToken, options)
)
console.log(`active after the revocation: ${await isActive(accessToken)}`)
