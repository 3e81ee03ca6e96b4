import { inspect } from 'node:util'
import Fastify from 'fastify'
import t from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { scope } from './jwks-setup.js'

t.test('an invalid option of a verifier with a key set throws at startup', async t => {
  const uri = 'https://a.example/jwks'
  const wrong: Array<[object, RegExp]> = [
    [{ jwksUri: undefined }, /"jwksUri" or "introspection" is required; set one of them$/],
    ...['', '/jwks', 5, {}, null].map(jwksUri =>
      [{ jwksUri }, /"jwksUri" must be the URL of the issuer's keys, such as "https:/] as [
        object,
        RegExp
      ]
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
    ].map(jwksUri =>
      [{ jwksUri }, /"jwksUri" must be https, because .*; http works for localhost only$/] as [
        object,
        RegExp
      ]
    ),
    [{ jwksUri: 'https://user:word@a.example/' }, /"jwksUri" must not contain a user name/],
    [
      { issuer: undefined },
      /"issuer" must be a non-empty string; set it to the option "issuer" of/
    ],
    [{ issuer: '' }, /"issuer" must be a non-empty string/],
    [{ audience: [] }, /"audience" must be a non-empty string or a list of them; set it to/],
    [{ audience: ['api', ''] }, /"audience\[1\]" must be a non-empty string/],
    ...['HS256', 'none', 'ES384'].map(alg =>
      [
        { algorithms: ['EdDSA', alg] },
        /"algorithms" must be a non-empty array of "EdDSA", "ES256", "PS256", "RS256"$/
      ] as [object, RegExp]
    ),
    [{ algorithms: [] }, /"algorithms" must be/],
    [{ algorithms: 'EdDSA' }, /"algorithms" must be/],
    [{ name: 'a b' }, /"name" must be a letter, followed by/],
    [{ cacheSize: 1 }, /"cacheSize" must be an integer of at least 2, not 1$/],
    [{ clock: 5 }, /"clock" must be a function/],
    [{ timeout: 0 }, /"timeout" must be from 1ms to 1m, not 0$/],
    [{ timeout: '2m' }, /"timeout" must be from 1ms to 1m, not "2m"$/],
    [{ maxAge: '9s' }, /"maxAge" must be at least twice "timeout" \(5s by default\)$/],
    [{ maxAge: '2d' }, /"maxAge" must be at most 1d, not "2d"$/],
    [{ cooldown: '500ms' }, /"cooldown" must be at least 1s, not "500ms"$/],
    [{ cooldown: '11m' }, /"cooldown" must be at most "maxAge" \(10m by default\)$/],
    [{ cooldown: 'soon' }, /"cooldown" must be a number of seconds/],
    [{ secret: 'x' }, /unknown option "secret"; valid options: jwksUri, introspection, /]
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

t.test('an invalid exchange with the issuer is rejected', async t => {
  const jwksUri = 'https://a.example/jwks.json'
  const sync = { uri: 'https://a.example/auth/sync', clientId: 'orders', clientSecret: 'secret' }
  const introspection = { ...sync, uri: 'https://a.example/auth/introspect' }
  const invalid = [
    [
      { sync, introspection },
      /"introspection" cannot be combined with "sync"; remove one of them$/
    ],
    [{ sync }, /"jwksUri" or "introspection" is required; set one of them$/],
    [{ jwksUri, sync: {} }, /"sync\.uri" must be the URL of the issuer's route, such as/],
    [{ jwksUri, sync: { ...sync, uri: 'http://a.example' } }, /"sync\.uri" must be https,/],
    [
      { jwksUri, sync: { ...sync, clientSecret: undefined } },
      /"sync\.clientSecret" must be a non-empty string; set it to that of one of the issuer's/
    ],
    [{ jwksUri, sync: { ...sync, failAfter: '1s' } }, /"sync\.failAfter" must be at least 2s/],
    [
      { jwksUri, sync: { ...sync, failAfter: '3s' } },
      /"sync\.failAfter" must be at least "timeout" \(5s by default\)$/
    ],
    [{ jwksUri, sync: { ...sync, interval: 1 } }, /unknown option "sync\.interval"/],
    [{ jwksUri, on: { logout: () => {} } }, /unknown option "on\.logout"/]
  ] as const

  for (const [options, message] of invalid) {
    const registered = async (): Promise<unknown> =>
      Fastify().register(tokenVerifier, { ...scope, ...options } as never)
    await t.rejects(registered, { name: 'TypeError', message }, inspect(options))
  }
})

t.test('dpop without publicUrl is logged once at startup', async t => {
  const dpopCases = [
    [{ dpop: true }, 1],
    [{ dpop: true, publicUrl: 'https://b.example' }, 0],
    [{}, 0]
  ] as const

  for (const [given, count] of dpopCases) {
    const lines: unknown[] = []
    const stream = {
      write (line: string) {
        lines.push(JSON.parse(line))
      }
    }
    const app = Fastify({ logger: { level: 'warn', stream } })
    await app.register(tokenVerifier, {
      introspection: { uri: 'http://localhost/', clientId: 'orders', clientSecret: 'secret' },
      ...scope,
      ...given
    })
    await app.ready()
    await app.close()
    t.equal(lines.length, count, inspect(given))

    for (const line of lines) {
      t.match(line, {
        level: 40,
        registration: 'auth',
        msg: /^"dpop" is set without "publicUrl": another server that receives DPoP proofs/
      })
    }
  }
})
