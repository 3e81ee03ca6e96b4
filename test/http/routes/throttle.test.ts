import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { AttemptStore, TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { databases } from '../../helpers/databases/index.js'
import { createThrottledApp } from './guessing.js'
import type { Guessing } from './guessing.js'

const MINUTE = 60_000

const HOUR = 60 * MINUTE

const DAY = 24 * HOUR

function retryAfter (answer: LightMyRequestResponse): number {
  return Number(answer.headers['retry-after'])
}

t.test('10 of 101 concurrent attempts are verified, and a known device can log in', async t => {
  const { guess, storm, clock, events } = await createThrottledApp(t)
  const { device_token: token } = (await guess({ password: PASSWORD })).json<TokenResponse>()
  t.strictSame(await storm(101), { 401: 10, 429: 91 })
  const right = await guess({ password: PASSWORD })
  t.equal(right.statusCode, 429, 'from an unknown device')
  t.equal(right.json().code, 'AUTH_TOO_MANY_ATTEMPTS')
  t.equal(retryAfter(right), 1)
  t.equal((await guess({ password: PASSWORD, token })).statusCode, 200, 'from a known device')
  clock.advance(1000)
  t.equal((await guess({ password: PASSWORD })).statusCode, 200, 'from any device after the delay')
  t.equal(events.filter(({ name }) => name === 'login-rejected').length, 10)
  t.match(events.find(({ name }) => name === 'login-throttled'), {
    userId: 'u-ann',
    limit: 'account',
    address: '192.0.2.1'
  })
})

t.test('the delay grows to 1 hour, and 100 failures block the account', async t => {
  const { guess, clock, app } = await createThrottledApp(t)
  const waits: number[] = []

  for (let i = 0; i < 100; i++) {
    clock.advance(HOUR)
    t.equal((await guess()).statusCode, 401, `failure ${i + 1}`)
    const next = await guess({ password: PASSWORD })

    if (i < 9) {
      t.equal(next.statusCode, 200, 'nine failures block no login, and a login resets the count')

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

t.test('a blocked account is unblocked after a day without attempts', async t => {
  const { guess, storm, clock } = await createThrottledApp(t, {
    account: { freeAttempts: 3, maxAttempts: 3 }
  })
  t.strictSame(await storm(20), { 401: 3, 429: 17 })
  clock.advance(DAY - 1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 429)
  clock.advance(1)
  t.equal((await guess({ password: PASSWORD })).statusCode, 200)
})

t.test('an address is limited to 100 failures in 15 minutes', async t => {
  const { guess, storm, clock } = await createThrottledApp(t)
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

t.test('successful logins are not counted', async t => {
  const { guess, storm } = await createThrottledApp(t)

  for (let i = 0; i < 150; i++) {
    t.equal((await guess({ password: PASSWORD })).statusCode, 200)
  }

  t.strictSame(await storm(150, () => ({ password: PASSWORD })), { 200: 150 })
  t.strictSame(await storm(10), { 401: 10 }, 'and all failures are left')
})

t.test('an attempt that could not be verified is not counted', async t => {
  let failing = true
  const { guess, storm } = await createThrottledApp(t, {}, {
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

t.test('a failed attempt store results in 503', async t => {
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
  const { guess, refresh } = await createThrottledApp(t, { attempts })

  for (const password of [PASSWORD, 'wrong']) {
    const answer = await guess({ password })
    t.equal(answer.statusCode, 503)
    t.equal(answer.json().code, 'AUTH_STORE_UNAVAILABLE')
  }

  broken = 'reset'
  const login = await guess({ password: PASSWORD })
  t.equal(login.statusCode, 200, 'the remaining count does not block a correct password')
  broken = 'consume'
  t.equal(
    (await refresh(login.json<TokenResponse>().refresh_token)).statusCode,
    200,
    'and sessions go on'
  )
})

t.test('forged refresh tokens count by address, authentic ones never do', async t => {
  const { app, refresh, guess, clock } = await createThrottledApp(t)
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
  t.ok(storm.every(({ statusCode }) => statusCode === 200), 'replays do not count as failures')
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

t.test('throttle: false counts nothing and issues no device token', async t => {
  const { guess, storm } = await createThrottledApp(t, false)
  t.strictSame(await storm(150), { 401: 150 })
  t.notOk('device_token' in (await guess({ password: PASSWORD })).json())
})

t.test('each limit can be disabled', async t => {
  const byAddress = await createThrottledApp(t, { account: false })
  t.strictSame(await byAddress.storm(150), { 401: 100, 429: 50 })
  const byAccount = await createThrottledApp(t, { address: false })
  t.strictSame(await byAccount.storm(150, i => ({ username: `nobody-${i}` })), { 401: 150 })
  t.strictSame(await byAccount.storm(15), { 401: 10, 429: 5 })
})

t.test('the sweep deletes expired counts', async t => {
  const attempts = new MemoryAttempts()
  const { app, guess, clock } = await createThrottledApp(t, { attempts })
  await guess()
  clock.advance(16 * MINUTE)
  t.equal(await app.tokenAuth.sweep(), 1, 'the address')
  clock.advance(DAY)
  t.equal(await app.tokenAuth.sweep(), 2, 'the account, by its name and its id')
})

for (const [name, { open, skip = false }] of Object.entries(databases)) {
  t.test(`two instances on ${name} share their counts`, { skip }, async t => {
    const { attempts } = await open(t)
    const apps = [
      await createThrottledApp(t, { attempts: attempts() }),
      await createThrottledApp(t, { attempts: attempts() })
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
