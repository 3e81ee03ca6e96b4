import { hashSync } from '@node-rs/argon2'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { Browser, sameOrigin } from '../routes/browser.js'

interface Subject extends TestApp {
  verify(login: string, password?: string): Promise<unknown>
}

async function open (t: Test, options: Partial<TokenAuthOptions> = {}): Promise<Subject> {
  const test = await createTestApp({
    options,
    after: app => {
      app.post<{ Body: { login: string, password: string } }>(
        '/verify',
        async request => ({ id: (await app.tokenAuth.verifyLogin(request.body, request)).id })
      )
    }
  })
  t.teardown(() => test.app.close())
  const request = { ip: '192.0.2.1', headers: {} }

  return {
    ...test,
    verify: (login, password = PASSWORD) =>
      test.app.tokenAuth.verifyLogin({ login, password }, request)
  }
}

t.test('verifyLogin returns the record of the user and opens no session', async t => {
  const { app, verify, users, events } = await open(t)
  t.equal(await verify('ann'), users.get('u-ann'))
  t.strictSame(await app.tokenAuth.listSessions('u-ann'), [])
  t.strictSame(events, [])
})

t.test('verifyLogin rejects like the login route', async t => {
  const { verify, users, events } = await open(t)
  Object.assign(users.get('u-bob') ?? {}, { disabled: true })

  for (const [login, password] of [['ann', 'wrong'], ['nobody', PASSWORD], ['bob', PASSWORD]]) {
    await t.rejects(verify(login as string, password), { code: 'AUTH_CREDENTIALS_REJECTED' })
  }

  t.strictSame(
    events.map(event => event.name === 'login-rejected' && event.reason),
    ['wrong-password', 'unknown-user', 'disabled']
  )
})

t.test('verifyLogin and the login route share one limit', async t => {
  const { verify, post, clock } = await open(t, { throttle: {} })

  for (let i = 0; i < 10; i++) {
    await t.rejects(verify('ann', 'wrong'), { code: 'AUTH_CREDENTIALS_REJECTED' })
  }

  await t.rejects(verify('ann'), { code: 'AUTH_TOO_MANY_ATTEMPTS', retryAfter: 1 })
  const credentials = { username: 'ann', password: PASSWORD }
  t.equal((await post('/auth/login', credentials)).statusCode, 429)
  clock.advance(1000)
  t.match(await verify('ann'), { id: 'u-ann' })
})

t.test('verifyLogin knows a device by its cookie or its token', async t => {
  const test = await open(t, { throttle: {}, refreshToken: { transport: 'cookie' } })
  const browser = new Browser(test)
  await browser.logIn()
  const deviceToken = browser.jar.get('__Host-auth-device') ?? ''
  t.ok(deviceToken)

  for (let i = 0; i < 10; i++) {
    await t.rejects(test.verify('ann', 'wrong'))
  }

  const credentials = { login: 'ann', password: PASSWORD }
  t.equal((await test.post('/verify', credentials, sameOrigin)).statusCode, 429)
  t.equal((await browser.send('POST', '/verify', credentials)).statusCode, 200)
  t.equal((await test.post('/verify', { ...credentials, deviceToken })).statusCode, 200)
})

t.test('verifyLogin replaces a weak hash', async t => {
  const saved: string[][] = []
  const test: Subject = await open(t, {
    users: {
      findByLogin: login => test.users.get(`u-${login}`),
      findById: id => test.users.get(id),
      savePasswordHash: (...args) => saved.push(args)
    }
  })
  const weak = hashSync(PASSWORD, { memoryCost: 32, timeCost: 1 })
  Object.assign(test.users.get('u-ann') ?? {}, { passwordHash: weak })
  await test.verify('ann')
  t.match(saved, [['u-ann', /^\$argon2id/, weak]])
})

t.test('verifyLogin rejects arguments of the wrong type', async t => {
  const { app } = await open(t)
  const { verifyLogin } = app.tokenAuth
  const request = { headers: {} }
  const wrong = [{ login: 1, password: 'x' }, { login: 'ann' }, { login: 'ann', password: null }]

  for (const credentials of wrong) {
    await t.rejects(verifyLogin(credentials as never, request), TypeError)
  }

  const unknown = { login: 'ann', password: 'x', user: 1 }
  await t.rejects(verifyLogin(unknown as never, request), /unknown option "verifyLogin.user"/)
  await t.rejects(verifyLogin({ login: 'ann', password: 'x' }, {} as never), TypeError)
})
