import t from 'tap'
import { MemoryAttempts } from '../../src/stores/memory/index.js'
import { PASSWORD } from '../helpers/app.js'
import { bearer, createAccountApp, EMAIL, NEW_PASSWORD, readCode } from './account-app.js'

t.test('a link sets a new password and ends all sessions of its user only', async t => {
  const { request, post, login, refresh, writes, events } = await createAccountApp(t)
  const [ann, bob] = [await login(), await login('bob')]
  const { token, kind, to } = await request('/auth/password/forgot', { email: EMAIL })
  t.same([kind, to], ['resetPassword', EMAIL])
  const response = await post('/auth/password/reset', { token, password: NEW_PASSWORD })
  t.equal(response.statusCode, 204)
  t.equal(response.headers['cache-control'], 'no-store')
  t.same(writes, ['password u-ann'])
  t.same(readCode(await refresh(ann.refresh_token)), [401, 'AUTH_REFRESH_REVOKED'])
  t.equal((await refresh(bob.refresh_token)).statusCode, 200)
  t.match(events.filter(({ name }) => name.startsWith('password') || name.startsWith('session')), [
    { name: 'session-ended', userId: 'u-ann', reason: 'password-changed', actor: 'client' },
    { name: 'password-reset', userId: 'u-ann', address: '127.0.0.1' }
  ])
  const log = (password: string) => post('/auth/login', { email: EMAIL, password })
  t.equal((await log(PASSWORD)).statusCode, 401)
  t.equal((await log(NEW_PASSWORD)).statusCode, 200)
})

t.test('a repeat within a minute does not end the session of the new password', async t => {
  const { request, post, refresh, clock } = await createAccountApp(t)
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  const reset = (password: string) => post('/auth/password/reset', { token, password })
  t.equal((await reset(NEW_PASSWORD)).statusCode, 204)
  clock.advance(1000)
  const opened = await post('/auth/login', { email: EMAIL, password: NEW_PASSWORD })
  clock.advance(1000)
  t.equal((await reset(NEW_PASSWORD)).statusCode, 204)
  t.equal((await refresh(opened.json().refresh_token)).statusCode, 200)
  t.same(readCode(await reset('a third password')), [400, 'AUTH_ONE_TIME_USED'])
  clock.advance(60_000)
  t.same(readCode(await reset(NEW_PASSWORD)), [400, 'AUTH_ONE_TIME_USED'])
})

t.test('a used link accepts few guesses of the new password', async t => {
  const { request, post } = await createAccountApp(t)
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  const reset = (password: string) => post('/auth/password/reset', { token, password })
  await reset(NEW_PASSWORD)

  for (let i = 0; i < 5; i++) {
    t.same(readCode(await reset(`wrong password ${i}`)), [400, 'AUTH_ONE_TIME_USED'])
  }

  t.same(readCode(await reset(NEW_PASSWORD)), [400, 'AUTH_ONE_TIME_USED'])
})

t.test('a link is outdated after any other change of the password or the address', async t => {
  const { request, post, login, users } = await createAccountApp(t)
  const ann = users.get('u-ann') as { passwordHash: string, email: string }
  const changes: Array<[string, () => Promise<unknown> | unknown]> = [
    ['app', () => {
      ann.passwordHash += ' '
    }],
    ['address', () => {
      ann.email = 'new@example.org'
    }]
  ]
  const { passwordHash, email } = ann

  for (const [name, change] of changes) {
    const { token } = await request('/auth/password/forgot', { email: EMAIL })
    await change()
    const response = await post('/auth/password/reset', { token, password: NEW_PASSWORD })
    t.same(readCode(response), [400, 'AUTH_ONE_TIME_USED'], name)
    Object.assign(ann, { passwordHash, email })
  }

  const first = await request('/auth/password/forgot', { email: EMAIL })
  const second = await request('/auth/password/forgot', { email: EMAIL })
  await post('/auth/password/reset', { token: second.token, password: NEW_PASSWORD })
  const response = await post('/auth/password/reset', { token: first.token, password: PASSWORD })
  t.same(readCode(response), [400, 'AUTH_ONE_TIME_USED'], 'another link')
  const third = await request('/auth/password/forgot', { email: EMAIL })
  const { access_token: access } = (await post('/auth/login', {
    email: EMAIL,
    password: NEW_PASSWORD
  })).json()
  await post('/auth/password/change', {
    current_password: NEW_PASSWORD,
    new_password: PASSWORD
  }, bearer(access))
  const late = await post('/auth/password/reset', { token: third.token, password: NEW_PASSWORD })
  t.same(readCode(late), [400, 'AUTH_ONE_TIME_USED'], 'password/change')
  t.ok(await login())
})

t.test('a login that upgrades the hash ends open links', async t => {
  const { request, post, login, users } = await createAccountApp(t, {
    options: {
      users: {
        findByLogin: name => [...users.values()].find(({ username }) => username === name),
        findById: id => users.get(id),
        savePasswordHash (id, hash) {
          Object.assign(users.get(id) ?? {}, { passwordHash: hash })
        }
      }
    }
  })
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  await login()
  const response = await post('/auth/password/reset', { token, password: NEW_PASSWORD })
  t.same(readCode(response), [400, 'AUTH_ONE_TIME_USED'])
})

t.test('a password that breaks the rules does not use the link up', async t => {
  const { request, post, clock } = await createAccountApp(t)
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  const short = await post('/auth/password/reset', { token, password: 'short' })
  t.same(readCode(short), [400, 'AUTH_PASSWORD_REJECTED'])
  clock.advance(10 * 60_000)
  t.equal((await post('/auth/password/reset', { token, password: NEW_PASSWORD })).statusCode, 204)
})

t.test('a reset clears the throttle of the account', async t => {
  const { request, post } = await createAccountApp(t, {
    options: { throttle: { attempts: new MemoryAttempts(), account: { freeAttempts: 2 } } }
  })
  const log = (password: string) => post('/auth/login', { username: 'ann', password })
  await log('wrong')
  await log('wrong')
  t.equal((await log(PASSWORD)).statusCode, 429)
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  await post('/auth/password/reset', { token, password: NEW_PASSWORD })
  t.equal((await log(NEW_PASSWORD)).statusCode, 200)
})

t.test('password/change keeps this session and ends the others', async t => {
  const { post, login, get, refresh, writes } = await createAccountApp(t)
  const [own, other] = [await login(), await login()]
  const change = (body: object) => post('/auth/password/change', body, bearer(own.access_token))
  const passwords = { current_password: PASSWORD, new_password: NEW_PASSWORD }
  t.same(
    readCode(await change({ ...passwords, current_password: 'wrong' })),
    [401, 'AUTH_CREDENTIALS_REJECTED']
  )
  t.same(
    readCode(await change({ ...passwords, new_password: 'short' })),
    [400, 'AUTH_PASSWORD_REJECTED']
  )
  t.same(writes, [])
  t.equal((await change(passwords)).statusCode, 204)
  t.equal((await get('/protected', own.access_token)).statusCode, 200)
  t.equal((await refresh(own.refresh_token)).statusCode, 200)
  t.same(readCode(await refresh(other.refresh_token)), [401, 'AUTH_REFRESH_REVOKED'])
  t.same(
    readCode(await post('/auth/password/change', passwords)),
    [401, 'AUTH_ACCESS_MISSING']
  )
})

t.test('wrong current passwords are throttled like logins', async t => {
  const { post, login } = await createAccountApp(t, {
    options: { throttle: { attempts: new MemoryAttempts(), account: { freeAttempts: 3 } } }
  })
  const { access_token: access } = await login()
  const passwords = { current_password: 'wrong', new_password: NEW_PASSWORD }

  for (let i = 0; i < 3; i++) {
    const response = await post('/auth/password/change', passwords, bearer(access))
    t.equal(response.statusCode, 401)
  }

  const response = await post('/auth/password/change', passwords, bearer(access))
  t.same(readCode(response), [429, 'AUTH_TOO_MANY_ATTEMPTS'])
  t.equal((await post('/auth/login', { email: EMAIL, password: PASSWORD })).statusCode, 429)
})

t.test('of two concurrent changes, one wins', async t => {
  const { post, login, users, writes } = await createAccountApp(t)
  const { access_token: access } = await login()
  const responses = await Promise.all(
    ['first password', 'second password'].map(password =>
      post('/auth/password/change', {
        current_password: PASSWORD,
        new_password: password
      }, bearer(access))
    )
  )
  t.same(responses.map(({ statusCode }) => statusCode).sort(), [204, 401])
  t.same(writes, ['password u-ann'])
  t.ok(users.get('u-ann')?.passwordHash)
})

t.test('forgot responds equally for known, unknown and disabled users [75]', async t => {
  const { post, mails, users, settle } = await createAccountApp(t)
  Object.assign(users.get('u-bob') ?? {}, { disabled: true })
  const responses = []

  for (const email of [EMAIL, 'nobody@example.org', 'bob@example.org']) {
    const { statusCode, body, headers: { date, ...headers } } = await post(
      '/auth/password/forgot',
      { email }
    )
    responses.push({ statusCode, body, headers })
  }

  t.match(responses[0], { statusCode: 202, body: '' })
  t.same(responses[1], responses[0])
  t.same(responses[2], responses[0])
  await settle()
  t.same(mails.map(({ to }) => to), [EMAIL])
})

t.test('a callback that fails after the response is logged', async t => {
  const lines: string[] = []
  const { post, settle, app } = await createAccountApp(t, {
    fastify: { logger: { level: 'error', stream: { write: line => lines.push(line) } } },
    flows: {
      send: {
        async resetPassword () {
          throw new Error('no mail server')
        }
      }
    }
  })
  t.equal((await post('/auth/password/forgot', { email: EMAIL })).statusCode, 202)
  await settle()
  await app.close()
  t.match(JSON.parse(lines[0] as string), {
    msg: 'failed to send a message',
    message: 'resetPassword',
    cause: { message: 'no mail server' }
  })
  t.equal(lines.length, 1)
})
