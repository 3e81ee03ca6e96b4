import t from 'tap'
import type { LoginSubject } from '../../src/throttle/throttle.js'
import { MINUTE } from '../helpers/clock.js'
import { BY, countStates, createTestThrottle, endAll, RULE, settled } from './fixtures.js'
import type { TestThrottle } from './fixtures.js'

const TOO_MANY = { code: 'AUTH_TOO_MANY_ATTEMPTS' }

/** Lets as many logins fail as the account may try without a wait. */
async function block (test: TestThrottle, subject: Partial<LoginSubject> = {}): Promise<void> {
  const logins = Array.from({ length: RULE.freeAttempts }, () => test.login(subject))
  await settled()
  endAll(logins, 'wrong')
  await Promise.allSettled(logins.map(({ result }) => result))
}

t.test('spellings that a database may treat alike count as one name', async t => {
  const test = createTestThrottle()
  await block(test, { login: 'Zoë' })

  for (const login of ['Zoë', 'zoë', 'ZOE', ' zo\u200Be ', 'Ｚｏｅ', 'Zoe\u0308']) {
    await t.rejects(test.login({ login }).result, TOO_MANY, login)
  }

  const other = test.login({ login: 'zoo' })
  await settled()
  other.end('right')
  await t.resolves(other.result)
})

t.test('a letter that becomes two in upper case counts as both spellings', async t => {
  for (
    const [login, others] of [['strasse', ['straße', 'STRASSE', 'STRAẞE']], ['ﬁnn', [
      'FINN'
    ]]] as const
  ) {
    const test = createTestThrottle()
    await block(test, { login })

    for (const other of others) {
      await t.rejects(test.login({ login: other }).result, TOO_MANY, other)
    }
  }
})

t.test('concurrent attempts with two names of one user share its limit', async t => {
  const test = createTestThrottle()
  const logins = Array.from(
    { length: 20 },
    (_, index) =>
      test.login({ login: index % 2 === 0 ? 'ann' : 'ann@example.org', userId: 'u-ann' })
  )
  await settled()
  t.strictSame(countStates(logins), { checking: RULE.freeAttempts, waiting: 18 })

  endAll(logins, 'wrong')
  await settled(10)
  t.equal(logins.filter(login => login.isHidden()).length, RULE.freeAttempts)
  endAll(logins, 'wrong')
  const results = await Promise.allSettled(logins.map(({ result }) => result))
  t.ok(results.every(({ status }) => status === 'rejected'))
  t.match(test.emitted[0], { userId: 'u-ann', limit: 'account', realm: 'test' })
})

t.test('a second name of a blocked user behaves like the name of no user', async t => {
  const test = createTestThrottle()
  await block(test, { login: 'ann', userId: 'u-ann' })
  await t.rejects(test.login({ login: 'ann', userId: 'u-ann' }).result, TOO_MANY)
  const counts: number[] = []

  for (
    const subject of [{ login: 'ann@example.org', userId: 'u-ann' }, { login: 'no@example.org' }]
  ) {
    const isHidden = subject.userId !== undefined

    for (let attempt = 0; attempt < RULE.freeAttempts; attempt++) {
      const login = test.login(subject)
      await settled()
      t.equal(login.state(), 'checking')
      t.equal(login.isHidden(), isHidden, 'the password must not be verified')
      login.end('wrong')
      await t.rejects(login.result, { code: 'AUTH_CREDENTIALS_REJECTED' })
    }

    await t.rejects(test.login(subject).result, TOO_MANY)
    counts.push(test.emitted.length)
  }

  t.strictSame(counts, [4, 5], 'each hidden attempt has an event too')
  await test.throttle.resetUser('u-ann', ['ann', 'ann@example.org'])
  const login = test.login({ login: 'ann@example.org', userId: 'u-ann' })
  await settled()
  t.notOk(login.isHidden())
  login.end('right')
  t.equal(await login.result, 'signed in')
})

t.test('a call counts every key once, and the address first', async t => {
  const test = createTestThrottle({ address: { ...RULE, freeAttempts: 100 } })
  const logins = [
    test.login({ login: 'ann', userId: 'u-ann' }),
    test.login({ login: 'ANN', userId: 'u-ann' }),
    test.login({ login: 'nobody' })
  ]
  await settled()
  t.strictSame(test.consumed.map(keys => new Set(keys).size), [3, 3, 3], 'one call for an attempt')
  t.strictSame(test.consumed[0], test.consumed[1], 'two spellings have the same keys')
  t.equal(test.consumed[2]?.[0], test.consumed[0]?.[0], 'and the address comes first')
  endAll(logins, 'right')
  await Promise.all(logins.map(({ result }) => result))
})

t.test('a blocked address counts against no account', async t => {
  const test = createTestThrottle({ address: RULE })
  await block(test, { login: 'bob' })

  for (let attempt = 0; attempt < 5; attempt++) {
    await t.rejects(test.login({ login: 'ann' }).result, TOO_MANY)
  }

  t.match(test.emitted.at(-1), { limit: 'address' })
  const elsewhere = test.login({ login: 'ann' }, { ...BY, address: '198.51.100.7' })
  await settled()
  t.equal(elsewhere.state(), 'checking')
  elsewhere.end('right')
  await elsewhere.result
})

t.test('a blocked attempt waits for the running ones, and follows one that succeeds', async t => {
  const test = createTestThrottle()
  const running = [test.login({}), test.login({})] as const
  const blocked = test.login({})
  await settled()
  t.strictSame(countStates([...running, blocked]), { checking: 2, waiting: 1 })

  running[0].end('right')
  await settled()
  t.equal(blocked.state(), 'waiting', 'the other one may still fail')
  running[1].end('right')
  await settled()
  t.equal(blocked.state(), 'checking')
  blocked.end('right')
  t.equal(await blocked.result, 'signed in')
  t.strictSame(test.emitted, [])
})

t.test('a blocked attempt follows a running one that the store refunds', async t => {
  const test = createTestThrottle()
  const running = [test.login({}), test.login({})]
  const blocked = test.login({})
  await settled()
  endAll(running, 'failed')
  await settled()
  t.equal(blocked.state(), 'checking')
  blocked.end('right')
  await blocked.result
  await Promise.allSettled(running.map(({ result }) => result))
})

t.test('a blocked attempt is rejected when the running ones have failed', async t => {
  const test = createTestThrottle()
  const running = [test.login({}), test.login({})]
  const blocked = test.login({})
  await settled()
  endAll(running, 'wrong')
  await t.rejects(blocked.result, { ...TOO_MANY, retryAfter: 60 })
  t.strictSame(test.emitted, [{
    realm: 'test',
    actor: 'client',
    at: test.clock(),
    userId: null,
    limit: 'account',
    until: test.clock() + MINUTE,
    ...BY
  }])
  await Promise.allSettled(running.map(({ result }) => result))
})

t.test('a blocked attempt does not wait for running attempts of other keys', async t => {
  const test = createTestThrottle({ address: { ...RULE, freeAttempts: 100 } })
  await block(test)
  const other = test.login({ login: 'bob' })
  await settled()
  await t.rejects(test.login({}).result, TOO_MANY)
  t.equal(other.state(), 'checking')
  other.end('right')
  await other.result
})

t.test('blocked attempts that see each other are all rejected after one call', async t => {
  const test = createTestThrottle()
  await block(test)
  test.consumed.length = 0
  const logins = Array.from({ length: 50 }, () => test.login({}))
  await settled()
  t.strictSame(countStates(logins), { rejected: 50 })
  t.equal(test.consumed.length, 50)
})

t.test('attempts that wait for one that fails end, however many they are', async t => {
  const test = createTestThrottle()
  const logins = Array.from({ length: 100 }, () => test.login({}))
  await settled()
  endAll(logins, 'wrong')
  await settled(20)
  t.strictSame(countStates(logins), { rejected: 100 })
  t.ok(test.consumed.length <= 200, `${test.consumed.length} calls`)
})

t.test('an attempt that the store does not count makes no other one wait', async t => {
  const test = createTestThrottle()
  await block(test)
  const { consume } = test.attempts

  test.attempts.consume = async () => {
    throw new Error('no connection')
  }

  await t.rejects(test.login({}).result, { message: 'no connection' })
  test.attempts.consume = consume
  await t.rejects(test.login({}).result, TOO_MANY)
})

t.test('a known device has its own count until the password changes', async t => {
  const test = createTestThrottle()
  const subject = {
    login: 'ann',
    userId: 'u-ann',
    passwordHash: 'hash',
    deviceToken: null
  }
  const deviceToken = test.throttle.issueDeviceToken('u-ann', 'hash', subject)
  await block(test, subject)
  await t.rejects(test.login(subject).result, TOO_MANY)

  const known = test.login({ ...subject, deviceToken })
  await settled()
  known.end('right')
  await t.resolves(known.result)

  const changed = { ...subject, passwordHash: 'new hash', deviceToken }
  await t.rejects(test.login(changed).result, TOO_MANY, 'no longer a known device')
  t.match(test.emitted.at(-1), { limit: 'account' })
  await t.rejects(test.login({ ...changed, passwordHash: null }).result, TOO_MANY)
})

t.test('a known device keeps its ID when the login upgrades the hash', async t => {
  const { throttle } = createTestThrottle()
  const subject = { login: 'ann', userId: 'u-ann', passwordHash: 'weak', deviceToken: null }
  const first = throttle.issueDeviceToken('u-ann', 'weak', subject)
  const second = throttle.issueDeviceToken('u-ann', 'strong', { ...subject, deviceToken: first })
  const getId = (token: string): string | undefined => token.split('.')[0]
  t.equal(getId(second), getId(first))
  t.not(second, first)
})

t.test('all known devices of a user share one more count', async t => {
  const test = createTestThrottle()
  const subject = { login: 'ann', userId: 'u-ann', passwordHash: 'hash', deviceToken: null }
  const issue = (): string => test.throttle.issueDeviceToken('u-ann', 'hash', subject)
  const devices = Array.from({ length: RULE.freeAttempts }, issue)

  const end = async (deviceToken: string, how: 'right' | 'wrong'): Promise<void> => {
    const login = test.login({ ...subject, deviceToken })
    await settled()
    login.end(how)
    await login.result.catch(() => {})
  }

  for (const deviceToken of devices) {
    await end(deviceToken, 'wrong')
  }

  await t.rejects(test.login({ ...subject, deviceToken: issue() }).result, TOO_MANY)
  t.match(test.emitted.at(-1), { limit: 'device' })
  await test.throttle.resetUser('u-ann', ['ann'])
  await end(devices[0] as string, 'wrong')
  t.equal(test.emitted.length, 1)
  await t.rejects(
    test.login({ ...subject, deviceToken: devices[0] as string }).result,
    TOO_MANY,
    'its own count remains'
  )
  await end(devices[1] as string, 'right')
  await end(devices[1] as string, 'wrong')
  t.equal(test.emitted.length, 2, 'a successful login resets the shared count')
})

t.test('an attempt of a client that has disconnected is given up before it counts', async t => {
  const test = createTestThrottle()
  const controller = new AbortController()
  const running = [test.login({}), test.login({})]
  const waiting = test.login({ signal: controller.signal })
  await settled()
  controller.abort()
  await t.rejects(test.login({ signal: controller.signal }).result, {
    code: 'AUTH_REQUEST_INVALID'
  })
  t.equal(test.consumed.length, 3)
  endAll(running, 'right')
  await t.rejects(waiting.result, { code: 'AUTH_REQUEST_INVALID' })
  t.equal(test.consumed.length, 3)
})
