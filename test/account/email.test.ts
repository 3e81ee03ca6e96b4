import t from 'tap'
import { bearer, createAccountApp, EMAIL, readCode } from './account-app.js'

t.test('a link verifies the address of the user', async t => {
  const { request, post, login, users, writes, events } = await createAccountApp(t)
  const { access_token: token } = await login()
  const mail = await request('/auth/email/verification', {}, bearer(token))
  t.match(mail, { kind: 'verifyEmail', to: EMAIL })
  t.equal(users.get('u-ann')?.verified, undefined)
  const response = await post('/auth/email/verify', { token: mail.token })
  t.equal(response.statusCode, 204)
  t.equal(response.headers['cache-control'], 'no-store')
  t.equal(users.get('u-ann')?.verified, EMAIL)
  t.same(writes, ['verified u-ann'])
  t.match(events.slice(1), [
    { name: 'link-sent', userId: 'u-ann', purpose: 'verify-email', actor: 'client' },
    { name: 'email-verified', userId: 'u-ann', address: '127.0.0.1', actor: 'client' }
  ])
})

t.test('a second request within a minute gets the same response and no second event', async t => {
  const { request, post, login, events, clock } = await createAccountApp(t)
  const mail = await request('/auth/email/verification', {}, bearer((await login()).access_token))
  const send = () => post('/auth/email/verify', { token: mail.token })
  t.equal((await send()).statusCode, 204)
  clock.advance(59_000)
  t.equal((await send()).statusCode, 204)
  t.equal(events.filter(({ name }) => name === 'email-verified').length, 1)
  clock.advance(1000)
  t.same(readCode(await send()), [400, 'AUTH_ONE_TIME_USED'])
})

t.test('a link is outdated after the address has changed', async t => {
  const { request, post, login, users } = await createAccountApp(t)
  const mail = await request('/auth/email/verification', {}, bearer((await login()).access_token))
  const ann = users.get('u-ann') as { email: string }
  ann.email = 'new@example.org'
  const send = () => post('/auth/email/verify', { token: mail.token })
  t.same(readCode(await send()), [400, 'AUTH_ONE_TIME_USED'])
  ann.email = EMAIL
  t.equal((await send()).statusCode, 204, 'the address is back within the minute')
  ann.email = 'new@example.org'
  t.same(readCode(await send()), [400, 'AUTH_ONE_TIME_USED'])
})

t.test('a link of a deleted or disabled user is outdated', async t => {
  const { request, post, login, users } = await createAccountApp(t)
  const headers = bearer((await login()).access_token)
  const mail = await request('/auth/email/verification', {}, headers)
  Object.assign(users.get('u-ann') ?? {}, { disabled: true })
  const used = [400, 'AUTH_ONE_TIME_USED']
  t.same(readCode(await post('/auth/email/verify', { token: mail.token })), used)
  users.delete('u-ann')
  t.same(readCode(await post('/auth/email/verify', { token: mail.token })), used)
  t.same(
    readCode(await post('/auth/email/verification', {}, headers)),
    [401, 'AUTH_SESSION_REVOKED']
  )
})

t.test('only a signed-in user with an address gets a link', async t => {
  const { post, login, users, mails, settle } = await createAccountApp(t)
  t.same(readCode(await post('/auth/email/verification')), [401, 'AUTH_ACCESS_MISSING'])
  const { access_token: token } = await login()
  Object.assign(users.get('u-ann') ?? {}, { email: null })
  t.same(
    readCode(await post('/auth/email/verification', {}, bearer(token))),
    [400, 'AUTH_REQUEST_INVALID']
  )
  await settle()
  t.same(mails, [])
})

t.test('the app sends the first link after a sign-up', async t => {
  const { app, post, mails, users, events } = await createAccountApp(t, {
    after (app) {
      app.post('/sign-up', async request => {
        await app.accountFlows.sendVerification('u-bob', request)
        return {}
      })
    }
  })
  t.equal((await post('/sign-up')).statusCode, 200)
  t.match(mails, [{ kind: 'verifyEmail', to: 'bob@example.org' }])
  t.match(events, [{ name: 'link-sent', userId: 'u-bob', actor: 'app' }])
  t.equal((await post('/auth/email/verify', { token: mails[0]?.token })).statusCode, 204)
  t.equal(users.get('u-bob')?.verified, 'bob@example.org')
  await t.rejects(app.accountFlows.sendVerification('u-zoe', {} as never), /is unknown, disabled/)
})

t.test('a link of one kind is rejected by the routes of others', async t => {
  const { request, post } = await createAccountApp(t)
  const { token } = await request('/auth/password/forgot', { email: EMAIL })
  const invalid = [400, 'AUTH_ONE_TIME_INVALID']
  t.same(readCode(await post('/auth/email/verify', { token })), invalid)
  t.same(readCode(await post('/auth/sign-in/redeem', { token })), invalid)
  t.same(readCode(await post('/auth/email/verify', { token: 'x' })), invalid)
  t.same(readCode(await post('/auth/email/verify', {})), [400, 'AUTH_REQUEST_INVALID'])
})

t.test('a failed callback results in 503, and a repeat completes the change', async t => {
  const tokens: string[] = []
  let fails = true
  const { post, login, clock, settle } = await createAccountApp(t, {
    flows: {
      users: {
        markEmailVerified () {
          if (fails) {
            throw new Error('down')
          }
        }
      },
      send: { verifyEmail: ({ token }) => tokens.push(token) }
    }
  })
  await post('/auth/email/verification', {}, bearer((await login()).access_token))
  await settle()
  const [token] = tokens
  t.same(readCode(await post('/auth/email/verify', { token })), [503, 'AUTH_STORE_UNAVAILABLE'])
  fails = false
  clock.advance(30_000)
  t.equal((await post('/auth/email/verify', { token })).statusCode, 204)
})
