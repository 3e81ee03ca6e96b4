// Options for OAuth clients, and for proofs: wrong ones are refused when the app starts, in words that say the fix.

import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { resolveOptions } from '../../../src/options/resolve.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { SECRET } from '../../helpers/app.js'
import { CLIENT_SECRET, clients, ISSUER } from './demo.js'

const users = { findByLogin: () => null, findById: () => null }
const good = { secret: SECRET, store: new MemoryStore(), users, issuer: ISSUER, oauth: { clients } }

function messageOf (given: object): string {
  try {
    resolveOptions({ ...good, ...given } as TokenAuthOptions)
    return 'nothing is wrong'
  } catch (error) {
    t.type(error, TypeError)
    return (error as Error).message
  }
}

function client (members: unknown): object {
  return { oauth: { clients: [{ clientId: 'first' }, members] } }
}

const noAddress =
  /oauth needs issuer to be an address such as "https:\/\/auth\.example\.org": https \(http on this machine alone\)/
const noBase = /publicUrl must be https:\/\/, a host and perhaps a path, without "\/" at its end/
const noName =
  /oauth\.clients\[1\]\.clientId must be printable ASCII without spaces, 255 characters at most/
const noList = /oauth\.clients must be a list of clients, such as \[\{ clientId: "app" \}\]/
const wrongAddresses = [
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

const wrong: ReadonlyArray<readonly [given: object, message: RegExp]> = [
  [{ issuer: undefined }, noAddress],
  ...wrongAddresses.slice(1).map(issuer => [{ issuer }, noAddress] as const),
  ...wrongAddresses.map(publicUrl => [{ publicUrl }, noBase] as const),
  ...[`${ISSUER}/`, `${ISSUER}/api/`, null, 7, {}].map(publicUrl =>
    [{ publicUrl }, noBase] as const
  ),
  [{ oauth: undefined, publicUrl: 'example.org' }, noBase],
  [{ oauth: null }, /oauth must be an object/],
  [{ oauth: true }, /oauth must be an object/],
  [{ oauth: {} }, noList],
  [{ oauth: { clients: [] } }, noList],
  [{ oauth: { clients: { clientId: 'app' } } }, noList],
  [{ oauth: { clients, scopes: [] } }, /oauth\.scopes is no option; there are oauth\.clients/],
  [client(null), /oauth\.clients\[1\] must be an object/],
  [client('app'), /oauth\.clients\[1\] must be an object/],
  [client({}), noName],
  ...['', 'é', 'a\n', '\t', 'x'.repeat(256), 7, null].map(clientId =>
    [client({ clientId }), noName] as const
  ),
  [
    client({ clientId: 'app', secret: 'x' }),
    /clients\[1\]\.secret is no option; there are .*clients\[1\]\.clientId, .*\.clientSecret/
  ],
  [
    client({ clientId: 'auth' }),
    /oauth\.clients\[1\]\.clientId must not be the name of the registration/
  ],
  [{ name: 'app', ...client({ clientId: 'app' }) }, /must not be the name of the registration/],
  [client({ clientId: 'first' }), /oauth\.clients holds a clientId twice/],
  ...([
    [undefined, 'is missing'],
    [null, 'is missing'],
    ['', 'is 0 bytes long'],
    ['short', 'is 5 bytes long'],
    [7, 'is missing'],
    [`${CLIENT_SECRET} `, 'is not printable ASCII without spaces'],
    ['a'.repeat(40), 'has fewer than 10 distinct characters'],
    ['change-me-Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0', 'is a known placeholder']
  ] as const).map(([clientSecret, why]) =>
    [
      client({ clientId: 'app', clientSecret }),
      new RegExp(`oauth\\.clients\\[1\\]\\.clientSecret ${why}.*openssl rand -base64 48`)
    ] as const
  ),
  [{ refreshToken: false }, /oauth is about refresh tokens: take away refreshToken: false/],
  [{ routes: { token: 'token' } }, /routes\.token must begin with "\/", or be false/],
  [{ routes: { authorize: '/authorize' } }, /routes\.authorize is no option/],
  [{ dpop: null }, /dpop must be an object/],
  [{ dpop: 'yes' }, /dpop must be an object/],
  [
    { dpop: { nonce: true } },
    /dpop\.nonce is no option; there are dpop\.required, dpop\.nonces, dpop\.replays/
  ],
  [{ dpop: { required: 'yes' } }, /dpop\.required must be true or false/],
  [{ dpop: { nonces: 1 } }, /dpop\.nonces must be true or false/],
  [
    { dpop: { replays: {} } },
    /dpop\.replays must be an AttemptStore, such as new RedisAttempts\(client\)/
  ],
  [{ dpop: { replays: 'redis' } }, /dpop\.replays must be an AttemptStore/]
]

for (const [given, message] of wrong) {
  t.test(`refused: ${JSON.stringify(given)?.slice(0, 100)}`, async t => {
    const text = messageOf(given)
    t.match(text, message)
    t.match(text, /^fastify-token-auth: /)
  })
}

t.test('no message holds a secret', async t => {
  const weak = 'change-me-Zt5vRk2mQx8Lw4Yn7Bc1Jd6Hf9Gs3Pa0'
  t.notMatch(messageOf(client({ clientId: 'app', clientSecret: weak })), 'Zt5v')
})

t.test('accepted', async t => {
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
        clients: [{ clientId: 'a:"\\~' }, {
          clientId: 'x'.repeat(255),
          clientSecret: CLIENT_SECRET
        }]
      }
    },
    { oauth: undefined, issuer: 'anything' },
    { rotation: false },
    { keys: [generateKeyPairSync('ed25519').privateKey], audience: 'api' },
    { dpop: true },
    { dpop: false },
    { dpop: {} },
    { dpop: { required: true, nonces: false, replays: new MemoryAttempts() } }
  ]

  for (const given of accepted) {
    t.equal(messageOf(given), 'nothing is wrong', JSON.stringify(given).slice(0, 100))
  }

  t.strictSame(resolveOptions({ ...good, dpop: true }).dpop, {
    required: false,
    nonces: true,
    replays: null
  })
  t.equal(resolveOptions({ ...good, dpop: false }).dpop, null)
  t.equal(resolveOptions(good).dpop, null)
})
