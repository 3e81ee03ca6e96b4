import t from 'tap'
import { PASSWORD } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'
import { DpopClient } from '../../helpers/dpop.js'
import { ACCESS, asCookie, Browser, setCookies } from '../routes/browser.js'
import { decode, open } from './elevate-setup.js'

t.test('requireFresh accepts one of the required methods only', async t => {
  const { clock, login, get, elevate, post } = await open(t)
  const { access_token: token } = await login()
  const rejected = await get('/sign', token)
  t.match(rejected.json(), {
    statusCode: 403,
    code: 'AUTH_REAUTHENTICATION_REQUIRED',
    message: 'Request requires a more recent login: login must use a method of: hwk, swk'
  })
  t.equal((await get('/sign', (await elevate(token)).json().access_token)).statusCode, 403)
  const passkey = await post('/passkey', { amr: ['hwk'] }, { authorization: `Bearer ${token}` })
  const { access_token: elevated } = passkey.json()
  t.equal((await get('/sign', elevated)).statusCode, 200)
  clock.advance(6 * MINUTE)
  t.equal((await get('/sign', elevated)).statusCode, 403, 'not recent any more')
})

t.test('requireFresh rejects invalid options', async t => {
  const { app } = await open(t)
  const invalid = [{ amr: [] }, { amr: 'hwk' }, { amr: ['"'] }, { amr: [1] }, { acr: ['x'] }]

  for (const options of invalid) {
    t.throws(() => app.requireFresh('5m', options as object), TypeError, JSON.stringify(options))
  }
})

t.test('a step-up replaces the methods of an earlier one, and not those of the login', async t => {
  const { login, post, elevate } = await open(t)
  const { access_token: token } = await login()
  const first = (await post('/passkey', { amr: ['hwk'] }, { authorization: `Bearer ${token}` }))
    .json().access_token
  t.match(decode(first), { amr: ['hwk'], login_amr: ['pwd'] })
  const second = (await post('/passkey', { amr: ['otp'] }, { authorization: `Bearer ${first}` }))
    .json().access_token
  t.strictSame(decode(second)['amr'], ['otp'])
  t.strictSame(decode(second)['login_amr'], ['pwd'])
  const third = (await elevate(second)).json().access_token
  t.match(decode(third), { amr: ['pwd'], login_amr: ['pwd'] })
})

t.test('elevate of the app requires an authenticated request and methods', async t => {
  const failures: string[] = []
  const { post, login } = await open(t, {}, {
    after: app => {
      app.post('/open', request => app.tokenAuth.elevate(request, { amr: ['hwk'] }))
      app.post('/forged', request => {
        request.auth = {
          userId: 'u-bob',
          sessionId: 's1',
          authenticatedAt: 0,
          amr: [],
          clientId: null,
          claims: {},
          expiresAt: 9e15
        }
        return app.tokenAuth.elevate(request, { amr: ['hwk'] })
      })
      app.setErrorHandler<Error>((error, _request, reply) => {
        failures.push(error.message)
        return reply.send(error)
      })
    }
  })
  const { access_token: token } = await login()
  const headers = { authorization: `Bearer ${token}` }
  t.equal((await post('/open', undefined, headers)).statusCode, 401)
  t.equal((await post('/forged', undefined, headers)).statusCode, 401)
  t.equal((await post('/passkey', { amr: [] }, headers)).statusCode, 500)
  t.match(failures.at(-1), /"amr" of elevate/)
  t.equal((await post('/passkey', { amr: ['x'.repeat(129)] }, headers)).statusCode, 500)
  t.match(failures.at(-1), /at most 128 characters/)
})

t.test('in cookie mode, the step-up sets the access cookie and nothing else', async t => {
  const test = await open(t, {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true }
  })
  const browser = new Browser(test)
  await browser.logIn({ remember_me: true })
  test.clock.advance(10 * MINUTE)
  t.equal((await browser.send('GET', '/pay')).statusCode, 403)
  const response = await browser.send('POST', '/auth/elevate', { password: PASSWORD })
  t.strictSame(response.json(), {
    token_type: 'bearer',
    expires_in: 900,
    user: { id: 'u-ann', username: 'ann' }
  })
  t.equal(setCookies(response).length, 1)
  t.match(setCookies(response)[0], new RegExp(`^${ACCESS}=.+Max-Age=900;.*HttpOnly`))
  t.equal((await browser.send('GET', '/pay')).statusCode, 200)
  t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 1)
  await browser.refresh()
  t.equal((await browser.send('GET', '/pay')).statusCode, 403, 'gone after a refresh')
  const passkey = await browser.send('POST', '/passkey', {})
  t.equal(passkey.statusCode, 200)
  t.equal((await browser.send('GET', '/sign')).statusCode, 200)
  const noReply = await browser.send('POST', '/passkey', { reply: false })
  t.equal(noReply.statusCode, 500)
  t.match(noReply.json().message, /requires \{ reply \}/)
})

t.test('in cookie mode, a page of another origin cannot elevate', async t => {
  const test = await open(t, {
    refreshToken: { transport: 'cookie' },
    cookie: { accessToken: true }
  })
  const browser = new Browser(test)
  await browser.logIn()
  const response = await browser.send('POST', '/auth/elevate', { password: PASSWORD }, {
    'sec-fetch-site': 'cross-site'
  })
  t.equal(response.json().code, 'AUTH_ORIGIN_REJECTED')
})

t.test('an access token in JSON beside a refresh cookie stays in JSON', async t => {
  const test = await open(t)
  const browser = new Browser(test)
  const { access_token: token } = (await browser.send('POST', '/auth/login', {
    username: 'ann',
    password: PASSWORD
  }, asCookie)).json()
  const response = await browser.send('POST', '/auth/elevate', { password: PASSWORD }, {
    authorization: `Bearer ${token}`
  })
  t.type(response.json().access_token, 'string')
  t.strictSame(setCookies(response), [])
})

t.test('the token of a step-up is bound to the same key', async t => {
  const test = await open(t, { dpop: true })
  const [owner, other] = [new DpopClient(test.app), new DpopClient(test.app)]
  const body = { username: 'ann', password: PASSWORD }
  const { access_token: token } = (await owner.send('POST', '/auth/login', { body })).json()
  test.clock.advance(10 * MINUTE)
  const sent = { token, body: { password: PASSWORD } }
  t.equal((await other.send('POST', '/auth/elevate', sent)).statusCode, 401)
  t.equal((await test.elevate(token)).statusCode, 401, 'as a bearer token')
  const response = await owner.send('POST', '/auth/elevate', sent)
  t.match(response.json(), { token_type: 'DPoP' })
  const { access_token: elevated } = response.json()
  t.strictSame(decode(elevated)['cnf'], decode(token)['cnf'])
  t.equal((await owner.send('GET', '/pay', { token: elevated })).statusCode, 200)
  t.equal((await test.get('/pay', elevated)).statusCode, 401)
})

t.test('an OAuth client cannot use the route, and the method keeps its client', async t => {
  const test = await open(t, {
    issuer: 'https://auth.test',
    audience: 'api',
    oauth: { clients: [{ clientId: 'phone' }] }
  })
  const { access_token: token } = await test.app.tokenAuth.openSession(
    'u-ann',
    { headers: {} },
    { clientId: 'phone' }
  )
  t.equal((await test.elevate(token)).json().code, 'AUTH_CLAIMS_INSUFFICIENT')
  const passkey = await test.post('/passkey', {}, { authorization: `Bearer ${token}` })
  t.match(decode(passkey.json().access_token), { client_id: 'phone', amr: ['hwk'] })
  t.strictSame(decode(passkey.json().access_token)['login_amr'], [])
})
