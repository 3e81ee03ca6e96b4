import type { ServerResponse } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  claims,
  client,
  createFakeToken,
  key,
  now,
  respondWith,
  startIntrospectionServer,
  startIssuer,
  startVerifier,
  until
} from './introspection-setup.js'
import type { Issuer } from './introspection-setup.js'

t.test('a valid token has the same content as at its issuer, with every kind of key', async t => {
  for (const options of [{}, { keys: [key] as const }]) {
    const clock = createClock()
    const issuer = await startIssuer(t, clock, options)
    const verifier = await startVerifier(t, clock, issuer.uri)
    const phone = await issuer.loginAs('phone')
    const [here, there] = [
      await verifier.get('/protected', phone.access_token),
      await issuer.get('/protected', phone.access_token)
    ]
    t.equal(here.statusCode, 200)
    t.strictSame(here.json(), there.json())
    t.strictSame(
      here.json().claims,
      { role: 'admin', groups: ['a'] },
      'only claims of the app'
    )
    t.match(here.json(), {
      userId: 'u-ann',
      clientId: 'phone',
      amr: ['pwd'],
      authenticatedAt: clock()
    })
    t.equal((await verifier.get('/protected', phone.access_token)).body, here.body, 'cached')

    const [ann, bob] = [await issuer.login('ann'), await issuer.login('bob')]
    t.strictSame((await verifier.get('/protected', ann.access_token)).json(), {
      ...(await issuer.get('/protected', ann.access_token)).json(),
      clientId: 'auth'
    }, 'clientId is the name of the issuer')
    t.equal((await verifier.get('/admin', ann.access_token)).statusCode, 200)
    t.equal(
      (await verifier.get('/admin', bob.access_token)).json().code,
      'AUTH_CLAIMS_INSUFFICIENT'
    )
    clock.advance(6 * MINUTE)
    t.equal(
      (await verifier.get('/pay', ann.access_token)).json().code,
      'AUTH_REAUTHENTICATION_REQUIRED'
    )
  }
})

t.test('the request has client credentials and the token (RFC 7662)', async t => {
  const server = await startIntrospectionServer(t, respondWith(claims))
  const { status } = await startVerifier(t, createClock(), server.uri)
  const token = createFakeToken('it')
  t.equal(await status(token), 200)
  const [{ headers, body } = { headers: {}, body: '' }] = server.requests
  t.match(headers, {
    'content-type': /^application\/x-www-form-urlencoded/,
    accept: 'application/json'
  })
  t.strictSame(Object.fromEntries(new URLSearchParams(body)), {
    token,
    token_type_hint: 'access_token'
  })
  const [id = '', secret = ''] = Buffer.from(
    String(headers.authorization).slice('Basic '.length),
    'base64'
  ).toString().split(':')
  t.strictSame([id, secret].map(decodeURIComponent), [client.clientId, client.clientSecret])
})

t.test('a response is cached for maxAge, then a revoked session is rejected', async t => {
  const ends: Record<string, (issuer: Issuer, session: TokenResponse) => unknown> = {
    'a logout': (issuer, { refresh_token: token }) =>
      issuer.post('/auth/logout', { refresh_token: token }),
    'a user who is disabled': ({ users }) => {
      Object.assign(users.get('u-ann') as object, { disabled: true })
    },
    'a user who is gone': ({ users }) => users.delete('u-ann')
  }

  for (const [name, end] of Object.entries(ends)) {
    for (const [maxAge, millis] of [[undefined, 10 * SECOND], ['1m', MINUTE]] as const) {
      const clock = createClock()
      const issuer = await startIssuer(t, clock)
      const { status, get } = await startVerifier(
        t,
        clock,
        issuer.uri,
        maxAge === undefined ? {} : { maxAge }
      )
      const session = await issuer.login()
      t.equal(await status(session.access_token), 200)
      clock.advance(millis - 1)
      t.equal(await status(session.access_token), 200)
      t.equal(issuer.hits.length, 1, 'cached')
      clock.advance(1)
      t.equal(await status(session.access_token), 200)
      t.equal(issuer.hits.length, 2, 'introspected again')
      await end(issuer, session)
      clock.advance(millis - 1)
      t.equal(await status(session.access_token), 200, 'cached before the revocation')
      clock.advance(1)
      const late = await get('/protected', session.access_token)
      t.match(late.json(), { statusCode: 401, code: 'AUTH_ACCESS_INVALID' }, name)
      t.match(late.headers['www-authenticate'], /^Bearer realm="auth", error="invalid_token"/)
      t.equal(
        await status(session.access_token),
        401,
        'a rejection is remembered'
      )
      t.equal(issuer.hits.length, 3)
    }
  }
})

t.test('maxAge 0 introspects every request, so a logout has an immediate effect', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const { status } = await startVerifier(t, clock, issuer.uri, { maxAge: 0 })
  const { access_token: token, refresh_token: refresh } = await issuer.login()
  t.strictSame([await status(token), await status(token)], [200, 200])
  t.strictSame(await Promise.all([token, token, token].map(status)), [200, 200, 200])
  t.equal(issuer.hits.length, 5)
  await issuer.post('/auth/logout', { refresh_token: refresh })
  t.equal(await status(token), 401)
})

t.test('concurrent requests with one token share one introspection', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const { status } = await startVerifier(t, clock, issuer.uri)
  const tokens = [
    (await issuer.login('ann')).access_token,
    (await issuer.login('bob')).access_token
  ]
  const statuses = await Promise.all(
    Array.from({ length: 100 }, (_, i) => status(tokens[i % 2] ?? ''))
  )
  t.strictSame([...new Set(statuses)], [200])
  t.equal(issuer.hits.length, 2)
})

t.test('the age of a late response counts from its request', async t => {
  const held: ServerResponse[] = []
  const server = await startIntrospectionServer(t, response => {
    held.push(response)
  })
  const { clock, status } = await startVerifier(t, createClock(), server.uri, { maxAge: '10s' })
  const token = createFakeToken('it')
  const first = status(token)
  await until(() => held.length === 1)
  clock.advance(10 * SECOND - 1)
  const joins = status(token)
  // Only the absence of a second request shows that the first one is shared.
  await setTimeout(50)
  t.equal(held.length, 1)
  clock.advance(1)
  const later = status(token)
  await until(() => held.length === 2)
  respondWith(claims)(held[0] as ServerResponse)
  t.strictSame(await Promise.all([first, joins]), [200, 200])
  const last = status(token)
  await setTimeout(50)
  t.equal(
    held.length,
    2,
    'the late response is too old, so the newer request is shared'
  )
  respondWith({ active: false })(held[1] as ServerResponse)
  t.strictSame(await Promise.all([later, last]), [401, 401], 'the session was revoked meanwhile')
})

t.test('a cached token expires to the second, also after the clock was ahead', async t => {
  const server = await startIntrospectionServer(t, respondWith({ ...claims, exp: now + 30 }))
  const { clock, get, status } = await startVerifier(t, createClock(), server.uri, { maxAge: '1m' })
  const token = createFakeToken('it')
  clock.advance(30 * SECOND - 1)
  t.equal(await status(token), 200)
  clock.advance(1)
  t.equal((await get('/protected', token)).json().code, 'AUTH_ACCESS_EXPIRED')
  t.equal(server.requests.length, 1)
  t.equal(
    (await get('/protected', createFakeToken('another'))).json().code,
    'AUTH_ACCESS_EXPIRED',
    'also if the clock of the issuer is behind'
  )
  server.respond = respondWith(claims)
  t.equal(await status(createFakeToken('third')), 200)
  clock.advance(-SECOND)
  server.respond = respondWith({ active: false })
  t.equal(await status(createFakeToken('third')), 401)
})
