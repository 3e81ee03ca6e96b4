// The metadata (RFC 8414) must list every feature of the server and no others.

import { generateKeyPairSync } from 'node:crypto'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { clients, createOAuthApp, decodeClaims, ISSUER } from './demo.js'

const PATH = '/.well-known/oauth-authorization-server'
const pair = generateKeyPairSync('ed25519').privateKey
const publicClients = { oauth: { clients: [{ clientId: 'phone' }] } }
const bySecret = ['client_secret_basic', 'client_secret_post']
const all = ['none', ...bySecret]
const base = {
  issuer: ISSUER,
  grant_types_supported: ['refresh_token'],
  response_types_supported: ['none']
}
const token = { token_endpoint: `${ISSUER}/auth/token`, token_endpoint_auth_methods_supported: all }
const revocation = {
  revocation_endpoint: `${ISSUER}/auth/revoke`,
  revocation_endpoint_auth_methods_supported: all
}
const introspection = {
  introspection_endpoint: `${ISSUER}/auth/introspect`,
  introspection_endpoint_auth_methods_supported: bySecret
}

const table: ReadonlyArray<
  readonly [what: string, options: Partial<TokenAuthOptions>, expected: object]
> = [
  ['a secret, no proofs', {}, { ...base, ...token, ...revocation, ...introspection }],
  ['keys and proofs', { keys: [pair], dpop: true }, {
    ...base,
    ...token,
    ...revocation,
    ...introspection,
    jwks_uri: `${ISSUER}/.well-known/jwks.json`,
    dpop_signing_alg_values_supported: ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256']
  }],
  ['keys that are nobody else\'s', { keys: [pair], routes: { jwks: false } }, {
    ...base,
    ...token,
    ...revocation,
    ...introspection
  }],
  ['public clients alone', publicClients, {
    ...base,
    ...token,
    ...revocation,
    token_endpoint_auth_methods_supported: ['none'],
    revocation_endpoint_auth_methods_supported: ['none']
  }],
  ['confidential clients alone', { oauth: { clients: clients.slice(2) } }, {
    ...base,
    ...token,
    ...revocation,
    ...introspection,
    token_endpoint_auth_methods_supported: bySecret,
    revocation_endpoint_auth_methods_supported: bySecret
  }],
  ['no introspection', { routes: { introspect: false } }, { ...base, ...token, ...revocation }],
  ['no revocation', { routes: { revoke: false } }, { ...base, ...token, ...introspection }],
  ['no token route', { routes: { token: false } }, { ...base, ...revocation, ...introspection }],
  ['other paths', { prefix: '/a', routes: { token: '/oauth/token' } }, {
    ...base,
    ...token,
    ...revocation,
    ...introspection,
    token_endpoint: `${ISSUER}/a/oauth/token`,
    revocation_endpoint: `${ISSUER}/a/revoke`,
    introspection_endpoint: `${ISSUER}/a/introspect`
  }],
  ['behind a proxy', { publicUrl: 'https://example.org/api' }, {
    ...base,
    ...token,
    ...revocation,
    ...introspection,
    token_endpoint: 'https://example.org/api/auth/token',
    revocation_endpoint: 'https://example.org/api/auth/revoke',
    introspection_endpoint: 'https://example.org/api/auth/introspect'
  }]
]

for (const [what, options, expected] of table) {
  t.test(what, async t => {
    const { app, get, send } = await createOAuthApp(t, { options })
    const response = await get(PATH)
    t.equal(response.statusCode, 200)
    t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
    t.match(response.headers['cache-control'], /max-age=\d+/)
    t.strictSame(response.json(), expected)
    t.notOk(
      Object.values(response.json()).some(value => Array.isArray(value) && value.length === 0),
      'no list is empty'
    )

    for (const name of ['token', 'revoke', 'introspect'] as const) {
      const url = response
        .json()[
          `${{ token: 'token', revoke: 'revocation', introspect: 'introspection' }[name]}_endpoint`
        ] as string | undefined
      const path = new URL(url ?? `${ISSUER}/auth/${name}`).pathname.replace('/api', '')
      t.equal(
        (await send(path, '')).statusCode === 404,
        url === undefined,
        `${name} is there where it is told of`
      )
    }

    t.equal((await app.inject({ method: 'POST', url: PATH })).statusCode, 404)
  })
}

const issuers: ReadonlyArray<readonly [issuer: string, path: string]> = [
  [ISSUER, ''],
  [`${ISSUER}/`, ''],
  [`${ISSUER}/tenant`, '/tenant'],
  [`${ISSUER}/tenant/`, '/tenant'],
  [`${ISSUER}/a/b-1`, '/a/b-1'],
  [`${ISSUER}:8443/a`, '/a'],
  [`${ISSUER}/a:b`, '/a:b'],
  ['http://127.0.0.1:3000', ''],
  ['http://localhost/x', '/x'],
  ['http://[::1]:3000', '']
]

for (const [issuer, path] of issuers) {
  t.test(`metadata of the issuer ${issuer}`, async t => {
    const { app, get, signIn } = await createOAuthApp(t, { options: { issuer, keys: [pair] } })
    const url = new URL(issuer)
    const as = await oauth.processDiscoveryResponse(
      url,
      await oauth.discoveryRequest(url, {
        algorithm: 'oauth2',
        [oauth.allowInsecureRequests]: true,
        [oauth.customFetch]: async (asked: string) => {
          t.equal(
            asked,
            `${url.origin}${PATH}${path}`,
            'the path comes behind (RFC 8414 section 3.1)'
          )
          const { statusCode, body, headers } = await app.inject(new URL(asked).pathname)

          return new Response(body, {
            status: statusCode,
            headers: { 'content-type': String(headers['content-type']) }
          })
        }
      })
    )
    t.equal(as.issuer, issuer)
    t.equal(decodeClaims((await signIn()).access).iss, issuer)
    t.equal(as.token_endpoint, `${url.origin}/auth/token`)

    if (path !== '') {
      t.equal((await get(PATH)).statusCode, 404)
      t.equal((await get(`${PATH}/axb`)).statusCode, 404, 'at no other URL')
    }
  })
}

t.test('the metadata route can be moved or disabled', async t => {
  const elsewhere = await createOAuthApp(t, { options: { routes: { metadata: '/metadata' } } })
  t.equal((await elsewhere.get('/metadata')).json().issuer, ISSUER)
  t.equal((await elsewhere.get(PATH)).statusCode, 404)
  const nowhere = await createOAuthApp(t, { options: { routes: { metadata: false } } })
  t.equal((await nowhere.get(PATH)).statusCode, 404)
})

t.test('metadata is public in an app that requires a token everywhere', async t => {
  const { get } = await createOAuthApp(t, {
    after: app => {
      app.addHook('onRequest', app.authenticate)
    }
  })
  t.equal((await get(PATH)).statusCode, 200)
})
