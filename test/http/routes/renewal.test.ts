import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { createClock, DAY, HOUR, MINUTE, SECOND } from '../../helpers/clock.js'
import { REALM } from '../../helpers/app.js'
import { assertNotRenewed, decodeClaims, endings, getNewToken, open } from './renewal-app.js'

const GRACE = 10 * SECOND

t.test('a token is renewed exactly within renewWithin of its expiry', async t => {
  const { login, get, clock, asked } = await open(t)
  clock.advance(321)
  const { access_token: token } = await login()
  const end = Number(decodeClaims(token).exp) * SECOND

  const look = async (at: number): Promise<string | undefined> => {
    clock.set(at)
    asked.find = asked.findById = asked.others.length = 0
    return getNewToken(await get('/protected', token))
  }

  for (const at of [end - 15 * MINUTE + 321, end - 10 * MINUTE, end - 5 * MINUTE - 1]) {
    t.equal(await look(at), undefined)
    t.strictSame(asked, { find: 0, findById: 0, others: [] })
  }

  const texts = new Set<string | undefined>()

  for (const at of [end - 5 * MINUTE, end - 4 * MINUTE, end - 1]) {
    texts.add(await look(at))
    t.strictSame(
      asked,
      { find: 1, findById: 1, others: [] },
      'one look at each, and nothing is written'
    )
  }

  t.equal(texts.size, 1, 'sequential requests get the same token')
  const [next] = texts
  t.not(next, undefined)
  t.equal(await look(end), undefined)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  t.strictSame(asked, { find: 0, findById: 0, others: [] })
})

t.test('a renewed token has new times and the same other claims', async t => {
  const { login, get, clock, users } = await open(t, { issuer: 'us', audience: 'them' })
  const { access_token: token } = await login()
  const before = decodeClaims(token)
  clock.advance(12 * MINUTE)
  const ann = users.get('u-ann')

  if (ann) {
    ann.role = 'admin'
  }

  const next = getNewToken(await get('/protected', token))
  const iat = Number(before.exp) - 300
  t.strictSame(
    decodeClaims(next),
    { ...before, role: 'admin', iat, exp: iat + 900 },
    'with fresh claims'
  )
  t.equal((await get('/protected', next)).json().claims.role, 'admin')
  t.equal(
    (await get('/protected', token)).json().claims.role,
    undefined,
    'the old one is good until its end'
  )

  clock.advance(8 * MINUTE)
  const third = getNewToken(await get('/protected', next))
  t.equal(decodeClaims(third).exp, Number(before.exp) + 1200)
  clock.advance(9 * MINUTE)
  t.equal((await get('/protected', third)).statusCode, 200, 'the next renewal')
})

t.test('renewal does not extend the session', async t => {
  const { login, get, clock } = await open(t, { refreshToken: { lifetime: '22m', grace: 0 } })
  let { access_token: token } = await login()
  const start = clock()
  const ends: number[] = []

  for (let minute = 1; minute <= 21; minute++) {
    clock.set(start + minute * MINUTE)
    const response = await get('/protected', token)
    t.equal(response.statusCode, 200, `minute ${minute}`)
    const next = getNewToken(response)

    if (next === undefined) {
      continue
    }

    token = next
    ends.push((Number(decodeClaims(next).exp) * SECOND - start) / MINUTE)
  }

  t.strictSame(ends, [22], 'a token that expires with its session is not renewed')
  clock.set(start + 22 * MINUTE)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
})

t.test('an expiring or revoked session renews no token', async t => {
  for (const lifetime of ['15m', '15.01m']) {
    const { login, get, clock } = await open(t, { refreshToken: { lifetime, grace: 0 } })
    const { access_token: token } = await login()
    clock.advance(12 * MINUTE)
    assertNotRenewed(t, await get('/protected', token), 200, lifetime)
  }
})

t.test('concurrent requests get the same renewed token', async t => {
  const [store, clock] = [new MemoryStore(), createClock()]
  const [one, other] = [await open(t, {}, { store, clock }), await open(t, {}, { store, clock })]
  const { access_token: token } = await one.login()
  clock.advance(11 * MINUTE)
  one.asked.findById = 0
  const many = await Promise.all(Array.from({ length: 30 }, () => one.get('/protected', token)))
  t.strictSame([one.asked.find, one.asked.findById], [1, 1])
  clock.advance(MINUTE)
  const later = await Promise.all(
    [one, other].flatMap(test => [test.get('/protected', token), test.get('/auth/me', token)])
  )
  const texts = new Set([...many, ...later].map(getNewToken))
  t.equal(texts.size, 1)
  t.type([...texts][0], 'string')
})

t.test('a renewed token keeps the generation of its predecessor', async t => {
  const { login, get, refresh, clock, store } = await open(t)
  const first = await login()
  clock.advance(11 * MINUTE)
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  const next = getNewToken(await get('/protected', first.access_token))
  t.strictSame([decodeClaims(second.access_token).gen, decodeClaims(next).gen], [1, 0])
  t.equal((await get('/protected', next)).statusCode, 200)
  clock.advance(GRACE)
  const recovered = await refresh(first.refresh_token)
  t.equal(
    recovered.json().refresh_token,
    second.refresh_token,
    'the answer with generation 1 was lost, and it is recovered'
  )

  clock.advance(11 * MINUTE)
  const after = getNewToken(await get('/protected', recovered.json().access_token))
  t.equal(decodeClaims(after).gen, 1)
  const { code } = (await refresh(first.refresh_token)).json()
  t.equal(
    code,
    'AUTH_REFRESH_REUSED',
    'whereas the token that was renewed last was of generation 1'
  )
  t.equal((await store.find(REALM, String(decodeClaims(after).sid)))?.revokedFor, 'reuse')
})

t.test('renewal rejects a session that another instance has revoked', async t => {
  const [store, clock] = [new MemoryStore(), createClock()]
  const [one, other] = [await open(t, {}, { store, clock }), await open(t, {}, { store, clock })]
  const { access_token: token, refresh_token: refreshToken } = await one.login()
  clock.advance(11 * MINUTE)
  await other.post('/auth/logout', { refresh_token: refreshToken })

  for (const looks of [1, 1]) {
    const response = await one.get('/protected', token)
    t.equal(response.json().code, 'AUTH_SESSION_REVOKED')
    t.match(response.headers['www-authenticate'], /error="invalid_token"/)
    t.equal(getNewToken(response), undefined)
    t.equal(one.asked.find, looks)
  }

  t.equal((await other.get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal(other.asked.find, 0)
})

t.test('a session that is revoked during the renewal issues no valid token', async t => {
  const inner = new MemoryStore()

  let proceed: () => void = () => {}

  const waiting = new Promise<void>(resolve => {
    proceed = resolve
  })
  const store = Object.assign(Object.create(inner), {
    find: async (realm: string, id: string) => {
      const found = await inner.find(realm, id)
      await waiting
      return found
    }
  })

  for (
    const verb of ['create', 'rotate', 'list', 'revoke', 'touch', 'revocations', 'sweep'] as const
  ) {
    store[verb] = (...args: unknown[]): unknown => Reflect.apply(inner[verb], inner, args)
  }

  const { login, get, post, clock } = await open(t, {}, { store })
  const { access_token: token, refresh_token: refreshToken } = await login()
  clock.advance(11 * MINUTE)
  const answer = get('/protected', token)
  t.equal((await post('/auth/logout', { refresh_token: refreshToken })).statusCode, 204)
  proceed()
  const next = getNewToken(await answer)

  if (next !== undefined) {
    t.equal((await get('/protected', next)).json().code, 'AUTH_SESSION_REVOKED')
  }

  t.equal((await get('/protected', token)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('a disabled or deleted user gets no renewed token', async t => {
  const { login, get, clock, users } = await open(t)
  const { access_token: token } = await login()
  clock.advance(11 * MINUTE)
  const ann = users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  assertNotRenewed(t, await get('/protected', token))
  users.delete('u-ann')
  assertNotRenewed(t, await get('/protected', token))

  if (ann) {
    users.set('u-ann', { ...ann, disabled: false })
  }

  t.ok(getNewToken(await get('/protected', token)))
})

t.test('a store failure during the renewal does not fail the request', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  const words: string[] = []
  const logger = {
    level: 'warn',
    stream: {
      write: (line: string) => {
        words.push(line)
      }
    }
  }
  const test = await open(t, { storeTimeout: '20ms' }, {
    store,
    fastify: { logger } as FastifyServerOptions
  })
  const { access_token: token } = await test.login()
  test.clock.advance(11 * MINUTE)

  for (const fault of ['throws', 'hangs'] as const) {
    breakStore(fault)
    assertNotRenewed(t, await test.get('/protected', token), 200, fault)
    breakStore(null)
    t.ok(getNewToken(await test.get('/protected', token)), 'the next request reads the store again')
  }

  t.match(words.join(''), /failed to renew an access token/)
  t.notMatch(words.join(''), token)
})

t.test('a failure of a user callback during the renewal does not fail the request', async t => {
  let findById: () => unknown = () => ({ id: 'u-ann' })
  let claims: () => object = () => ({})
  const users = {
    findByLogin: () => null,
    findById: () => findById(),
    claims: () => claims()
  } as unknown as TokenAuthOptions['users']
  const { app, get, clock } = await open(t, { users, storeTimeout: '20ms' })
  const { access_token: token } = await app.tokenAuth.openSession('u-ann', {
    headers: {},
    raw: { rawHeaders: [] }
  })
  clock.advance(11 * MINUTE)
  const faults: ReadonlyArray<() => void> = [
    () => {
      findById = () => {
        throw new Error('down')
      }
    },
    () => {
      findById = () => new Promise(() => {})
    },
    () => {
      findById = () => ({ id: 7 })
    },
    () => {
      claims = () => ({ sub: 'root' })
    },
    () => {
      claims = () => Promise.reject(new Error('down'))
    }
  ]

  for (const breakUsers of faults) {
    breakUsers()
    assertNotRenewed(t, await get('/protected', token), 200, String(breakUsers))
    findById = () => ({ id: 'u-ann' })
    claims = () => ({})
    t.ok(getNewToken(await get('/protected', token)))
  }
})

t.test('renewal keeps a client signed in that never refreshes', async t => {
  const { login, get, clock } = await open(t, {
    rotation: false,
    accessToken: { lifetime: '1d', renewWithin: '2h' },
    refreshToken: { lifetime: '30d' }
  })
  let { access_token: token } = await login()

  for (let day = 1; day < 30; day++) {
    clock.set(Date.UTC(2026, 0, 1) + day * 22 * HOUR)
    const next = getNewToken(await get('/protected', token))
    t.type(next, 'string', `day ${day}`)
    token = String(next)
  }

  clock.set(Date.UTC(2026, 0, 1) + 30 * DAY)
  t.equal((await get('/protected', token)).statusCode, 401)
})

t.test('renewal is disabled by default', async t => {
  const { login, get, clock, asked } = await open(t, { accessToken: {} }, endings)
  const { access_token: token } = await login()
  asked.findById = 0

  for (const minutes of [1, 9, 4.9]) {
    clock.advance(minutes * MINUTE)
    assertNotRenewed(t, await get('/protected', token))
    t.notOk('x-new-token' in (await get('/fails', token)).headers)
  }

  t.strictSame([asked.find, asked.findById], [0, 0])
})
