import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { scope } from './jwks-setup.js'

t.test('an invalid option of a verifier with a key set throws at startup', async t => {
  const uri = 'https://a.example/jwks'
  const wrong: Array<[object, RegExp]> = [
    [{ jwksUri: undefined }, /jwksUri must be where the issuer shows its keys, such as/],
    ...['', '/jwks', 5, {}, null].map(jwksUri =>
      [{ jwksUri }, /jwksUri must be where/] as [object, RegExp]
    ),
    ...[
      'http://a.example/jwks',
      'http://127.0.0.1.evil.example/',
      'http://localhost.evil.example/',
      'http://[::ffff:127.0.0.1]/',
      'http://10.0.0.1/',
      'ftp://localhost/',
      'file:///jwks',
      'data:,{}'
    ].map(jwksUri => [{ jwksUri }, /jwksUri must be https/] as [object, RegExp]),
    [{ jwksUri: 'https://user:word@a.example/' }, /jwksUri must not hold a user name/],
    [{ issuer: undefined }, /issuer is missing/],
    [{ issuer: '' }, /issuer is missing/],
    [{ audience: ['api'] }, /audience is missing/],
    ...['HS256', 'none', 'ES384'].map(alg =>
      [
        { algorithms: ['EdDSA', alg] },
        /algorithms must be a list of EdDSA, ES256, PS256, RS256/
      ] as [object, RegExp]
    ),
    [{ algorithms: [] }, /algorithms must be/],
    [{ algorithms: 'EdDSA' }, /algorithms must be/],
    [{ name: 'a b' }, /name must be letters/],
    [{ cacheSize: 1 }, /cacheSize must be/],
    [{ clock: 5 }, /clock must be a function/],
    [{ timeout: 0 }, /timeout must be/],
    [{ timeout: '2m' }, /timeout must be/],
    [{ maxAge: '9s' }, /maxAge must be/],
    [{ maxAge: '2d' }, /maxAge must be/],
    [{ cooldown: '500ms' }, /cooldown must be/],
    [{ cooldown: '11m' }, /cooldown must be/],
    [{ cooldown: 'soon' }, /cooldown must be a number of seconds/],
    [{ secret: 'x' }, /secret is no option; there are jwksUri, /]
  ]

  for (const [options, message] of wrong) {
    const app = Fastify()
    const registered = async (): Promise<unknown> =>
      app.register(tokenVerifier, { jwksUri: uri, ...scope, ...options } as never)
    await t.rejects(registered, { name: 'TypeError', message }, inspect(options))
  }

  for (
    const jwksUri of [
      uri,
      new URL(uri),
      'http://localhost:1/',
      'http://127.1.2.3:1/',
      'http://[::1]:1/'
    ]
  ) {
    const app = Fastify()
    await app.register(tokenVerifier, { jwksUri, ...scope })
    t.ok(app.hasDecorator('authenticate') && !app.hasDecorator('tokenAuth'), String(jwksUri))
    await app.close()
  }
})
