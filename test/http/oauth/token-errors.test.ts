import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { assertRejected, createOAuthApp } from './demo.js'
import type { Form, Headers } from './demo.js'
import { getGeneration, GRANT } from './grant.js'

const JSON_TYPE = { 'content-type': 'application/json' }

t.test('token rejects malformed requests in one format without a rotation', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const good = { ...GRANT, client_id: 'phone', refresh_token: refresh }
  const text = new URLSearchParams(good).toString()
  const table: ReadonlyArray<
    readonly [what: string, form: Form | string, status: number, error: string, headers?: Headers]
  > = [
    ['no body', '', 400, 'invalid_request'],
    ['no grant_type', { client_id: 'phone', refresh_token: refresh }, 400, 'invalid_request'],
    ['an empty grant_type', { ...good, grant_type: '' }, 400, 'invalid_request'],
    ['no refresh_token', { ...GRANT, client_id: 'phone' }, 400, 'invalid_request'],
    ['an empty refresh_token', { ...good, refresh_token: '' }, 400, 'invalid_request'],
    ['a repeated grant_type', `${text}&grant_type=refresh_token`, 400, 'invalid_request'],
    ['a repeated refresh_token', `${text}&refresh_token=x`, 400, 'invalid_request'],
    ['a repeated client_id', `${text}&client_id=phone`, 400, 'invalid_request'],
    ['a repeated one that nobody knows', `${text}&foo=1&foo=1`, 400, 'invalid_request'],
    ['__proto__', `${text}&__proto__=1`, 400, 'invalid_request'],
    ...[
      'password',
      'authorization_code',
      'client_credentials',
      'Refresh_Token',
      'constructor',
      'urn:ietf:params:oauth:grant-type:token-exchange'
    ].map(grant =>
      [
        grant,
        { ...good, grant_type: grant, username: 'ann', password: PASSWORD },
        400,
        'unsupported_grant_type'
      ] as const
    ),
    ['no client', { ...GRANT, refresh_token: refresh }, 400, 'invalid_client'],
    ['an empty client_id', { ...good, client_id: '' }, 400, 'invalid_client'],
    ['JSON', JSON.stringify(good), 400, 'invalid_request', JSON_TYPE],
    ['JSON that is none', '{"grant_type":', 400, 'invalid_request', JSON_TYPE],
    ['a text', text, 400, 'invalid_request', { 'content-type': 'text/plain' }],
    ['a multipart form', text, 400, 'invalid_request', {
      'content-type': 'multipart/form-data; boundary=x'
    }],
    ['a type that is none', text, 400, 'invalid_request', { 'content-type': '"\\' }],
    ['a body that is too big', `${text}&x=${'x'.repeat(20_000)}`, 400, 'invalid_request'],
    ['a wrong length', text, 400, 'invalid_request', { 'content-length': '3' }]
  ]

  for (const [what, form, status, error, headers] of table) {
    assertRejected(t, await app.send('/auth/token', form, headers), status, error, what)
  }

  assertRejected(
    t,
    await app.send(`/auth/token?${text}`, ''),
    400,
    'invalid_request',
    'all of it in the URL'
  )
  assertRejected(
    t,
    await app.send(`/auth/token?refresh_token=${refresh}`, { ...GRANT, client_id: 'phone' }),
    400,
    'invalid_request'
  )

  for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE'] as const) {
    t.equal((await app.app.inject({ method, url: `/auth/token?${text}` })).statusCode, 404, method)
  }

  t.equal(
    (await app.send('/auth/token', { ...good, refresh_token: '' })).body,
    (await app.send('/auth/token', { ...GRANT, client_id: 'phone' })).body,
    'what is empty is absent'
  )
  t.equal(await getGeneration(app, refresh), 0, 'the session was not rotated')
  t.equal(
    (await app.send(`/auth/token?${text}&client_id=pad`, `${text}&foo=bar&username=ann&state=`))
      .statusCode,
    200,
    'what is unknown is ignored, and so is the URL'
  )
})

// Based on the Big List of Naughty Strings.
const naughty = [
  '"',
  '\\',
  '\\"',
  '\n',
  '\r\nSet-Cookie: a=b',
  '\0',
  '\t',
  '\u007f',
  '\u0085',
  '\u00e9',
  '\u202e',
  '\ufeff',
  '\uffff',
  'パーティー',
  '👩‍👧',
  '𠜎',
  '<script>alert(1)</script>',
  '\' OR 1=1 --',
  '{{7*7}}',
  '%00',
  '%0a',
  '%ff',
  '+',
  '&',
  ';',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'toString',
  'null',
  'undefined',
  'NaN',
  '{}',
  '[]',
  '[object Object]',
  'true',
  '0',
  '-1',
  '1e999',
  ' ',
  'a b',
  '...',
  'e30.e30.',
  'x'.repeat(9000)
]

t.test('token never returns strings of the request', async t => {
  const app = await createOAuthApp(t)
  const { refresh } = await app.signIn()
  const good = {
    ...GRANT,
    client_id: 'phone',
    refresh_token: refresh,
    scope: 'read',
    resource: 'x'
  }

  for (
    const parameter of [
      'grant_type',
      'client_id',
      'client_secret',
      'refresh_token',
      'scope',
      'resource'
    ]
  ) {
    for (const text of naughty) {
      const response = await app.send('/auth/token', { ...good, [parameter]: text })

      if (response.statusCode !== 400) {
        t.fail(`${parameter} ${JSON.stringify(text)}: ${response.statusCode}`)
      }

      const body = response.json<Record<string, string>>()
      const isSound = Object.keys(body).join() === 'error,error_description' &&
        /^[\x20\x21\x23-\x5b\x5d-\x7e]+$/.test(Object.values(body).join(''))

      if (!isSound) {
        t.fail(`${parameter} ${JSON.stringify(text)}: ${response.body}`)
      }
    }
  }

  for (const text of naughty) {
    const encoded = Buffer.from(text).toString('base64')

    for (
      const authorization of [
        `Basic ${encoded}`,
        `Basic ${Buffer.from(`${text}:${text}`).toString('base64')}`
      ]
    ) {
      assertRejected(
        t,
        await app.send('/auth/token', { ...GRANT, refresh_token: refresh }, { authorization }),
        401,
        'invalid_client',
        text
      )
    }
  }

  t.equal(await getGeneration(app, refresh), 0)
})

t.test('token sends the same response for every invalid refresh token', async t => {
  const app = await createOAuthApp(t, {
    options: { refreshToken: { lifetime: '7d', maxLifetime: '30d' } }
  })
  const other = await createOAuthApp(t, { clock: app.clock })
  const foreign = await app.signIn('pad')
  const own = await app.signIn(null)
  const gone = await app.signIn('phone', 'cyd')
  const disabled = await app.signIn('phone', 'bob')
  const revoked = await app.signIn()
  await app.send('/auth/revoke', { client_id: 'phone', token: revoked.refresh })
  const { access } = await app.signIn()
  const expired = await app.signIn()
  app.clock.advance(8 * DAY)
  const reused = await app.signIn()
  const { refresh_token: second } = (await app.refreshAs(reused.refresh)).json()
  app.clock.advance(MINUTE)
  t.equal((await app.refreshAs(second)).statusCode, 200)
  app.clock.advance(1)
  app.users.delete('u-cyd')
  const bob = app.users.get('u-bob')

  if (bob) {
    bob.disabled = true
  }

  const cases = {
    garbage: 'garbage',
    unknown: (await other.signIn()).refresh,
    expired: expired.refresh,
    revoked: revoked.refresh,
    reused: reused.refresh,
    'ended by the reuse': second,
    'of another client': foreign.refresh,
    'of the app itself': own.refresh,
    'an access token': access,
    'another signature': `${reused.refresh.slice(0, -5)}AAAAA`,
    'of a user who is disabled': disabled.refresh,
    'of a user who is gone': gone.refresh
  }
  const answers = new Set<string>()

  for (const [what, token] of Object.entries(cases)) {
    const response = await app.refreshAs(token)
    assertRejected(t, response, 400, 'invalid_grant', what)
    const { date, ...headers } = response.headers
    answers.add(JSON.stringify([response.body, headers]))
  }

  t.equal(answers.size, 1, 'byte for byte')
})

t.test('errors of Fastify and of hooks have the format of OAuth', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  let claims: () => object = () => ({})
  const options: Partial<TokenAuthOptions> = {
    storeTimeout: '40ms',
    users: {
      findByLogin: () => ({ id: 'u-ann', passwordHash: PASSWORD_HASH }),
      findById: () => ({ id: 'u-ann' }),
      claims: () => claims()
    }
  }
  const app = await createOAuthApp(t, {
    store: breakable.store,
    options,
    before: app => {
      app.addHook('onRequest', async request => {
        const status = Number(request.headers['x-fail-with'])

        if (status > 0) {
          throw Object.assign(new Error('"of the app"'), { statusCode: status })
        }
      })
    }
  })
  const { refresh } = await app.signIn()

  for (const fault of ['throws', 'hangs'] as const) {
    breakable.break(fault)
    const response = await app.refreshAs(refresh)
    assertRejected(t, response, 503, 'temporarily_unavailable')
    t.equal(response.headers['retry-after'], '1')
  }

  breakable.break(null)
  claims = () => ({ sub: 'root' })
  assertRejected(t, await app.refreshAs(refresh), 503, 'temporarily_unavailable')
  claims = () => ({})
  const elsewhere = [
    [400, 400, 'invalid_request'],
    [413, 400, 'invalid_request'],
    [429, 429, 'temporarily_unavailable'],
    [500, 500, 'server_error'],
    [503, 503, 'temporarily_unavailable']
  ] as const
  const form = { ...GRANT, client_id: 'phone', refresh_token: refresh }

  for (const [thrown, status, error] of elsewhere) {
    const response = await app.send('/auth/token', form, { 'x-fail-with': String(thrown) })
    assertRejected(t, response, status, error, `a hook of the app that throws ${thrown}`)
  }

  t.equal((await app.refreshAs(refresh)).statusCode, 200, 'the session is still valid')

  const throttled = await createOAuthApp(t, {
    options: { throttle: { address: { maxAttempts: 3 } } }
  })
  const { refresh: token } = await throttled.signIn()
  const statuses = []

  for (let i = 0; i < 5; i++) {
    statuses.push((await throttled.refreshAs('garbage')).statusCode)
  }

  t.equal(statuses[0], 400)
  const last = await throttled.refreshAs('garbage')
  assertRejected(t, last, 429, 'temporarily_unavailable')
  t.match(last.headers['retry-after'], /^\d+$/)
  t.equal(
    (await throttled.refreshAs(token)).statusCode,
    200,
    'a client with a token is not throttled'
  )
})
