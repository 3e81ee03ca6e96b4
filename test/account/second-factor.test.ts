import t from 'tap'
import { PASSWORD } from '../helpers/app.js'
import { createBreakableStore } from '../helpers/broken-store.js'
import { MINUTE, SECOND } from '../helpers/clock.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { decode, getCode, open, TOTP_SECRET } from './second-factor-app.js'
import type { FactorUser } from './second-factor-app.js'

t.test('a right password gets a ticket and the methods, and no session', async t => {
  const { app, first, events } = await open(t)
  const response = await first()
  t.equal(response.statusCode, 401)
  const { ticket, ...rest } = response.json()
  t.strictSame(rest, {
    statusCode: 401,
    code: 'AUTH_SECOND_FACTOR_REQUIRED',
    error: 'Unauthorized',
    message: 'Login requires a second factor',
    methods: ['totp', 'recovery']
  })
  t.match(ticket, /^[\w-]+\.[\w-]+\.[\w-]+$/)
  t.equal(response.headers['x-auth-error'], 'AUTH_SECOND_FACTOR_REQUIRED')
  t.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
  t.equal(response.headers['cache-control'], 'no-store')
  t.equal(Number(response.headers['content-length']), Buffer.byteLength(response.body))
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
  t.strictSame(events, [])
})

t.test('a ticket is neither an access token nor a refresh token [79]', async t => {
  const { get, refresh, ticket, post } = await open(t)
  const token = await ticket()
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_INVALID')
  const headers = { authorization: `Bearer ${token}` }
  const elevated = await post('/auth/elevate', { password: PASSWORD }, headers)
  t.equal(elevated.json().code, 'AUTH_ACCESS_INVALID')
  t.equal((await refresh(token)).json().code, 'AUTH_REFRESH_INVALID')
})

t.test('a wrong password does not show that a user has a second factor', async t => {
  const { first, post } = await open(t)
  const wrong = await first({ password: 'wrong' })
  t.equal(wrong.json().code, 'AUTH_CREDENTIALS_REJECTED')
  t.equal(wrong.body, (await post('/auth/login', { username: 'x', password: 'wrong' })).body)
})

t.test('a user without a second factor logs in with a password', async t => {
  const { login } = await open(t)
  t.strictSame(decode((await login('bob')).access_token)['amr'], ['pwd'])
})

t.test('a TOTP code completes the login with the settings of the first request', async t => {
  const { app, clock, first, second, events, refresh, get } = await open(t)
  const { ticket } = (await first({ device: 'phone' })).json()
  clock.advance(MINUTE)
  const response = await second({ ticket, method: 'totp', code: getCode(clock()) })
  t.equal(response.statusCode, 200)
  const { access_token: token, refresh_token: refreshToken, user } = response.json()
  t.strictSame(user, { id: 'u-ann', username: 'ann', email: 'ann@example.org' })
  t.match(decode(token), { amr: ['pwd', 'otp', 'mfa'], auth_time: Math.floor(clock() / 1000) })
  const [session] = await app.tokenAuth.listSessions('u-ann')
  t.equal(session?.device.label, 'phone')
  t.strictSame(events.map(({ name }) => name), ['login'])
  t.equal((await get('/pay', token)).statusCode, 200)
  const next = (await refresh(refreshToken)).json().access_token
  t.strictSame(decode(next)['amr'], ['pwd', 'otp', 'mfa'])
})

t.test('a code and a ticket count once', async t => {
  const { clock, ticket, second } = await open(t)
  const [one, two] = [await ticket(), await ticket()]
  const code = getCode(clock())
  t.equal((await second({ ticket: one, method: 'totp', code })).statusCode, 200)
  const again = await second({ ticket: two, method: 'totp', code })
  t.match(again.json(), { statusCode: 401, code: 'AUTH_SECOND_FACTOR_REJECTED' })
  clock.advance(30 * SECOND)
  const next = getCode(clock())
  const used = await second({ ticket: one, method: 'totp', code: next })
  t.equal(used.json().code, 'AUTH_ONE_TIME_USED')
})

t.test('a wrong code is reported and opens no session', async t => {
  const { app, ticket, second, events } = await open(t)
  const response = await second({ ticket: await ticket(), method: 'totp', code: '000000' })
  t.equal(response.json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  t.match(events, [{ name: 'second-factor-failed', userId: 'u-ann', method: 'totp' }])
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
})

t.test('ten wrong codes throttle although the password is right', async t => {
  const { clock, ticket, second } = await open(t)
  const codes: string[] = []

  for (let i = 0; i < 10; i++) {
    const body = { ticket: await ticket(), method: 'totp', code: '000000' }
    codes.push((await second(body)).json().code)
  }

  t.strictSame(new Set(codes), new Set(['AUTH_SECOND_FACTOR_REJECTED']))
  const right = { ticket: await ticket(), method: 'totp', code: getCode(clock()) }
  const response = await second(right)
  t.match(response.json(), { statusCode: 429, code: 'AUTH_TOO_MANY_ATTEMPTS' })
  t.equal(response.headers['retry-after'], '1')
  clock.advance(SECOND)
  t.equal((await second(right)).statusCode, 200)
})

t.test('wrong codes for an address do not throttle the user whose ID it contains', async t => {
  const { clock, post, ticket, second } = await open(t, {}, {
    flows: { send: { signInCode: () => {} }, sendLimits: { account: false } }
  })

  for (const email of ['u-ann', 'second:u-ann', 'second-factor:u-ann']) {
    for (let i = 0; i < 10; i++) {
      const { challenge } = (await post('/auth/sign-in/code', { email })).json()
      const guess = { challenge, email, code: '000000x' }
      t.equal((await post('/auth/sign-in/redeem', guess)).json().code, 'AUTH_ONE_TIME_INVALID')
    }
  }

  const right = { ticket: await ticket(), method: 'totp', code: getCode(clock()) }
  t.equal((await second(right)).statusCode, 200)
})

t.test('users whose IDs differ in case do not share their wrong codes', async t => {
  const { clock, users, first, ticket, second } = await open(t)
  const ann = users.get('u-ann') as FactorUser
  users.set('U-Ann', { ...ann, id: 'U-Ann', username: 'other', email: 'other@example.org' })

  for (let i = 0; i < 10; i++) {
    const { ticket } = (await first({ username: 'other' })).json()
    const response = await second({ ticket, method: 'totp', code: '000000' })
    t.equal(response.json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  }

  const right = { ticket: await ticket(), method: 'totp', code: getCode(clock()) }
  t.equal((await second(right)).statusCode, 200)
})

t.test('a ticket accepts five wrong codes', async t => {
  const { clock, ticket, second } = await open(t)
  const body = { ticket: await ticket(), method: 'totp' }

  for (let i = 0; i < 5; i++) {
    t.equal((await second({ ...body, code: '000000' })).json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  }

  t.equal((await second({ ...body, code: getCode(clock()) })).json().code, 'AUTH_ONE_TIME_USED')
})

t.test('a ticket expires after five minutes, or when the password changes', async t => {
  const { clock, users, ticket, second } = await open(t)
  const expired = await ticket()
  clock.advance(5 * MINUTE + SECOND)
  const code = getCode(clock())
  t.equal(
    (await second({ ticket: expired, method: 'totp', code })).json().code,
    'AUTH_ONE_TIME_EXPIRED'
  )
  const outdated = await ticket()
  Object.assign(users.get('u-ann') ?? {}, { passwordHash: '$argon2id$another' })
  t.equal(
    (await second({ ticket: outdated, method: 'totp', code })).json().code,
    'AUTH_ONE_TIME_USED'
  )
})

t.test('a ticket of a disabled user, or of another purpose, is rejected', async t => {
  const { app, clock, users, ticket, second } = await open(t)
  const other = await app.tokenAuth.oneTimeTokens.create({
    purpose: 'invitation',
    subject: 'u-ann',
    lifetime: '5m'
  })
  const code = getCode(clock())
  const wrong = await second({ ticket: other.token, method: 'totp', code })
  t.equal(wrong.json().code, 'AUTH_ONE_TIME_INVALID')
  const ofDisabled = await ticket()
  Object.assign(users.get('u-ann') ?? {}, { disabled: true })
  const disabled = await second({ ticket: ofDisabled, method: 'totp', code })
  t.equal(disabled.json().code, 'AUTH_ONE_TIME_USED')
})

t.test('a recovery code completes one login', async t => {
  const { app, users, ticket, second } = await open(t)
  const { codes, hashes } = app.accountFlows.createRecoveryCodes('u-ann')
  Object.assign(users.get('u-ann') ?? {}, { recoveryHashes: [...hashes] })
  const body = { method: 'recovery', code: codes[3]?.toLowerCase() }
  const response = await second({ ticket: await ticket(), ...body })
  t.strictSame(decode(response.json().access_token)['amr'], ['pwd', 'otp', 'mfa'])
  t.equal(users.get('u-ann')?.recoveryHashes?.length, 9)
  const again = await second({ ticket: await ticket(), ...body })
  t.equal(again.json().code, 'AUTH_SECOND_FACTOR_REJECTED')
})

t.test('a method that the user has turned off is rejected', async t => {
  const { clock, users, ticket, second } = await open(t)
  const body = { ticket: await ticket(), method: 'totp', code: getCode(clock()) }
  Object.assign(users.get('u-ann') ?? {}, { factors: ['recovery'] })
  t.equal((await second(body)).json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  t.equal((await second({ ...body, method: 'sms' })).statusCode, 400)
})

t.test('a ticket remains valid if the store fails', async t => {
  const breakable = createBreakableStore(new MemoryStore())
  const { clock, ticket, second } = await open(t, {}, { store: breakable.store })
  const body = { ticket: await ticket(), method: 'totp' }
  breakable.break('throws', ['create'])
  t.equal((await second({ ...body, code: getCode(clock()) })).statusCode, 503)
  breakable.break(null)
  clock.advance(30 * SECOND)
  t.equal((await second({ ...body, code: getCode(clock()) })).statusCode, 200)
})

t.test('a callback that fails or returns another type results in 503', async t => {
  for (
    const secondFactors of [
      () => Promise.reject(new Error('down')),
      () => 'totp' as unknown as ['totp'],
      () => ['sms'] as unknown as ['totp'],
      () => undefined as unknown as [],
      () => null as unknown as []
    ]
  ) {
    const { first } = await open(t, {}, {
      flows: { users: { secondFactors, findTotpSecret: () => TOTP_SECRET }, send: {} }
    })
    t.equal((await first()).statusCode, 503)
  }

  const { ticket, second } = await open(t, {}, {
    flows: {
      users: {
        secondFactors: () => ['recovery'],
        useRecoveryCode: () => ({ rowCount: 0 }) as unknown as boolean
      },
      send: {}
    }
  })
  const body = { ticket: await ticket(), method: 'recovery', code: 'X' }
  t.equal((await second(body)).statusCode, 503)
})

t.test('a sign-in by link requires the second factor', async t => {
  const { app, clock, post, links, second } = await open(t)
  await post('/auth/sign-in/link', { email: 'ann@example.org' })
  await new Promise(resolve => setTimeout(resolve, 50))
  const redeemed = await post('/auth/sign-in/redeem', { token: links[0], device: 'tablet' })
  t.match(redeemed.json(), { code: 'AUTH_SECOND_FACTOR_REQUIRED', methods: ['totp', 'recovery'] })
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
  const { ticket } = redeemed.json()
  const response = await second({ ticket, method: 'totp', code: getCode(clock()) })
  t.strictSame(decode(response.json().access_token)['amr'], ['otp', 'mfa'])
})

t.test('elevate requires the second factor too', async t => {
  const { app, clock, post, get } = await open(t)
  const opened = await app.tokenAuth.openSession('u-ann', { headers: {} })
  const headers = { authorization: `Bearer ${opened.access_token}` }
  clock.advance(10 * MINUTE)
  const missing = await post('/auth/elevate', { password: PASSWORD }, headers)
  t.match(missing.json(), { statusCode: 401, code: 'AUTH_SECOND_FACTOR_REQUIRED' })
  t.strictSame(missing.json().methods, ['totp', 'recovery'])
  t.notOk('ticket' in missing.json())
  const answer = { password: PASSWORD, method: 'totp', code: getCode(clock()) }
  const wrong = await post('/auth/elevate', { ...answer, code: '000000' }, headers)
  t.equal(wrong.json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  const response = await post('/auth/elevate', answer, headers)
  const { access_token: token } = response.json()
  t.strictSame(decode(token)['amr'], ['pwd', 'otp', 'mfa'])
  t.equal((await get('/pay', token)).statusCode, 200)
  t.equal((await post('/auth/elevate', answer, headers)).statusCode, 401, 'a code counts once')
})

t.test('a new secret is confirmed by a code, which cannot log in', async t => {
  const { app, clock, ticket, second, users } = await open(t)
  const { accountFlows } = app
  const request = { headers: {} }
  const { secret } = await accountFlows.createTotp({ label: 'ann', issuer: 'Example' })
  t.notOk(await accountFlows.confirmTotp('u-ann', { secret, code: '000000' }, request))
  const code = getCode(clock(), secret)
  t.ok(await accountFlows.confirmTotp('u-ann', { secret, code }, request))
  t.notOk(await accountFlows.confirmTotp('u-ann', { secret, code }, request), 'once')
  Object.assign(users.get('u-ann') ?? {}, { totpSecret: secret })
  const response = await second({ ticket: await ticket(), method: 'totp', code })
  t.equal(response.json().code, 'AUTH_SECOND_FACTOR_REJECTED')
  await t.rejects(accountFlows.confirmTotp('nobody', { secret, code }, request), /unknown/)
})
