import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { client, scope } from './introspection-setup.js'

t.test('an invalid option of a verifier with introspection throws at startup', async t => {
  const uri = 'https://a.example/auth/introspect'
  const introspection = { uri, ...client }
  const wrong: Array<[object, RegExp]> = [
    [
      { jwksUri: 'https://a.example/jwks' },
      /introspection asks the issuer, and jwksUri is about its keys: take one of them away/
    ],
    [{ algorithms: ['EdDSA'] }, /and algorithms is about its keys/],
    [{ maxAge: '1m' }, /and maxAge is about its keys/],
    [{ cooldown: '1m' }, /and cooldown is about its keys/],
    [{ introspection: null }, /introspection must be an object/],
    [{ introspection: uri }, /introspection must be an object/],
    [
      { introspection: { ...introspection, secret: 'x' } },
      /introspection\.secret is no option; there are introspection\.uri, introspection\.clientId/
    ],
    ...[undefined, '', 5].flatMap((value): Array<[object, RegExp]> => [
      [
        { introspection: { ...introspection, clientSecret: value } },
        /introspection\.clientSecret is missing: it must be as one of the issuer's oauth\.clients has it/
      ],
      [
        { introspection: { ...introspection, clientId: value } },
        /introspection\.clientId is missing/
      ],
      [
        { introspection: { ...introspection, uri: value } },
        /introspection\.uri must be the issuer's route, such as "https:/
      ]
    ]),
    ...[
      'http://a.example/',
      'http://10.0.0.1/',
      'http://localhost.evil.example/',
      'ftp://localhost/'
    ].map((
      uri
    ): [object, RegExp] => [
      { introspection: { ...introspection, uri } },
      /introspection\.uri must be https: .*\(http is for localhost alone\)/
    ]),
    [
      { introspection: { ...introspection, uri: 'https://a:b@a.example/' } },
      /introspection\.uri must not hold a user name or a password/
    ],
    [
      { introspection: { ...introspection, maxAge: '61s' } },
      /introspection\.maxAge must be at most 1m/
    ],
    [
      { introspection: { ...introspection, maxAge: 'soon' } },
      /introspection\.maxAge must be a number of seconds, or a text such as/
    ],
    [{ issuer: undefined }, /issuer is missing/],
    [{ audience: '' }, /audience is missing/],
    ...[
      'http://a.example',
      'https://a.example/',
      'https://a.example/api/',
      'https://a.example?x=1',
      'https://a.example#x',
      'a.example',
      '',
      5
    ]
      .map((
        publicUrl
      ): [object, RegExp] => [
        { publicUrl },
        /publicUrl must be https:\/\/, a host and perhaps a path, without "\/" at its end/
      ]),
    [
      { dpop: { secret: 'short' } },
      /dpop\.secret .*: use a random one, such as `openssl rand -base64 48` prints/
    ],
    [{ dpop: { secret: new Uint8Array(16) } }, /dpop\.secret .*: use a random one/],
    [
      { dpop: { secret: 'change-me-change-me-change-me-change-me' } },
      /dpop\.secret .*: use a random one/
    ],
    [
      { dpop: { require: true } },
      /dpop\.require is no option; there are dpop\.required, dpop\.nonces, dpop\.replays, dpop\.secret/
    ],
    [{ dpop: { required: 'yes' } }, /dpop\.required must be true or false/],
    [{ dpop: { replays: {} } }, /dpop\.replays must be an AttemptStore/],
    [{ dpop: null }, /dpop must be an object/],
    [{ dpop: 'yes' }, /dpop must be an object/]
  ]

  for (const [options, message] of wrong) {
    const app = Fastify()
    const registered = async (): Promise<unknown> =>
      app.register(tokenVerifier, { introspection, ...scope, ...options } as never)
    await t.rejects(registered, { name: 'TypeError', message }, inspect(options))
  }

  for (
    const options of [{ publicUrl: 'https://a.example/api' }, {
      publicUrl: 'http://127.0.0.1:3000'
    }, { introspection: { ...introspection, uri: new URL(uri) } }]
  ) {
    const app = Fastify()
    await app.register(tokenVerifier, { introspection, ...scope, ...options })
    t.ok(app.hasDecorator('authenticate'), inspect(options))
    await app.close()
  }
})
