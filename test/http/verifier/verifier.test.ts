import fastifyAuth from '@fastify/auth'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { PASSWORD, SECRET } from '../../helpers/app.js'
import { MINUTE } from '../../helpers/clock.js'
import {
  claims,
  createHeader,
  createSystemClock,
  createToken,
  JWKS,
  pairs,
  scope,
  startIssuer,
  startKeyServer,
  startVerifier,
  toJwk,
  toRequirements
} from './jwks-setup.js'

t.test('public routes, guards and challenges work as in the main plugin', async t => {
  const clock = createSystemClock(t)
  const issuer = await startIssuer(t, clock, [pairs.EdDSA])
  const { app, get } = await startVerifier(t, issuer.base + JWKS, { clock, name: 'orders' })
  const [ann, bob] = [await issuer.login('ann'), await issuer.login('bob')]
  t.strictSame((await get('/public', 'no token')).json(), { auth: null })
  t.equal((await get('/admin', ann.access_token)).statusCode, 200)
  const other = await get('/admin', bob.access_token)
  t.equal(other.json().code, 'AUTH_CLAIMS_INSUFFICIENT')
  t.match(other.headers['www-authenticate'], /^Bearer realm="orders", error="insufficient_scope"/)
  t.equal((await get('/pay', ann.access_token)).statusCode, 200)
  clock.advance(6 * MINUTE)
  const late = await get('/pay', ann.access_token)
  t.equal(late.json().code, 'AUTH_REAUTHENTICATION_REQUIRED')
  t.match(late.headers['www-authenticate'], /error="insufficient_user_authentication"/)
  const none = await get('/protected')
  t.match(none.json(), { statusCode: 401, code: 'AUTH_ACCESS_MISSING' })
  t.match(none.headers, {
    'www-authenticate': 'Bearer realm="orders"',
    'access-control-expose-headers': 'www-authenticate'
  })
  t.equal(
    (await get('/protected', ann.refresh_token)).json().code,
    'AUTH_ACCESS_INVALID',
    'a refresh token'
  )
  const cookie = `__Host-auth-access=${ann.access_token}`
  t.equal(
    (await app.inject({ url: '/protected', headers: { cookie } })).json().code,
    'AUTH_ACCESS_MISSING'
  )
  const base = await app.listen({ host: '127.0.0.1', port: 0 })
  const authorization = [ann, bob].map(({ access_token: token }) => `Bearer ${token}`)
  const twice = await new Promise<IncomingMessage>((resolve, reject) => {
    request(`${base}/protected`, { headers: { authorization } as never }, resolve).on(
      'error',
      reject
    ).end()
  })
  t.equal(twice.resume().statusCode, 400)
})

t.test('authenticate works as a function of @fastify/auth', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const own = Fastify()
  t.teardown(() => own.close())
  await own.register(fastifyAuth)
  await own.register(tokenVerifier, { jwksUri: keys.uri, ...scope, clock: createSystemClock(t) })

  const byKey = (
    request: { headers: Record<string, unknown> },
    _reply: unknown,
    done: (error?: Error) => void
  ): void => {
    done(request.headers['x-key'] === 'k' ? undefined : new Error('no key'))
  }

  own.get(
    '/either',
    { onRequest: own.auth([own.authenticate, byKey]) },
    request => ({ auth: request.auth })
  )
  own.get('/both', {
    onRequest: own.auth([[own.authenticate, own.requireClaims(toRequirements({ role: 'admin' }))]])
  }, () => 'both')
  const ask = async (url: string, headers: Record<string, string>): Promise<number> =>
    (await own.inject({ url, headers })).statusCode
  const token = createToken('EdDSA', createHeader('EdDSA'), { ...claims, role: 'admin' })
  const authorization = `Bearer ${token}`
  t.equal(await ask('/either', { authorization }), 200)
  t.equal(await ask('/either', { authorization: 'Bearer x', 'x-key': 'k' }), 200)
  t.notOk(
    (await own.inject({ url: '/either', headers: { authorization: 'Bearer x', 'x-key': 'k' } }))
      .headers['www-authenticate']
  )
  t.equal(await ask('/either', { authorization: 'Bearer x' }), 401)
  t.equal(await ask('/both', { authorization }), 200)
  t.equal(await ask('/both', { authorization: `Bearer ${createToken('EdDSA')}` }), 403)
})

t.test('sibling scopes may have different plugins, one instance may not', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const clock = createSystemClock(t)
  const app = Fastify()
  t.teardown(() => app.close())
  const main = {
    secret: SECRET,
    store: new MemoryStore(),
    clock,
    sweep: false,
    users: { findByLogin: () => null, findById: () => ({ id: 'u' }) }
  } as const
  const options = { jwksUri: keys.uri, ...scope, clock }
  await app.register(async own => {
    await own.register(tokenAuth, main)
    own.get('/own', { onRequest: own.authenticate }, request => request.auth)
    own.post('/in', request => own.tokenAuth.openSession('u', request))
  })
  await app.register(async theirs => {
    await theirs.register(tokenVerifier, options)
    theirs.get('/theirs', { onRequest: theirs.authenticate }, request => request.auth)
  })
  await app.register(async others => {
    await others.register(tokenVerifier, { ...options, audience: 'other' })
    others.get('/others', { onRequest: others.authenticate }, request => request.auth)
  })
  const own = (await app.inject({ method: 'POST', url: '/in' })).json().access_token
  const statuses = (token: string): Promise<number[]> =>
    Promise.all(
      ['/own', '/theirs', '/others'].map(async url =>
        (await app.inject({ url, headers: { authorization: `Bearer ${token}` } })).statusCode
      )
    )
  t.strictSame(await statuses(own), [200, 401, 401])
  t.strictSame(await statuses(createToken('EdDSA')), [401, 200, 401])

  const ours = async (app: FastifyInstance): Promise<unknown> => app.register(tokenAuth, main)
  const verifier = async (app: FastifyInstance): Promise<unknown> =>
    app.register(tokenVerifier, options)

  for (
    const [first, second] of [[ours, verifier], [verifier, ours], [verifier, verifier]] as const
  ) {
    const app = Fastify()
    await first(app)
    await t.rejects(second(app), {
      message: /already has the registration "auth"; register each plugin in a scope of its own/
    })
  }
})

t.test('logs and responses contain no part of a token', async t => {
  let log = ''
  const stream = new PassThrough().on('data', chunk => {
    log += String(chunk)
  })
  const clock = createSystemClock(t)
  const issuer = await startIssuer(t, clock, [pairs.ES256])
  const { get } = await startVerifier(t, issuer.base + JWKS, { clock }, {
    logger: { level: 'trace', stream }
  })
  const { access_token: token } = await issuer.login()

  for (const text of [token, `${token}A`, token.replace('.', '..')]) {
    const { body } = await get('/protected', text)
    log += body
  }

  t.match(log, /"req"/)

  for (const part of [...token.split('.'), PASSWORD]) {
    t.notOk(log.includes(part))
  }
})
