import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { DpopClient } from '../helpers/dpop.js'
import { PASSWORD } from '../helpers/app.js'
import { Browser, REFRESH, setCookies } from '../http/routes/browser.js'
import { decode, getCode, open } from './second-factor-app.js'
import type { FactorApp } from './second-factor-app.js'
import type { TestApp } from '../helpers/app.js'

const asTestApp = (world: FactorApp): TestApp => world as unknown as TestApp

t.test('in cookie mode, only the second request sets cookies', async t => {
  const world = await open(t, { refreshToken: { transport: 'cookie' }, throttle: {} })
  const browser = new Browser(asTestApp(world))
  const credentials = { username: 'ann', password: PASSWORD, remember_me: true }
  const first = await browser.send('POST', '/auth/login', credentials)
  t.strictSame(setCookies(first), [])
  const answer = { ticket: first.json().ticket, method: 'totp', code: getCode(world.clock()) }
  const crossSite = await browser.send('POST', '/auth/login/second', answer, {
    'sec-fetch-site': 'cross-site'
  })
  t.equal(crossSite.json().code, 'AUTH_ORIGIN_REJECTED')
  const second = await browser.send('POST', '/auth/login/second', answer)
  t.equal(second.statusCode, 200)
  t.notOk(second.json().refresh_token)
  t.match(setCookies(second).find(cookie => cookie.startsWith(REFRESH)), /Max-Age=/)
  t.equal((await browser.refresh()).statusCode, 200)
})

t.test('a session is bound to the key of both requests', async t => {
  const world = await open(t, { dpop: true })
  const [owner, other] = [new DpopClient(world.app), new DpopClient(world.app)]
  const credentials = { username: 'ann', password: PASSWORD }
  const { ticket } = (await owner.send('POST', '/auth/login', { body: credentials })).json()
  const body = { ticket, method: 'totp', code: getCode(world.clock()) }
  const path = '/auth/login/second'
  t.equal((await other.send('POST', path, { body })).json().code, 'AUTH_DPOP_INVALID')
  t.equal((await world.second(body)).json().code, 'AUTH_DPOP_INVALID')
  const response = await owner.send('POST', path, { body })
  t.equal(response.json().token_type, 'DPoP')
  t.match(decode(response.json().access_token), { cnf: { jkt: /./ }, amr: ['pwd', 'otp', 'mfa'] })
})

t.test('the ticket of an OAuth client is completed by this client', async t => {
  const world = await open(t, {
    issuer: 'https://auth.test',
    audience: 'api',
    oauth: { clients: [{ clientId: 'phone' }] }
  })
  const { ticket } = (await world.first({ client_id: 'phone' })).json()
  const body = { ticket, method: 'totp', code: getCode(world.clock()) }
  t.equal((await world.second(body)).json().code, 'AUTH_CLIENT_REJECTED')
  const response = await world.second({ ...body, client_id: 'phone' })
  t.equal(decode(response.json().access_token)['client_id'], 'phone')
})

t.test('a device skips the second factor if the app allows it', async t => {
  const skip = { secondFactor: { skipKnownDevices: true } }
  const world = await open(t, { throttle: {} }, { flows: { ...skip, ...await usersOf() } })
  const { clock, users, first, second } = world
  Object.assign(users.get('u-ann') ?? {}, { factors: [] })
  const { device_token: known } = (await first()).json()
  Object.assign(users.get('u-ann') ?? {}, { factors: ['totp'] })
  const required = await first({ device_token: known })
  t.equal(required.json().code, 'AUTH_SECOND_FACTOR_REQUIRED', 'known, but without the factor')
  const { ticket } = required.json()
  const response = await second({
    ticket,
    method: 'totp',
    code: getCode(clock()),
    device_token: known
  })
  const { device_token: trusted } = response.json()
  clock.advance(MINUTE)
  const skipped = await first({ device_token: trusted })
  t.equal(skipped.statusCode, 200)
  t.strictSame(decode(skipped.json().access_token)['amr'], ['pwd'])
  t.equal((await first({ device_token: skipped.json().device_token })).statusCode, 200)
  t.equal((await first()).statusCode, 401, 'another device')

  async function usersOf () {
    const { TOTP_SECRET } = await import('./second-factor-app.js')

    return {
      users: {
        secondFactors: (user: object) => (user as { factors?: Array<'totp'> }).factors ?? [],
        findTotpSecret: () => TOTP_SECRET
      },
      send: {}
    }
  }
})

t.test('a device skips no second factor by default', async t => {
  const { clock, first, second } = await open(t, { throttle: {} })
  const { ticket } = (await first()).json()
  const response = await second({ ticket, method: 'totp', code: getCode(clock()) })
  const { device_token: trusted } = response.json()
  t.equal((await first({ device_token: trusted })).statusCode, 401)
})

t.test('an error body of the app gets the ticket too', async t => {
  const { first } = await open(t, {}, {
    before: app => {
      app.setErrorHandler<Error & { code: string }>((error, _request, reply) =>
        reply.code(401).send({ problem: error.code })
      )
    }
  })
  const { problem, ticket, methods } = (await first()).json()
  t.equal(problem, 'AUTH_SECOND_FACTOR_REQUIRED')
  t.type(ticket, 'string')
  t.strictSame(methods, ['totp', 'recovery'])
})

t.test('options of the second factor are checked', async t => {
  const flows = [
    { users: { secondFactors: () => [] }, send: {} },
    { users: { findTotpSecret: () => null }, send: {} },
    { secondFactor: { skipKnownDevices: 1 } },
    { secondFactor: { lifetime: '2h' } }
  ]

  for (const flow of flows) {
    await t.rejects(open(t, {}, { flows: flow as object }), TypeError)
  }
})

t.test('second factors require attempts that all instances share', async t => {
  await t.rejects(open(t, { revocations: {} }), /"throttle.attempts"/)
})
