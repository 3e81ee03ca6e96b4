import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { CLIENT_SECRET, clients, ISSUER } from '../http/oauth/demo.js'
import { assertRejected, findError, resolve } from './resolve.js'
import type { Rejection } from './resolve.js'

const valid = { issuer: ISSUER, oauth: { clients } }

function withClient (client: unknown): object {
  return { ...valid, oauth: { clients: [{ clientId: 'first' }, client] } }
}

const malformedUrls = [
  '',
  'auth',
  'auth.example.org',
  'https://',
  'https:auth.example.org',
  'https:/auth.example.org',
  'https:///auth.example.org',
  '//auth.example.org',
  'http://auth.example.org',
  'http://127.0.0.1.example.org',
  'http://localhost.example.org',
  'http://0.0.0.0',
  'http://192.168.0.1',
  'ftp://auth.example.org',
  `${ISSUER}?a=b`,
  `${ISSUER}?`,
  `${ISSUER}#a`,
  `${ISSUER}#`,
  ` ${ISSUER}`,
  `${ISSUER} `,
  `${ISSUER}\n`,
  'https://a@auth.example.org',
  'https://a:b@auth.example.org',
  'https:\\\\auth.example.org'
]

t.test('an issuer that is not a base URL is rejected', async t => {
  assertRejected(t, [
    [
      { ...valid, issuer: undefined },
      '"oauth" requires "issuer"; set it to the https URL of this server, such as "https://auth.'
    ],
    ...malformedUrls.slice(1).map((issuer): Rejection => [
      { ...valid, issuer },
      '"issuer" must be an https URL without query and fragment if "oauth" is set, such as "https:'
    ])
  ])
})

t.test('a public URL that is not a base URL is rejected', async t => {
  const message =
    '"publicUrl" must be an https URL without query, fragment and final "/", such as ' +
    '"https://example.org/api"; http works for localhost only'
  assertRejected(t, [
    ...[...malformedUrls, `${ISSUER}/`, `${ISSUER}/api/`, null, 7, {}].map((
      publicUrl
    ): Rejection => [
      { ...valid, publicUrl },
      message
    ]),
    [{ publicUrl: 'example.org' }, message]
  ])
})

t.test('invalid clients are rejected', async t => {
  const list = '"oauth.clients" must be a non-empty array, such as [{ clientId: "app" }]'
  const id =
    '"oauth.clients[1].clientId" must be 1 to 255 printable ASCII characters without spaces'
  assertRejected(t, [
    [{ ...valid, oauth: null }, /"oauth" must be an object$/],
    [{ ...valid, oauth: true }, /"oauth" must be an object$/],
    [{ ...valid, oauth: {} }, list],
    [{ ...valid, oauth: { clients: [] } }, list],
    [{ ...valid, oauth: { clients: { clientId: 'app' } } }, list],
    [
      { ...valid, oauth: { clients, scopes: [] } },
      /unknown option "oauth\.scopes"; valid options: clients$/
    ],
    [withClient(null), /"oauth\.clients\[1\]" must be an object$/],
    [withClient('app'), /"oauth\.clients\[1\]" must be an object$/],
    [withClient({}), id],
    ...['', 'é', 'a\n', '\t', 'x'.repeat(256), 7, null].map((clientId): Rejection => [
      withClient({ clientId }),
      id
    ]),
    [
      withClient({ clientId: 'app', secret: 'x' }),
      /unknown option "oauth\.clients\[1\]\.secret"; valid options: clientId, clientSecret, sync$/
    ],
    [
      withClient({ clientId: 'app', clientSecret: CLIENT_SECRET, sync: 1 }),
      /"oauth\.clients\[1\]\.sync" must be true or false/
    ],
    [
      withClient({ clientId: 'app', sync: true }),
      /"oauth\.clients\[1\]\.sync" requires "oauth\.clients\[1\]\.clientSecret"/
    ],
    [
      withClient({ clientId: 'auth' }),
      new RegExp(
        '"oauth\\.clients\\[1\\]\\.clientId" must differ from "name", ' +
          'which is the "client_id" of sessions'
      )
    ],
    [
      { name: 'app', ...withClient({ clientId: 'app' }) },
      /"oauth\.clients\[1\]\.clientId" must differ from "name"/
    ],
    [
      withClient({ clientId: 'first' }),
      /"oauth\.clients" must not contain the same clientId twice; remove one of them$/
    ]
  ])
})

t.test('a weak client secret is rejected without showing it', async t => {
  const command = 'create one with `openssl rand -base64 48`'
  assertRejected(
    t,
    ([
      [undefined, 'at least 32 random bytes, but is missing'],
      [null, 'at least 32 random bytes, but is missing'],
      ['', 'at least 32 random bytes, but is 0 bytes long'],
      ['short', 'at least 32 random bytes, but is 5 bytes long'],
      [7, 'a string of printable ASCII without spaces'],
      [Buffer.from(CLIENT_SECRET), 'a string of printable ASCII without spaces'],
      [`${CLIENT_SECRET} `, 'a string of printable ASCII without spaces'],
      ['a'.repeat(40), 'at least 32 random bytes, but has fewer than 10 distinct characters'],
      ['change-me-Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0', 'at least 32 random bytes, but is a known']
    ] as const).map(([clientSecret, rule]): Rejection => [
      withClient({ clientId: 'app', clientSecret }),
      new RegExp(`"oauth\\.clients\\[1\\]\\.clientSecret" must be ${rule}.*; ${command}$`)
    ])
  )
  const weak = 'change-me-Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
  t.notMatch(findError(withClient({ clientId: 'app', clientSecret: weak })), 'Zt5v')
})

t.test('OAuth clients require refresh tokens', async t => {
  assertRejected(t, [
    [
      { ...valid, refreshToken: false },
      /"oauth" requires refresh tokens; remove "refreshToken: false"$/
    ]
  ])
})

t.test('an invalid OAuth route is rejected', async t => {
  assertRejected(t, [
    [
      { ...valid, routes: { token: 'token' } },
      /"routes\.token" must be a path that begins with "\/", or false$/
    ],
    [{ ...valid, routes: { authorize: '/authorize' } }, /unknown option "routes\.authorize"/]
  ])
})

t.test('valid clients and URLs are accepted', async t => {
  const accepted: readonly object[] = [
    {},
    { issuer: 'http://127.0.0.1:3000' },
    { issuer: 'http://localhost' },
    { issuer: 'http://[::1]:3000/a' },
    { issuer: `${ISSUER}:8443/a/` },
    { publicUrl: 'https://example.org' },
    { publicUrl: 'https://example.org/api' },
    { publicUrl: 'http://127.0.0.1:3000/api' },
    {
      oauth: {
        clients: [
          { clientId: 'a:"\\~' },
          { clientId: 'x'.repeat(255), clientSecret: CLIENT_SECRET, sync: true }
        ]
      }
    },
    { oauth: undefined, issuer: 'anything' },
    { rotation: false },
    { keys: [generateKeyPairSync('ed25519').privateKey], audience: 'api' }
  ]

  for (const given of accepted) {
    t.equal(findError({ ...valid, ...given }), null, JSON.stringify(given).slice(0, 100))
  }
})

t.test('settings follow from the issuer', async t => {
  t.strictSame(resolve({ ...valid, issuer: 'https://example.org/tenant:1/' }).oauth, {
    issuer: 'https://example.org/tenant:1/',
    clients: clients.map(client => ({ clientSecret: null, sync: false, ...client })),
    metadataPath: '/.well-known/oauth-authorization-server/tenant::1',
    baseUrl: 'https://example.org'
  })
  t.equal(resolve({ ...valid, publicUrl: 'https://b.org/api' }).oauth?.baseUrl, 'https://b.org/api')
  t.equal(resolve(valid).audience, ISSUER)
  t.equal(resolve({ ...valid, audience: 'api' }).audience, 'api')
})
