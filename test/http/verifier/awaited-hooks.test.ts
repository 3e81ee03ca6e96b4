// Own process: listens for unhandled rejections.

import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { restrictToFirstParty } from '../../../src/http/guards.js'
import type { Authenticate } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import { ann, createProof, startIssuer, startVerifier } from './dpop-setup.js'
import { createToken, pairs, scope, startKeyServer, toJwk } from './jwks-setup.js'

const rejections: unknown[] = []
process.on('unhandledRejection', error => {
  rejections.push(error)
})

/** Adds a route whose own hook awaits the hooks of the plugin, without `done`. */
function addAwaitingRoute (
  app: FastifyInstance,
  url: string,
  ...hooks: [Authenticate, ...Authenticate[]]
): void {
  app.get(url, {
    onRequest: async (request, reply) => {
      for (const hook of hooks) {
        await hook(request, reply)
      }
    }
  }, request => request.auth)
}

async function read (app: FastifyInstance, url: string, token?: string): Promise<unknown> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await app.inject({ url, headers })
  return response.json().code ?? response.json().userId
}

t.test('an awaited authenticate rejects what the key set does not verify', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenVerifier, { jwksUri: keys.uri, ...scope, clock: createClock() })
  addAwaitingRoute(app, '/secret', app.authenticate)
  t.equal(await read(app, '/secret'), 'AUTH_ACCESS_MISSING')
  t.equal(await read(app, '/secret', 'garbage'), 'AUTH_ACCESS_INVALID')
  const token = createToken('EdDSA')
  t.equal(await read(app, '/secret', `${token.slice(0, -8)}AAAAAAAA`), 'AUTH_ACCESS_INVALID')
  t.equal(await read(app, '/secret', token), 'u-ann')
  t.equal(await read(app, '/secret', token), 'u-ann', 'cached')
})

t.test('an awaited authenticate requires a DPoP proof', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const { app, ask } = await startVerifier(t, issuer, { nonces: false })
  const awaited = async (proof?: string): Promise<number> =>
    (await app.inject({
      url: '/awaited',
      headers: {
        host: 'localhost',
        authorization: `DPoP ${token}`,
        ...(proof !== undefined && { dpop: proof })
      }
    })).statusCode
  t.equal(await ask('DPoP', token, await createProof(ann, token)), 200, 'cached from now on')
  t.equal(await awaited(), 401)
  const proof = await createProof(ann, token, { htu: 'http://localhost/awaited' })
  t.equal(await awaited(proof), 200)
  t.equal(await awaited(proof), 401, 'the proof again')
})

t.test('an awaited authenticate rejects at the issuer, also at a renewal', async t => {
  const { app, clock, login } = await createTestApp({
    options: { accessToken: { lifetime: '10s', renewWithin: '5s' } },
    after: app => {
      addAwaitingRoute(app, '/secret', app.authenticate)
    }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  t.equal(await read(app, '/secret'), 'AUTH_ACCESS_MISSING')
  t.equal(await read(app, '/secret', token), 'u-ann')
  clock.advance(6 * SECOND)
  t.equal(await read(app, '/secret', token), 'u-ann', 'renewed')
  clock.advance(5 * SECOND)
  t.equal(await read(app, '/secret', token), 'AUTH_ACCESS_EXPIRED')
})

t.test('an awaited guard rejects', async t => {
  const { app, clock, login } = await createTestApp({
    after: app => {
      const admin = app.requireClaims({ role: 'admin' } as object)
      addAwaitingRoute(app, '/alone', app.requireFresh('5m'))
      addAwaitingRoute(app, '/pay', app.authenticate, app.requireFresh('5m'))
      addAwaitingRoute(app, '/admin', app.authenticate, admin)
      addAwaitingRoute(app, '/own', restrictToFirstParty(app.authenticate))
      app.get('/public', {
        config: { tokenAuth: 'public' },
        onRequest: async (request, reply) => {
          await app.authenticate(request, reply)
        }
      }, () => ({ code: 'public' }))
    }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  t.equal(await read(app, '/alone', token), 'AUTH_ACCESS_MISSING')
  t.equal(await read(app, '/pay', token), 'u-ann')
  t.equal(await read(app, '/admin', token), 'AUTH_CLAIMS_INSUFFICIENT')
  t.equal(await read(app, '/own', token), 'u-ann')
  t.equal(await read(app, '/own'), 'AUTH_ACCESS_MISSING')
  t.equal(await read(app, '/public'), 'public')
  clock.advance(6 * MINUTE)
  t.equal(await read(app, '/pay', token), 'AUTH_REAUTHENTICATION_REQUIRED')
})

t.test('an awaited restrictToFirstParty rejects the token of an OAuth client', async t => {
  const { app, post } = await createTestApp({
    options: { issuer: 'https://a.example', oauth: { clients: [{ clientId: 'phone' }] } },
    after: app => {
      addAwaitingRoute(app, '/own', restrictToFirstParty(app.authenticate))
    }
  })
  t.teardown(() => app.close())
  const body = { username: 'ann', password: PASSWORD, client_id: 'phone' }
  const { access_token: token } = (await post('/auth/login', body)).json()
  t.equal(await read(app, '/own', token), 'AUTH_CLAIMS_INSUFFICIENT')
})

t.test('a rejected request leaves no unhandled rejection', async t => {
  await setTimeout(20)
  t.strictSame(rejections, [])
})
