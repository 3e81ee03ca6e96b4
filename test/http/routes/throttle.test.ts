// Guessing of passwords: how often, from where, under which names; and that it keeps nobody out who is known.

import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { AttemptStore, TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { databases } from '../../helpers/databases/index.js'
import { startServer } from '../../helpers/server-process.js'
import { createSqliteFile } from '../../helpers/databases/sqlite.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

type Throttle = TokenAuthOptions['throttle']
interface Attempt {
  readonly username?: string
  readonly password?: string
  readonly from?: string
  readonly token?: string | undefined
}

interface Guessing extends TestApp {
  guess(attempt?: Attempt): Promise<LightMyRequestResponse>
  /** So many wrong passwords at once, and the statuses of the answers, counted. */
  storm(count: number, attempt?: (i: number) => Attempt): Promise<Record<number, number>>
}

async function anApp (
  t: Test,
  throttle: Throttle = {},
  given: TestAppOptions = {}
): Promise<Guessing> {
  const test = await createTestApp({ ...given, options: { throttle, ...given.options } })
  t.teardown(() => test.app.close())
  const guess: Guessing['guess'] = async (
    { username = 'ann', password = 'wrong', from = '192.0.2.1', token } = {}
  ) =>
    test.app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress: from,
      payload: { username, password, device_token: token }
    })

  const storm: Guessing['storm'] = async (count, attempt = () => ({})) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => guess(attempt(i))))
    const counts: Record<number, number> = {}

    for (const { statusCode } of answers) {
      counts[statusCode] = (counts[statusCode] ?? 0) + 1
    }

    return counts
  }

  return { ...test, guess, storm }
}

function retryAfter (answer: LightMyRequestResponse): number {
  return Number(answer.headers['retry-after'])
}

t.test('101 wrong passwords at once, then the right one: ten are looked at, and who was known is let in', async t => {
  const { guess, storm, clock, events } = await anApp(t)
  const { device_token: token } = (await guess({ password: PASSWORD })).json<TokenResponse>()
  t.strictSame(await storm(101), { 401: 10, 429: 91 })
  const right = await guess({ password: PASSWORD })
  t.equal(right.statusCode, 429, 'from a device that is not known')
  t.equal(right.json().code, 'AUTH_TOO_MANY_ATTEMPTS')
  t.equal(retryAfter(right), 1)
  t.equal((await guess({ password: PASSWORD, token })).statusCode, 200, 'from one that is')
  clock.advance(1000)
  t.equal((await guess({ password: PASSWORD })).statusCode, 200, 'from any, when the wait is over')
  t.equal(events.filter(({ name }) => name === 'login-rejected').length, 10)
  t.match(events.find(({ name }) => name === 'login-throttled'), {
    userId: 'u-ann',
    limit: 'account',
    address: '192.0.2.1'
  })
})

t.test('waits grow to an hour, and after a hundred failures there is a stop', async t => {
  const { guess, clock, app } = await anApp(t)
  const waits: number[] = []

  for (let i = 0; i < 100; i++) {
    clock.advance(HOUR)
    t.equal((await guess()).statusCode, 401, `failure ${i + 1}`)
    const next = await guess({ password: PASSWORD })

    if (i < 9) {
      t.equal(next.statusCode, 200, 'nine failures hinder nobody; and a login ends the count')

      for (let j = 0; j <= i; j++) {
        t.equal((await guess()).statusCode, 401)
      }
    } else {
      t.equal(next.statusCode, 429)
      waits.push(retryAfter(next))
    }
  }

  t.strictSame(waits.slice(0, 13), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600])
  t.ok(waits.slice(12, -1).every(wait => wait === 3600))
  t.equal(waits.at(-1), DAY / 1000, 'the last one is a day without another try')
  clock.advance(DAY - 1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 429)
  await app.tokenAuth.passwordChanged('u-ann')
  t.equal(
    (await guess({ password: PASSWORD })).statusCode,
    200,
    'a password that was changed ends it'
  )
})

t.test('a stop is over when nobody has tried for a day', async t => {
  const { guess, storm, clock } = await anApp(t, { account: { freeAttempts: 3, maxAttempts: 3 } })
  t.strictSame(await storm(20), { 401: 3, 429: 17 })
  clock.advance(DAY - 1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 429)
  clock.advance(1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 200)
})

t.test('from one address a hundred failures in a quarter of an hour, whatever the accounts', async t => {
  const { guess, storm, clock } = await anApp(t)
  t.strictSame(await storm(150, i => ({ username: `nobody-${i}` })), { 401: 100, 429: 50 })
  const right = await guess({ password: PASSWORD })
  t.equal(right.statusCode, 429)
  t.equal(retryAfter(right), 900)
  t.equal(
    (await guess({ password: PASSWORD, from: '192.0.2.2' })).statusCode,
    200,
    'another address'
  )
  clock.advance(15 * MINUTE - 1)
  t.equal(
    (await guess({ password: PASSWORD })).statusCode,
    429,
    'what is refused does not make it longer'
  )
  clock.advance(1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 200)
})

t.test('successes never count: not of one after the other, and not of many at once', async t => {
  const { guess, storm } = await anApp(t)

  for (let i = 0; i < 150; i++) {
    t.equal((await guess({ password: PASSWORD })).statusCode, 200)
  }

  t.strictSame(await storm(150, () => ({ password: PASSWORD })), { 200: 150 })
  t.strictSame(await storm(10), { 401: 10 }, 'and all failures are left')
})

t.test('a known device counts by itself: strangers do not keep it out, nor does its address', async t => {
  const { guess, storm, events } = await anApp(t)
  const known = (await guess({ password: PASSWORD })).json<TokenResponse>().device_token ?? ''

  for (let round = 0; round < 3; round++) {
    await storm(150, i => ({ username: `nobody-${round}-${i}` }))
  }

  await storm(50, i => ({ from: `198.51.100.${i}` }))
  t.equal(
    (await guess({ password: PASSWORD })).statusCode,
    429,
    'the address, and the account, are stopped'
  )
  const again = await guess({ password: PASSWORD, token: known })
  t.equal(again.statusCode, 200)
  t.equal(again.json<TokenResponse>().device_token, known, 'it stays the same device')
  t.strictSame(
    await storm(40, () => ({ token: known })),
    { 401: 10, 429: 30 },
    'its own failures count'
  )
  t.match(events.at(-1), { name: 'login-throttled', limit: 'device', userId: 'u-ann' })
})

t.test('a device is known to the user alone who logged in on it, by a token that is ours', async t => {
  const { guess, storm } = await anApp(t)
  const ofBob =
    (await guess({ username: 'bob', password: PASSWORD })).json<TokenResponse>().device_token ?? ''
  const other = await anApp(t, {}, { options: { name: 'other' } })
  const ofOther = (await other.guess({ password: PASSWORD })).json<TokenResponse>().device_token ??
    ''
  await storm(20)
  const [id = '', mac = ''] = ofBob.split('.')

  for (
    const token of [
      ofBob,
      ofOther,
      '',
      '.',
      id,
      `${id}.`,
      `.${mac}`,
      `${id}.${'A'.repeat(43)}`,
      `${id}.${mac}.`,
      `${ofBob} `
    ]
  ) {
    t.equal(
      (await guess({ password: PASSWORD, token })).statusCode,
      429,
      `${token.length} characters`
    )
  }
})

t.test('a device stays known while the secret changes', async t => {
  const [older, newer] = [
    'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4',
    'Zt4Kw9Xe2Bq7Nf5Rm8Ys3Vd6Hc1Jg0Ua'
  ] as const
  const before = await anApp(t, {}, { options: { secret: older } })
  const { device_token: token = '' } = (await before.guess({ password: PASSWORD })).json<
    TokenResponse
  >()
  const { guess, storm } = await anApp(t, {}, { options: { secret: [newer, older] } })
  await storm(20)
  const answer = await guess({ password: PASSWORD, token })
  t.equal(answer.statusCode, 200)
  t.not(answer.json<TokenResponse>().device_token, token, 'and gets one by the new secret')
})

t.test('in a cookie: set with the login, kept over the logout, and in no JSON', async t => {
  const { app, storm } = await anApp(t, {}, { options: { refreshToken: { transport: 'both' } } })
  const headers = { 'x-token-transport': 'cookie' }
  const login = async (cookie?: string): Promise<LightMyRequestResponse> =>
    app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { ...headers, ...(cookie && { cookie }) },
      payload: { username: 'ann', password: PASSWORD }
    })
  const first = await login()
  t.notOk('device_token' in first.json())
  const cookie = first.cookies.find(({ name }) => name === '__Host-auth-device')
  t.match(cookie, {
    path: '/',
    httpOnly: true,
    secure: true,
    sameSite: 'Strict',
    maxAge: 15_552_000
  })
  const cookies = first.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const logout = await app.inject({
    method: 'POST',
    url: '/auth/logout',
    headers: { ...headers, cookie: cookies }
  })
  t.equal(logout.statusCode, 204)
  t.notOk(logout.cookies.some(({ name }) => name === '__Host-auth-device'))
  await storm(20, () => ({ from: '127.0.0.1' }))
  t.equal((await login()).statusCode, 429)
  t.equal((await login(`__Host-auth-device=${cookie?.value}`)).statusCode, 200)
})

t.test('an address is what Fastify says, IPv6 by its network; a header that anybody writes changes nothing', async t => {
  const { app, storm } = await anApp(t, { account: false, address: { maxAttempts: 5 } })
  const forwarded = async (i: number): Promise<number> =>
    (await app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress: '192.0.2.9',
      headers: {
        'x-forwarded-for': `203.0.113.${i}`,
        forwarded: `for=203.0.113.${i}`,
        'x-real-ip': `203.0.113.${i}`
      },
      payload: { username: 'ann', password: 'wrong' }
    })).statusCode
  const statuses = await Promise.all(Array.from({ length: 20 }, (_, i) => forwarded(i)))
  t.equal(statuses.filter(status => status === 401).length, 5)
  t.strictSame(await storm(20, i => ({ from: `2001:db8:0:7::${i.toString(16)}` })), {
    401: 5,
    429: 15
  })
  t.strictSame(
    await storm(20, i => ({ from: `2001:db8:0:${i + 100}::1` })),
    { 401: 20 },
    'twenty networks'
  )
  t.strictSame(
    await storm(10, i => ({ from: i % 2 === 0 ? '198.51.100.7' : '::ffff:198.51.100.7' })),
    { 401: 5, 429: 5 }
  )
})

t.test('behind a proxy that is trusted, the address is the client\'s', async t => {
  const { app } = await anApp(t, { account: false, address: { maxAttempts: 2 } }, {
    fastify: { trustProxy: '127.0.0.1' }
  })
  const guess = async (client: string): Promise<number> =>
    (await app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { 'x-forwarded-for': client },
      payload: { username: 'ann', password: 'wrong' }
    })).statusCode
  t.strictSame(
    [await guess('203.0.113.1'), await guess('203.0.113.1'), await guess('203.0.113.1')],
    [401, 401, 429]
  )
  t.equal(await guess('203.0.113.2'), 401)
})

t.test('names in other cases and forms of Unicode are the account that the app finds', async t => {
  const forms = [
    'josé',
    'jose\u0301',
    'JOSÉ',
    'José',
    ' josé',
    'josé ',
    'ｊｏｓé',
    'jo\u200bsé',
    'jose',
    'jos\u00e9\u0007',
    'JOSE\u0301'
  ]
  const key = (login: string): string =>
    login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '').toLowerCase()

  // As a database with a collation that takes all of them for one; and as one that compares bytes.
  for (
    const find of [(login: string) => key(login) === 'jose', (login: string) => login === 'josé']
  ) {
    for (const isThere of [true, false]) {
      const jose = { id: 'u-jose', username: 'josé', passwordHash: PASSWORD_HASH }
      const { storm } = await anApp(t, {}, {
        options: {
          users: {
            findByLogin: login => isThere && find(login) ? jose : null,
            findById: () => jose
          }
        }
      })
      const answers = await storm(
        110,
        i => ({ username: forms[i % forms.length] as string, from: `198.51.100.${i}` })
      )
      t.strictSame(
        answers,
        { 401: 10, 429: 100 },
        'whether it is there or not, and whatever the app takes for the same'
      )
    }
  }
})

t.test('an account that finds itself by two names has one count; other accounts have others', async t => {
  const ann = {
    id: 'u-ann',
    username: 'ann',
    email: 'ann@example.org',
    passwordHash: PASSWORD_HASH
  }
  const bob = { id: 'u-bob', username: 'bob', passwordHash: PASSWORD_HASH }
  const { storm, guess } = await anApp(t, {}, { users: [ann, bob] })
  const answers = await storm(
    40,
    i => ({ username: i % 2 === 0 ? 'ann' : 'ann@example.org', from: `198.51.100.${i}` })
  )
  t.strictSame(answers, { 401: 10, 429: 30 })
  t.equal((await guess({ username: 'bob', password: PASSWORD })).statusCode, 200)
  // An id that looks like a name, and a name that looks like an id, are two things.
  t.strictSame(await storm(20, i => ({ username: 'u-bob', from: `198.51.100.${i}` })), {
    401: 10,
    429: 10
  })
  t.equal((await guess({ username: 'bob', password: PASSWORD })).statusCode, 200)
})

t.test('known, unknown and disabled accounts are refused alike, and nothing is hashed then', async t => {
  const { storm, guess, users, app } = await anApp(t)
  users.set('u-dis', { id: 'u-dis', username: 'dis', disabled: true, passwordHash: PASSWORD_HASH })
  users.set('u-non', { id: 'u-non', username: 'non' })
  const answers: LightMyRequestResponse[] = []

  for (const username of ['ann', 'nobody', 'dis', 'non']) {
    t.strictSame(await storm(30, i => ({ username, from: `198.51.100.${i}` })), {
      401: 10,
      429: 20
    }, username)
    const answer = guess({ username })
    t.equal(app.tokenAuth.hashLoad().running, 0)
    answers.push(await answer)
  }

  const shown = answers.map(({ body, headers: { date, ...headers } }) => ({ body, headers }))

  for (const answer of shown) {
    t.strictSame(answer, shown[0])
  }
})

t.test('what could not be checked does not count', async t => {
  let failing = true
  const { guess, storm } = await anApp(t, {}, {
    options: {
      users: {
        findByLogin: () => ({ id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }),
        findById: () => null,
        present (user) {
          if (failing) {
            throw new Error('down')
          }

          return user
        }
      }
    }
  })

  for (let i = 0; i < 150; i++) {
    t.equal((await guess({ password: PASSWORD })).statusCode, 503)
  }

  failing = false
  t.strictSame(await storm(20), { 401: 10, 429: 10 })
})

t.test('a store of attempts that fails is 503: neither signed in, nor told that it was wrong', async t => {
  const memory = new MemoryAttempts()
  let broken: keyof AttemptStore | null = 'consume'
  const attempts = new Proxy(memory, {
    get: (_, verb: keyof AttemptStore) => (...values: unknown[]) => {
      if (verb === broken) {
        throw new Error('of a driver')
      }

      return (memory[verb] as (...values: unknown[]) => unknown).apply(memory, values)
    }
  })
  const { guess, refresh } = await anApp(t, { attempts })

  for (const password of [PASSWORD, 'wrong']) {
    const answer = await guess({ password })
    t.equal(answer.statusCode, 503)
    t.equal(answer.json().code, 'AUTH_STORE_UNAVAILABLE')
  }

  broken = 'reset'
  const login = await guess({ password: PASSWORD })
  t.equal(login.statusCode, 200, 'a count that stays keeps nobody out who was right')
  broken = 'consume'
  t.equal(
    (await refresh(login.json<TokenResponse>().refresh_token)).statusCode,
    200,
    'and sessions go on'
  )
})

t.test('refresh tokens that were never issued count by address; authentic ones, of any age, never do', async t => {
  const { app, refresh, guess, clock } = await anApp(t)
  const { refresh_token: first } = (await guess({ password: PASSWORD, from: '127.0.0.1' })).json<
    TokenResponse
  >()
  const statuses: number[] = []

  for (let i = 0; i < 120; i++) {
    statuses.push((await refresh(`forged-${i}`)).statusCode)
  }

  t.strictSame(statuses, [
    ...Array.from({ length: 100 }, () => 401),
    ...Array.from({ length: 20 }, () => 429)
  ])
  t.equal((await refresh('forged')).headers['retry-after'], '900')

  const storm = await Promise.all(Array.from({ length: 200 }, () => refresh(first)))
  t.ok(storm.every(({ statusCode }) => statusCode === 200), 'replays are never punished')
  t.equal(
    (await guess({ password: PASSWORD, from: '127.0.0.1' })).statusCode,
    200,
    'nor is a login from there'
  )
  await app.tokenAuth.revokeUser('u-ann')

  for (let i = 0; i < 150; i++) {
    t.equal(
      (await refresh(first)).json().code,
      'AUTH_REFRESH_REVOKED',
      'and what has ended is told so'
    )
  }

  clock.advance(15 * MINUTE)
  t.equal((await refresh('forged')).statusCode, 401)
})

t.test('with `throttle: false` nothing is counted, and no device is known', async t => {
  const { guess, storm } = await anApp(t, false)
  t.strictSame(await storm(150), { 401: 150 })
  t.notOk('device_token' in (await guess({ password: PASSWORD })).json())
})

t.test('each limit can be switched off', async t => {
  const byAddress = await anApp(t, { account: false })
  t.strictSame(await byAddress.storm(150), { 401: 100, 429: 50 })
  const byAccount = await anApp(t, { address: false })
  t.strictSame(await byAccount.storm(150, i => ({ username: `nobody-${i}` })), { 401: 150 })
  t.strictSame(await byAccount.storm(15), { 401: 10, 429: 5 })
})

t.test('the sweep forgets what is to be forgotten', async t => {
  const attempts = new MemoryAttempts()
  const { app, guess, clock } = await anApp(t, { attempts })
  await guess()
  clock.advance(16 * MINUTE)
  t.equal(await app.tokenAuth.sweep(), 1, 'the address')
  clock.advance(DAY)
  t.equal(await app.tokenAuth.sweep(), 2, 'the account, by its name and its id')
})

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`two instances on ${name} count together`, { skip }, async t => {
    const { attempts } = await open(t)
    const apps = [
      await anApp(t, { attempts: attempts() }),
      await anApp(t, { attempts: attempts() })
    ] as const

    const guess = async (i: number, username: string): Promise<number> => {
      const { statusCode } = await (apps[i % 2] as Guessing).guess({
        username,
        from: `198.51.100.${i}`
      })
      return statusCode
    }

    for (const username of ['ann', 'nobody']) {
      const statuses = await Promise.all(Array.from({ length: 101 }, (_, i) => guess(i, username)))
      t.equal(statuses.filter(status => status === 401).length, 10, username)
      t.equal(statuses.filter(status => status === 429).length, 91, username)
    }
  })
}

t.test('two server processes count together', async t => {
  const file = createSqliteFile()
  const servers = await Promise.all([startServer(file.path, true), startServer(file.path, true)])
  t.teardown(async () => {
    await Promise.all(servers.map(server => server.close()))
    file.remove()
  })

  const login = async (i: number, password: string): Promise<number> => {
    const answer = await fetch(`${servers[i % 2]?.url}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'ann', password })
    })
    await answer.arrayBuffer()
    return answer.status
  }

  const statuses = await Promise.all(Array.from({ length: 101 }, (_, i) => login(i, 'wrong')))
  t.equal(statuses.filter(status => status === 401).length, 10)
  t.equal(statuses.filter(status => status === 429).length, 91)
  t.equal(await login(0, PASSWORD), 429)
  t.equal(await login(1, PASSWORD), 429)
})
