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
      /"introspection" cannot be combined with "jwksUri"; remove one of them$/
    ],
    ...Object.entries({ algorithms: ['EdDSA'], maxAge: '1m', cooldown: '1m' }).map((
      [name, value]
    ): [object, RegExp] => [
      { [name]: value },
      new RegExp(`"introspection" cannot be combined with "${name}"; remove one of them$`)
    ]),
    [{ introspection: null }, /"introspection" must be an object$/],
    [{ introspection: uri }, /"introspection" must be an object$/],
    [
      { introspection: { ...introspection, secret: 'x' } },
      /unknown option "introspection\.secret"; valid options: uri, clientId, clientSecret, maxAge$/
    ],
    ...[undefined, '', 5].flatMap((value): Array<[object, RegExp]> => [
      [
        { introspection: { ...introspection, clientSecret: value } },
        new RegExp(
          '"introspection\\.clientSecret" must be a non-empty string; ' +
            'set it to that of one of the issuer\'s'
        )
      ],
      [
        { introspection: { ...introspection, clientId: value } },
        new RegExp(
          '"introspection\\.clientId" must be a non-empty string; ' +
            'set it to that of one of the issuer\'s'
        )
      ],
      [
        { introspection: { ...introspection, uri: value } },
        /"introspection\.uri" must be the URL of the issuer's route, such as "https:/
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
      /"introspection\.uri" must be https, because .*; http works for localhost only$/
    ]),
    [
      { introspection: { ...introspection, uri: 'https://a:b@a.example/' } },
      /"introspection\.uri" must not contain a user name or a password$/
    ],
    [
      { introspection: { ...introspection, maxAge: '61s' } },
      /"introspection\.maxAge" must be at most 1m, not "61s"$/
    ],
    [
      { introspection: { ...introspection, maxAge: 'soon' } },
      /"introspection\.maxAge" must be a number of seconds or a string such as/
    ],
    [
      { issuer: undefined },
      /"issuer" must be a non-empty string; set it to the option "issuer" of/
    ],
    [{ audience: '' }, /"audience" must be a non-empty string; set it to the option "audience" of/],
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
        /"publicUrl" must be an https URL without query, fragment and final "\/", such as "https:/
      ]),
    [
      { dpop: { secret: 'short' } },
      new RegExp(
        '"dpop\\.secret" must be at least 32 random bytes, but .*; ' +
          'create one with `openssl rand -base64 48`$'
      )
    ],
    [
      { dpop: { secret: new Uint8Array(16) } },
      /"dpop\.secret" must be .*, but .*; create one with/
    ],
    [
      { dpop: { secret: 'change-me-change-me-change-me-change-me' } },
      /"dpop\.secret" must be .*, but .*; create one with/
    ],
    [
      { dpop: { require: true } },
      /unknown option "dpop\.require"; valid options: required, nonces, replays, secret$/
    ],
    [{ dpop: { required: 'yes' } }, /"dpop\.required" must be true or false, not "yes"$/],
    [{ dpop: { replays: {} } }, /"dpop\.replays" must be an AttemptStore/],
    [{ dpop: null }, /"dpop" must be an object$/],
    [{ dpop: 'yes' }, /"dpop" must be an object$/]
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
