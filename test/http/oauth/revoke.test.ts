import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { assertRejected, basic, CLIENT_SECRET, createOAuthApp, decodeClaims } from './demo.js'
import type { Form, Headers } from './demo.js'

const PHONE = { client_id: 'phone' }

function done (t: Test, response: LightMyRequestResponse, what: string): void {
  t.equal(response.statusCode, 200, `${what}: 200`)
  t.equal(response.body, '', what)
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' }, what)
}

t.test('revoke revokes the session of either kind of token, whatever the hint', async t => {
  const app = await createOAuthApp(t)

  for (const kind of ['refresh', 'access'] as const) {
    for (const hint of [undefined, '', 'refresh_token', 'access_token', 'bogus', '"\\']) {
      const what = `${kind}, hint ${hint}`
      const elsewhere = await app.signIn()
      const tokens = await app.signIn()
      t.equal((await app.get('/protected', tokens.access)).statusCode, 200)
      done(
        t,
        await app.send('/auth/revoke', {
          ...PHONE,
          token: tokens[kind],
          ...(hint !== undefined && { token_type_hint: hint })
        }),
        what
      )
      t.equal((await app.refreshAs(tokens.refresh)).json().error, 'invalid_grant', what)
      const response = await app.get('/protected', tokens.access)
      t.equal(response.statusCode, 401, what)
      t.equal(response.json().code, 'AUTH_SESSION_REVOKED', what)
      t.match(app.events.at(-1), {
        name: 'session-ended',
        sessionId: decodeClaims(tokens.refresh).sid,
        reason: 'revoked',
        local: true
      }, what)
      t.equal(
        (await app.get('/protected', elsewhere.access)).statusCode,
        200,
        'another session of the same client lives'
      )
      t.equal((await app.refreshAs(elsewhere.refresh)).statusCode, 200)
    }
  }
})

t.test('revoke accepts tokens of any generation and expired tokens', async t => {
  const app = await createOAuthApp(t)
  const { refresh, access } = await app.signIn()
  const { refresh_token: second } = (await app.refreshAs(refresh)).json()
  app.clock.advance(MINUTE)
  const { refresh_token: third } = (await app.refreshAs(second)).json()
  app.clock.advance(HOUR)
  done(t, await app.send('/auth/revoke', { ...PHONE, token: refresh }), 'the first one')
  t.equal((await app.refreshAs(third)).statusCode, 400)
  t.notOk(app.events.some(({ name }) => name === 'reuse'))

  const other = await app.signIn()
  app.clock.advance(HOUR)
  done(
    t,
    await app.send('/auth/revoke', { ...PHONE, token: other.access }),
    'an access token that has ended'
  )
  t.equal((await app.refreshAs(other.refresh)).statusCode, 400)

  const old = await app.signIn()
  app.clock.advance(8 * DAY)

  for (
    const [what, token] of Object.entries({
      revoked: refresh,
      'revoked, an access token': access,
      expired: old.refresh,
      'expired, an access token': old.access
    })
  ) {
    done(t, await app.send('/auth/revoke', { ...PHONE, token }), what)
  }
})

t.test('revoke of an unknown token results in 200', async t => {
  const app = await createOAuthApp(t)
  const other = await createOAuthApp(t, {
    clock: app.clock,
    options: { secret: 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq' }
  })
  const elsewhere = await createOAuthApp(t, { clock: app.clock })
  const { refresh, access } = await app.signIn()
  const foreign = await other.signIn()

  for (
    const token of [
      'garbage',
      ' ',
      'a.b.c',
      '"\\\0é',
      'x'.repeat(9000),
      foreign.refresh,
      foreign.access,
      (await elsewhere.signIn()).refresh,
      `${refresh.slice(0, -5)}AAAAA`,
      `${access.slice(0, -5)}AAAAA`,
      decodeClaims(refresh).sid as string,
      decodeClaims(refresh).secret as string
    ]
  ) {
    done(t, await app.send('/auth/revoke', { ...PHONE, token }), token.slice(0, 40))
  }

  t.equal((await app.refreshAs(refresh)).statusCode, 200)
  t.notOk(app.events.some(({ name }) => name === 'session-ended'))
})

t.test('revoke rejects a token of another client', async t => {
  const app = await createOAuthApp(t)
  const tokens = {
    phone: await app.signIn(),
    orders: await app.signIn('orders'),
    own: await app.signIn(null)
  }
  const callers: Record<string, readonly [Form, Headers]> = {
    phone: [PHONE, {}],
    pad: [{ client_id: 'pad' }, {}],
    orders: [{}, basic('orders', CLIENT_SECRET)]
  }

  for (const [caller, [form, headers]] of Object.entries(callers)) {
    for (const [owner, { refresh, access }] of Object.entries(tokens)) {
      if (owner === caller) {
        continue
      }

      for (const token of [refresh, access]) {
        assertRejected(
          t,
          await app.send('/auth/revoke', { ...form, token }, headers),
          400,
          'invalid_grant',
          `${caller}, of ${owner}`
        )
      }
    }
  }

  t.notOk(app.events.some(({ name }) => name === 'session-ended'))

  for (const { access } of Object.values(tokens)) {
    t.equal((await app.get('/protected', access)).statusCode, 200)
  }

  t.equal((await app.refreshAs(tokens.phone.refresh)).statusCode, 200)
  t.equal((await app.refresh(tokens.own.refresh)).statusCode, 200)
  done(
    t,
    await app.send(
      '/auth/revoke',
      { token: tokens.orders.refresh },
      basic('orders', CLIENT_SECRET)
    ),
    'its own'
  )
  t.equal((await app.get('/protected', tokens.orders.access)).statusCode, 401)
})

t.test('revoke challenges unknown clients and rejects malformed requests', async t => {
  const app = await createOAuthApp(t)
  const { refresh: token } = await app.signIn()
  const table: ReadonlyArray<
    readonly [what: string, form: Form | string, status: number, error: string, headers?: Headers]
  > = [
    ['nobody', { token }, 401, 'invalid_client'],
    ['an empty name', { token, client_id: '' }, 401, 'invalid_client'],
    ['unknown', { token, client_id: 'nobody' }, 401, 'invalid_client'],
    ['no secret', { token, client_id: 'orders' }, 401, 'invalid_client'],
    [
      'a wrong secret',
      { token, client_id: 'orders', client_secret: 'wrong' },
      401,
      'invalid_client'
    ],
    ['a wrong secret, by Basic', { token }, 401, 'invalid_client', basic('orders', 'wrong')],
    [
      'a secret where there is none',
      { token, ...PHONE, client_secret: CLIENT_SECRET },
      401,
      'invalid_client'
    ],
    [
      'two ways',
      { token, client_id: 'orders', client_secret: CLIENT_SECRET },
      400,
      'invalid_request',
      basic('orders', CLIENT_SECRET)
    ],
    ['no token', PHONE, 400, 'invalid_request'],
    ['an empty token', { ...PHONE, token: '' }, 400, 'invalid_request'],
    ['two tokens', `client_id=phone&token=${token}&token=${token}`, 400, 'invalid_request'],
    [
      'two hints',
      `client_id=phone&token=${token}&token_type_hint=a&token_type_hint=b`,
      400,
      'invalid_request'
    ],
    ['JSON', JSON.stringify({ ...PHONE, token }), 400, 'invalid_request', {
      'content-type': 'application/json'
    }],
    ['a text', `client_id=phone&token=${token}`, 400, 'invalid_request', {
      'content-type': 'text/plain'
    }],
    ['a body that is too big', { ...PHONE, token, x: 'x'.repeat(20_000) }, 400, 'invalid_request']
  ]

  for (const [what, form, status, error, headers] of table) {
    assertRejected(t, await app.send('/auth/revoke', form, headers), status, error, what)
  }

  assertRejected(
    t,
    await app.send(`/auth/revoke?client_id=phone&token=${token}`, ''),
    401,
    'invalid_client',
    'all of it in the URL'
  )
  assertRejected(
    t,
    await app.send(`/auth/revoke?token=${token}`, PHONE),
    400,
    'invalid_request',
    'the token in the URL'
  )

  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE'] as const) {
    t.equal(
      (await app.app.inject({ method, url: `/auth/revoke?client_id=phone&token=${token}` }))
        .statusCode,
      404,
      method
    )
  }

  t.equal((await app.refreshAs(token)).statusCode, 200, 'nothing was revoked')
})

t.test('revoke results in 503 while the store is unavailable', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const app = await createOAuthApp(t, { store: breakable.store, options: { storeTimeout: '40ms' } })
  const { refresh, access } = await app.signIn()

  for (const fault of ['throws', 'hangs'] as const) {
    breakable.break(fault)

    for (const token of [refresh, access]) {
      const response = await app.send('/auth/revoke', { ...PHONE, token })
      assertRejected(t, response, 503, 'temporarily_unavailable', fault)
      t.equal(response.headers['retry-after'], '1')
    }

    done(
      t,
      await app.send('/auth/revoke', { ...PHONE, token: 'garbage' }),
      'what is none needs no store'
    )
  }

  breakable.break(null)
  t.equal((await app.get('/protected', access)).statusCode, 200)
  t.equal((await app.refreshAs(refresh)).statusCode, 200)
  done(
    t,
    await app.send('/auth/revoke', { ...PHONE, token: refresh }),
    'after the store is up again'
  )
  t.equal((await app.get('/protected', access)).statusCode, 401)
})

t.test('a revoked token is rejected on every instance', async t => {
  const store = new MemoryStore()

  let poll = (): void => {}

  let onEnded: (event: unknown) => void = () => t.fail('there is no push')

  const one = await createOAuthApp(t, { store })
  const two = await createOAuthApp(t, {
    store,
    clock: one.clock,
    options: {
      on: { 'session-ended': event => onEnded(event) },
      revocations: {
        pollInterval: '60s',
        subscribe: hint => {
          poll = hint

          return () => {}
        }
      }
    }
  })
  const { refresh, access } = await one.signIn()
  t.equal((await two.get('/protected', access)).statusCode, 200)
  done(t, await one.send('/auth/revoke', { ...PHONE, token: refresh }), 'revoked at one instance')
  t.equal((await two.refreshAs(refresh)).json().error, 'invalid_grant', 'rejected immediately')
  const ended = new Promise(resolve => {
    onEnded = resolve
  })
  poll()
  t.match(await ended, { reason: 'revoked', local: false })
  t.equal((await two.get('/protected', access)).statusCode, 401, 'after its next poll')
})
