// POST introspect, as RFC 7662 has it; and that it says of every token what `authenticate` and the token route do with it.

import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { SECRET } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { basic, claimsOf, CLIENT_SECRET, createOAuthApp, ISSUER, refused } from './demo.js'
import type { Form, Headers, OAuthApp } from './demo.js'

const asOrders = { client_id: 'orders', client_secret: CLIENT_SECRET }
const ORDERS = basic('orders', CLIENT_SECRET)
const INACTIVE = '{"active":false}'
const OTHER_SECRET = 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq'
const pair = generateKeyPairSync('ed25519').privateKey

async function inspect (
  t: Test,
  { send }: OAuthApp,
  token: string
): Promise<{ body: string, answer: Record<string, unknown> }> {
  const response = await send('/auth/introspect', { token }, ORDERS)
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'application/json; charset=utf-8')
  t.match(response.headers, { 'cache-control': 'no-store', pragma: 'no-cache' })
  return { body: response.body, answer: response.json() }
}

t.test('only clients with a secret may ask', async t => {
  const app = await createOAuthApp(t)
  const { access: token } = await app.signIn()
  const table: ReadonlyArray<
    readonly [what: string, form: Form | string, status: number, error: string, headers?: Headers]
  > = [
    ['nobody', { token }, 401, 'invalid_client'],
    ['a public client', { token, client_id: 'phone' }, 401, 'invalid_client'],
    ['a public client, by Basic', { token }, 401, 'invalid_client', basic('phone', '')],
    ['unknown', { token, client_id: 'nobody' }, 401, 'invalid_client'],
    ['no secret', { token, client_id: 'orders' }, 401, 'invalid_client'],
    [
      'a wrong secret',
      { token, client_id: 'orders', client_secret: 'wrong' },
      401,
      'invalid_client'
    ],
    ['a wrong secret, by Basic', { token }, 401, 'invalid_client', basic('orders', 'wrong')],
    ['the token itself', { token }, 401, 'invalid_client', { authorization: `Bearer ${token}` }],
    ['two ways', { token, ...asOrders }, 400, 'invalid_request', ORDERS],
    ['no token', {}, 400, 'invalid_request', ORDERS],
    ['an empty token', { token: '' }, 400, 'invalid_request', ORDERS],
    ['two tokens', `token=${token}&token=${token}`, 400, 'invalid_request', ORDERS],
    ['JSON', JSON.stringify({ token }), 400, 'invalid_request', {
      ...ORDERS,
      'content-type': 'application/json'
    }],
    ['a text', `token=${token}`, 400, 'invalid_request', {
      ...ORDERS,
      'content-type': 'text/plain'
    }],
    ['a body that is too big', { token, x: 'x'.repeat(20_000) }, 400, 'invalid_request', ORDERS]
  ]

  for (const [what, form, status, error, headers] of table) {
    refused(t, await app.send('/auth/introspect', form, headers), status, error, what)
  }

  refused(
    t,
    await app.send(`/auth/introspect?token=${token}`, {}, ORDERS),
    400,
    'invalid_request',
    'the token in the URL'
  )

  for (const method of ['GET', 'HEAD', 'PUT'] as const) {
    t.equal(
      (await app.app.inject({ method, url: `/auth/introspect?token=${token}`, headers: ORDERS }))
        .statusCode,
      404,
      method
    )
  }

  for (const hint of ['access_token', 'refresh_token', 'bogus', '']) {
    t.match((await app.send('/auth/introspect', { token, token_type_hint: hint }, ORDERS)).json(), {
      active: true
    }, hint)
  }

  t.match((await app.send('/auth/introspect', { token, ...asOrders })).json(), { active: true })
})

t.test('what a good token says', async t => {
  const app = await createOAuthApp(t, { options: { keys: [pair] } })
  const iat = app.clock() / 1000

  for (
    const [clientId, named] of [['phone', 'phone'], ['orders', 'orders'], [null, 'auth']] as const
  ) {
    const { access } = await app.signIn(clientId)
    const { answer } = await inspect(t, app, access)
    t.strictSame(
      answer,
      { ...claimsOf(access), active: true, token_type: 'Bearer' },
      'its own claims, and no other'
    )
    t.match(answer, {
      iss: ISSUER,
      aud: 'api',
      sub: 'u-ann',
      client_id: named,
      iat,
      exp: iat + 900,
      jti: /./
    })
  }

  const { refresh } = await app.signIn('orders')
  const { answer, body } = await inspect(t, app, refresh)
  t.match(answer, {
    active: true,
    sub: 'u-ann',
    client_id: 'orders',
    iat,
    exp: iat + 7 * 24 * 3600
  })
  t.notHas(answer, 'secret')
  t.notMatch(body, claimsOf(refresh).secret as string)
  t.strictSame(
    [...new Set(app.events.map(({ name }) => name))],
    ['login'],
    'nothing is moved by it'
  )
  t.match(await app.store.find(claimsOf(refresh).sid as string), {
    generation: 0,
    confirmedGeneration: 0,
    revokedAt: null
  })
})

t.test('the app\'s own claims do not overwrite what the route says', async t => {
  const claims = (): object => ({ active: false, token_type: 'x', scope: 'read' })
  const app = await createOAuthApp(t, {
    options: { users: { findByLogin: () => null, findById: id => ({ id }), claims } }
  })
  const { access_token: access } = await app.app.tokenAuth.openSession('u-ann', {
    headers: {},
    raw: { rawHeaders: [] }
  }, { clientId: 'phone' })
  t.match((await inspect(t, app, access)).answer, {
    active: true,
    token_type: 'Bearer',
    scope: 'read'
  })
})

t.test('of whatever is not good there is no more to say', async t => {
  const clock = createClock()
  const app = await createOAuthApp(t, { clock, options: { keys: [pair] } })
  const { store } = app
  const others = {
    'of another store': await createOAuthApp(t, { clock, options: { keys: [pair] } }),
    'of another registration': await createOAuthApp(t, {
      clock,
      store,
      options: { name: 'other', prefix: '/auth' }
    }),
    'for another audience': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], audience: 'other' }
    }),
    'of another issuer': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], issuer: `${ISSUER}/other` }
    }),
    'by another key': await createOAuthApp(t, {
      clock,
      store,
      options: { secret: OTHER_SECRET, keys: [generateKeyPairSync('ed25519').privateKey] }
    }),
    'by a secret': await createOAuthApp(t, { clock, store, options: { secret: OTHER_SECRET } }),
    'that names no client': await createOAuthApp(t, {
      clock,
      store,
      options: { keys: [pair], oauth: undefined as never }
    })
  }
  const tokens: Record<string, string> = {
    garbage: 'garbage',
    blank: ' ',
    odd: '"\\\0é',
    'too long': 'x'.repeat(9000)
  }

  for (const [what, other] of Object.entries(others)) {
    tokens[what] = (await other.signIn(null)).access
  }

  tokens['a refresh token of another store'] =
    (await others['of another store'].signIn('orders')).refresh
  tokens['a refresh token by another secret'] =
    (await others['by a secret'].signIn('orders')).refresh

  const gone = await app.signIn('orders', 'bob')
  const disabled = await app.signIn('orders', 'cyd')
  app.users.delete('u-bob')
  const cyd = app.users.get('u-cyd')

  if (cyd) {
    cyd.disabled = true
  }

  const over = await app.signIn('orders')
  clock.advance(15 * MINUTE)
  tokens['an access token that has ended'] = over.access
  const revoked = await app.signIn('orders')
  await app.send('/auth/revoke', { token: revoked.access }, ORDERS)
  Object.assign(tokens, {
    'revoked, access': revoked.access,
    'revoked, refresh': revoked.refresh,
    'user gone, access': gone.access,
    'user gone, refresh': gone.refresh,
    'user disabled, access': disabled.access,
    'user disabled, refresh': disabled.refresh,
    'a refresh token of another client': (await app.signIn('stock')).refresh,
    'a refresh token of a public client': (await app.signIn()).refresh,
    'a refresh token of the app itself': (await app.signIn(null)).refresh
  })
  const { access, refresh } = await app.signIn('orders')
  t.match((await inspect(t, app, access)).answer, { active: true })
  t.match((await inspect(t, app, refresh)).answer, { active: true })
  tokens['another signature'] = `${access.slice(0, -5)}AAAAA`
  tokens['another signature, refresh'] = `${refresh.slice(0, -5)}AAAAA`
  const second = (await app.refreshAs(refresh, asOrders)).json().refresh_token
  clock.advance(MINUTE)
  await app.refreshAs(second, asOrders)
  tokens['an old generation'] = refresh

  for (const [what, token] of Object.entries(tokens)) {
    t.equal((await inspect(t, app, token)).body, INACTIVE, what)
  }

  clock.advance(8 * DAY)
  t.equal((await inspect(t, app, second)).body, INACTIVE, 'expired')
  t.notOk(app.events.some(({ name }) => name === 'reuse'), 'nothing is ended by it')
})

t.test('while the store is down nothing is said of a token', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const app = await createOAuthApp(t, { store: breakable.store, options: { storeTimeout: '40ms' } })
  const { access, refresh } = await app.signIn('orders')

  for (const fault of ['throws', 'hangs'] as const) {
    breakable.break(fault)

    for (const token of [access, refresh]) {
      const response = await app.send('/auth/introspect', { token }, ORDERS)
      refused(t, response, 503, 'temporarily_unavailable', fault)
      t.equal(response.headers['retry-after'], '1')
    }

    t.equal((await inspect(t, app, 'garbage')).body, INACTIVE)
  }
})

// Requirement 30: who asks is told the same as who tries, whatever has happened to the session, and wherever.
interface Tokens {
  readonly access: string
  readonly refresh: string
}

interface State {
  readonly what: string
  readonly options?: Partial<TokenAuthOptions>
  /** Makes it so, and gives the tokens to look at. */
  prepare(one: OAuthApp, two: OAuthApp, poll: () => Promise<void>): Promise<Tokens>
}

async function rotate (app: OAuthApp, token: string): Promise<Tokens> {
  const { access_token: access, refresh_token: refresh } = (await app.refreshAs(token, asOrders))
    .json()
  return { access, refresh }
}

const states: readonly State[] = [
  { what: 'new', prepare: async one => one.signIn('orders') },
  { what: 'new, at the other instance', prepare: async (_one, two) => two.signIn('orders') },
  {
    what: 'rotated a moment ago',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      return first
    }
  },
  {
    what: 'rotated, the next one',
    prepare: async one => rotate(one, (await one.signIn('orders')).refresh)
  },
  {
    what: 'rotated a while ago, and nobody has seen the next one',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      return first
    }
  },
  {
    what: 'rotated a while ago, and the next access token was used, here',
    async prepare (one) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      await one.get('/protected', second.access)
      return first
    }
  },
  {
    what: 'rotated a while ago, and the next refresh token was used, at the other instance',
    async prepare (one, two) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      await rotate(two, second.refresh)
      return first
    }
  },
  {
    what:
      'the answer was lost, asked for again a moment ago, and the next access token was used since',
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      const again = await rotate(one, first.refresh)
      await one.get('/protected', again.access)
      return first
    }
  },
  {
    what: 'without rotation, refreshed',
    options: { rotation: false },
    async prepare (one) {
      const first = await one.signIn('orders')
      await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      return first
    }
  },
  {
    what: 'a moment before the access token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(15 * MINUTE - 1)
      return tokens
    }
  },
  {
    what: 'the moment that the access token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(15 * MINUTE)
      return tokens
    }
  },
  {
    what: 'a moment before the refresh token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(7 * DAY - 1)
      return tokens
    }
  },
  {
    what: 'the moment that the refresh token ends',
    async prepare (one) {
      const tokens = await one.signIn('orders')
      one.clock.advance(7 * DAY)
      return tokens
    }
  },
  {
    what: 'from the future',
    async prepare (one) {
      one.clock.advance(HOUR)
      const tokens = await one.signIn('orders')
      one.clock.advance(-HOUR)
      return tokens
    }
  },
  {
    what: 'revoked here',
    async prepare (one, _two, poll) {
      const tokens = await one.signIn('orders')
      await one.send('/auth/revoke', { token: tokens.refresh }, ORDERS)
      await poll()
      return tokens
    }
  },
  {
    what: 'revoked at the other instance',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      await two.send('/auth/revoke', { token: tokens.access }, ORDERS)
      await poll()
      return tokens
    }
  },
  {
    what: 'logged out',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      await two.post('/auth/logout', { refresh_token: tokens.refresh })
      await poll()
      return tokens
    }
  },
  {
    what: 'the user logged out everywhere',
    async prepare (one, two, poll) {
      const tokens = await one.signIn('orders')
      const own = await two.signIn(null)
      one.clock.advance(SECOND)
      await two.post('/auth/logout/all', undefined, { authorization: `Bearer ${own.access}` })
      await poll()
      return tokens
    }
  },
  {
    what: 'ended by a reuse',
    async prepare (one, two, poll) {
      const first = await one.signIn('orders')
      const second = await rotate(one, first.refresh)
      one.clock.advance(MINUTE)
      const third = await rotate(two, second.refresh)
      await rotate(one, first.refresh)
      await poll()
      return third
    }
  },
  {
    what: 'under a secret that was replaced',
    async prepare (one) {
      const before = await createOAuthApp(t, {
        clock: one.clock,
        store: one.store,
        options: { secret: OTHER_SECRET }
      })
      return before.signIn('orders')
    },
    options: { secret: [SECRET, OTHER_SECRET] }
  },
  {
    what: 'under a secret that is known no more',
    async prepare (one) {
      const before = await createOAuthApp(t, {
        clock: one.clock,
        store: one.store,
        options: { secret: OTHER_SECRET }
      })
      return before.signIn('orders')
    }
  }
]

for (const { what, options, prepare } of states) {
  t.test(`asked and tried are the same: ${what}`, async t => {
    for (const asked of [0, 1] as const) {
      const polls: Array<() => void> = []

      const wake = (poll: () => void): () => void => {
        polls.push(poll)

        return () => {}
      }

      const store = new MemoryStore()
      const clock = createClock()
      const given = {
        store,
        clock,
        options: { revocations: { pollInterval: '60s', subscribe: wake } as const, ...options }
      }
      const instances = [await createOAuthApp(t, given), await createOAuthApp(t, given)] as const
      const tokens = await prepare(...instances, async () => {
        for (const poll of polls) {
          poll()
        }

        await new Promise(resolve => setImmediate(resolve))
      })
      const at = instances[asked]
      const says = {
        access: (await inspect(t, at, tokens.access)).answer.active,
        refresh: (await inspect(t, at, tokens.refresh)).answer.active
      }
      const does = {
        access: (await at.get('/protected', tokens.access)).statusCode === 200,
        refresh: (await at.refreshAs(tokens.refresh, asOrders)).statusCode === 200
      }
      t.strictSame(says, does, `instance ${asked}`)
    }
  })
}

t.test('a user who is disabled: who asks is told at once, who tries with the next refresh', async t => {
  const app = await createOAuthApp(t)
  const { access, refresh } = await app.signIn('orders')
  const ann = app.users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  for (const token of [access, refresh]) {
    t.equal((await inspect(t, app, token)).body, INACTIVE)
  }

  t.equal((await app.get('/protected', access)).statusCode, 200)
  t.equal((await app.refreshAs(refresh, asOrders)).statusCode, 400)
  t.equal((await app.get('/protected', access)).statusCode, 401)
})
