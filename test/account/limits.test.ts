import t from 'tap'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { bearer, createAccountApp, EMAIL, readCode } from './account-app.js'
import type { AccountUser } from './account-app.js'

const TOO_MANY = [429, 'AUTH_TOO_MANY_ATTEMPTS']

t.test('an account gets ten messages in an hour, known or unknown', async t => {
  const { post, mails, settle, clock } = await createAccountApp(t)

  for (const email of [EMAIL, 'nobody@example.org']) {
    const paths = ['password/forgot', 'sign-in/link']

    for (let i = 0; i < 10; i++) {
      const spelling = i % 3 === 0 ? email.toUpperCase() : email
      const response = await post(`/auth/${paths[i % 2]}`, { email: spelling })
      t.equal(response.statusCode, 202)
    }

    const response = await post('/auth/sign-in/code', { email })
    t.same(readCode(response), TOO_MANY)
    t.equal(response.headers['retry-after'], '3600')
  }

  await settle()
  t.ok(mails.length > 0)
  clock.advance(3_600_000)
  t.equal((await post('/auth/sign-in/code', { email: EMAIL })).statusCode, 202)
})

t.test('an address gets limited messages over all accounts', async t => {
  const { post } = await createAccountApp(t, {
    flows: { sendLimits: { address: { maxAttempts: 3 } } }
  })

  for (const name of ['a', 'b', 'c']) {
    const response = await post('/auth/password/forgot', { email: `${name}@example.org` })
    t.equal(response.statusCode, 202)
  }

  t.same(readCode(await post('/auth/password/forgot', { email: EMAIL })), TOO_MANY)
})

t.test('verification messages are limited by user', async t => {
  const { post, login } = await createAccountApp(t, {
    flows: { sendLimits: { account: { maxAttempts: 1, window: '1m' }, address: false } }
  })
  const headers = bearer((await login()).access_token)
  t.equal((await post('/auth/email/verification', {}, headers)).statusCode, 202)
  t.same(readCode(await post('/auth/email/verification', {}, headers)), TOO_MANY)
  const other = bearer((await login('bob')).access_token)
  t.equal((await post('/auth/email/verification', {}, other)).statusCode, 202)
})

t.test('limits can be disabled', async t => {
  const { post } = await createAccountApp(t, {
    flows: { sendLimits: { account: false, address: false } }
  })

  for (let i = 0; i < 120; i++) {
    const { statusCode } = await post('/auth/password/forgot', { email: EMAIL })

    if (statusCode !== 202) {
      t.fail(String(statusCode))
    }
  }
})

t.test('a message is not sent if the attempt store fails', async t => {
  const attempts = new MemoryAttempts()
  const { post, mails, settle } = await createAccountApp(t, {
    options: { throttle: { attempts } }
  })

  attempts.consume = async () => {
    throw new Error('down')
  }

  t.same(
    readCode(await post('/auth/password/forgot', { email: EMAIL })),
    [503, 'AUTH_STORE_UNAVAILABLE']
  )
  await settle()
  t.same(mails, [])
})

// Such an app delivers the mails for ann+1@example.org to ann.
const aliases = (users: Map<string, AccountUser>) => (email: string) =>
  [...users.values()].find(user => user.email === email.replace(/\+\d+@/, '@'))

t.test('spellings of an address that find one user share its limit of messages', async t => {
  const users = new Map<string, AccountUser>()
  const mails: string[] = []
  const world = await createAccountApp(t, {
    flows: {
      users: { findByEmail: aliases(users) },
      send: { signInLink: ({ token }) => mails.push(token) }
    }
  })
  world.users.forEach((user, id) => users.set(id, user))

  for (let i = 0; i < 15; i++) {
    const { statusCode } = await world.post('/auth/sign-in/link', { email: `ann+${i}@example.org` })
    t.equal(statusCode, 202)
    await world.settle()
  }

  t.equal(mails.length, 10)
})

t.test('spellings of an address that find one user share its limit of guesses', async t => {
  const users = new Map<string, AccountUser>()
  const codes: string[] = []
  const world = await createAccountApp(t, {
    flows: {
      users: { findByEmail: aliases(users) },
      send: { signInCode: ({ code }) => codes.push(code) },
      sendLimits: { account: false }
    }
  })
  world.users.forEach((user, id) => users.set(id, user))

  const request = async (email: string) => {
    const { challenge } = (await world.post('/auth/sign-in/code', { email })).json()
    await world.settle()
    return { challenge, email, code: codes.at(-1) as string }
  }

  const redeem = async (body: object) => readCode(await world.post('/auth/sign-in/redeem', body))
  const invalid = [400, 'AUTH_ONE_TIME_INVALID']
  const first = await request('ann+0@example.org')
  t.same(await redeem({ ...first, email: 'ann+1@example.org' }), invalid, 'another spelling')
  t.same(await redeem(first), [200, undefined])

  for (let i = 0; i < 10; i++) {
    const { code, ...rest } = await request(`ann+${i}@example.org`)
    t.same(await redeem({ ...rest, code: code === '000000' ? '000001' : '000000' }), invalid)
  }

  t.same(await redeem(await request('ann+99@example.org')), invalid, 'blocked like a wrong code')
  world.clock.advance(2000)
  t.same(await redeem(await request('ann+99@example.org')), [200, undefined])
})
