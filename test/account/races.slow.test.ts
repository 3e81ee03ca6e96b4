import t from 'tap'
import type { Test } from 'tap'
import { PASSWORD } from '../helpers/app.js'
import { createProofKey, DpopClient } from '../helpers/dpop.js'
import { databases } from '../helpers/databases/index.js'
import type { TestDatabase } from '../helpers/databases/index.js'
import { asCookie, sameOrigin } from '../http/routes/browser.js'
import { bearer, createAccountApp, EMAIL, NEW_PASSWORD } from './account-app.js'
import type { AccountApp } from './account-app.js'

const REQUESTS = 64

/** Two instances with their own connections to one database, and with the same users. */
async function startInstances (
  t: Test,
  { open }: TestDatabase,
  options: object = {}
): Promise<readonly [AccountApp, AccountApp]> {
  const { store, again, attempts } = await open(t)
  const start = (instanceStore: typeof store): Promise<AccountApp> =>
    createAccountApp(t, {
      store: instanceStore,
      options: {
        clock: undefined,
        revocations: {},
        throttle: { attempts: attempts(), address: false },
        storeTimeout: '5s',
        ...options
      } as never
    })
  const [one, other] = [await start(store), await start(again())]

  // One table of users.
  for (const [id, user] of one.users) {
    other.users.set(id, user)
  }

  return [one, other]
}

for (const [name, database] of Object.entries(databases)) {
  if (name === 'memory' || name === 'sqlite') {
    continue
  }

  const { skip = false } = database

  t.test(`64 requests of a sign-in link on two instances open one session: ${name}`, {
    skip
  }, async t => {
    const instances = await startInstances(t, database)
    const { token } = await instances[0].request('/auth/sign-in/link', { email: EMAIL })
    const responses = await Promise.all(
      Array.from(
        { length: REQUESTS },
        (_, i) => (instances[i % 2] as AccountApp).post('/auth/sign-in/redeem', { token })
      )
    )
    t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([200]))
    t.equal(new Set(responses.map(({ body }) => body)).size, 1, 'equal responses')
    t.equal((await instances[1].app.tokenAuth.listSessions('u-ann')).length, 1)
    const logins = instances.flatMap(({ events }) => events).filter(({ name }) => name === 'login')
    t.equal(logins.length, 1)
    const { access_token: access, refresh_token: refresh } = responses[0]?.json()
    t.equal((await instances[1].get('/protected', access)).statusCode, 200)
    t.equal((await instances[0].refresh(refresh)).statusCode, 200)
  })

  t.test(`64 requests of a link with cookies set one cookie: ${name}`, { skip }, async t => {
    const instances = await startInstances(t, database)
    const { token } = await instances[0].request('/auth/sign-in/link', { email: EMAIL })
    const headers = { ...asCookie, ...sameOrigin }
    const responses = await Promise.all(
      Array.from(
        { length: REQUESTS },
        (_, i) => (instances[i % 2] as AccountApp).post('/auth/sign-in/redeem', { token }, headers)
      )
    )
    t.equal(new Set(responses.map(({ body }) => body)).size, 1)
    const cookies = responses.map(response => JSON.stringify(response.cookies))
    t.equal(new Set(cookies).size, 1)
    t.match(cookies[0], /__Host-auth-refresh/)
    t.equal((await instances[0].app.tokenAuth.listSessions('u-ann')).length, 1)
  })

  t.test(`64 requests of a link with DPoP open one bound session: ${name}`, { skip }, async t => {
    const instances = await startInstances(t, database, { dpop: { nonces: false } })
    const { token } = await instances[0].request('/auth/sign-in/link', { email: EMAIL })
    const key = createProofKey()
    const responses = await Promise.all(
      Array.from(
        { length: REQUESTS },
        (_, i) =>
          new DpopClient((instances[i % 2] as AccountApp).app, key)
            .send('POST', '/auth/sign-in/redeem', { body: { token } })
      )
    )
    t.equal(new Set(responses.map(({ body }) => body)).size, 1)
    t.match(responses[0]?.json(), { token_type: 'DPoP' })
    t.equal((await instances[0].app.tokenAuth.listSessions('u-ann')).length, 1)
  })

  t.test(`64 requests of a reset link on two instances save one hash: ${name}`, {
    skip
  }, async t => {
    const instances = await startInstances(t, database)
    const { refresh_token: old } = await instances[0].login()
    const { token } = await instances[0].request('/auth/password/forgot', { email: EMAIL })
    const responses = await Promise.all(
      Array.from(
        { length: REQUESTS },
        (_, i) =>
          (instances[i % 2] as AccountApp).post('/auth/password/reset', {
            token,
            password: NEW_PASSWORD
          })
      )
    )
    t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([204]))
    t.same(instances.flatMap(({ writes }) => writes), ['password u-ann'])
    const resets = instances.flatMap(({ events }) => events)
      .filter(({ name }) => name === 'password-reset')
    t.equal(resets.length, 1)
    t.equal((await instances[1].refresh(old)).statusCode, 401)
    const log = (password: string) =>
      instances[1].post('/auth/login', { username: 'ann', password })
    t.equal((await log(NEW_PASSWORD)).statusCode, 200)
    t.equal((await log(PASSWORD)).statusCode, 401)
  })

  t.test(`two reset requests with different passwords: one wins: ${name}`, { skip }, async t => {
    const instances = await startInstances(t, database)
    const { token } = await instances[0].request('/auth/password/forgot', { email: EMAIL })
    const responses = await Promise.all(
      [NEW_PASSWORD, 'a third password'].map((password, i) =>
        (instances[i] as AccountApp).post('/auth/password/reset', { token, password })
      )
    )
    t.same(responses.map(({ statusCode }) => statusCode).sort(), [204, 400])
    t.equal(instances.flatMap(({ writes }) => writes).length, 1)
  })

  t.test(`64 requests of a verification link have one event: ${name}`, { skip }, async t => {
    const instances = await startInstances(t, database)
    const headers = bearer((await instances[0].login()).access_token)
    const { token } = await instances[0].request('/auth/email/verification', {}, headers)
    const responses = await Promise.all(
      Array.from(
        { length: REQUESTS },
        (_, i) => (instances[i % 2] as AccountApp).post('/auth/email/verify', { token })
      )
    )
    t.same(new Set(responses.map(({ statusCode }) => statusCode)), new Set([204]))
    const verified = instances.flatMap(({ events }) => events)
      .filter(({ name }) => name === 'email-verified')
    t.equal(verified.length, 1)
  })
}
