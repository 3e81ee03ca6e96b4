import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { tokenVerifier } from '../../../src/verifier/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { createClock, HOUR, MINUTE } from '../../helpers/clock.js'
import {
  ann,
  attacker,
  client,
  createProof,
  scope,
  startIssuer,
  startVerifier
} from './dpop-setup.js'

t.test('a proof needs a recent nonce, whatever the clock of the client is', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const { access_token: token } = await issuer.login(ann)
  const { get, ask } = await startVerifier(t, issuer, { secret: randomBytes(48) }, { clock })
  const first = await get({ authorization: `DPoP ${token}`, dpop: await createProof(ann, token) })
  t.match(first.json(), { statusCode: 401, code: 'AUTH_DPOP_NONCE' })
  t.match(first.headers['www-authenticate'], /^DPoP .*error="use_dpop_nonce"/)
  t.match(first.headers, {
    'cache-control': 'no-store',
    'access-control-expose-headers': /dpop-nonce/
  })
  const nonce = String(first.headers['dpop-nonce'])
  const wrongClock = { iat: clock() / 1000 - HOUR, nonce }
  const proof = await createProof(ann, token, wrongClock)
  const second = await get({ authorization: `DPoP ${token}`, dpop: proof })
  t.equal(second.statusCode, 200)
  t.notOk(second.headers['dpop-nonce'], 'the client has the newest nonce')
  t.equal(await ask('DPoP', token, proof), 'AUTH_DPOP_INVALID', 'the proof again')
  t.equal(
    await ask(
      'DPoP',
      token,
      await createProof(ann, token, { nonce: randomBytes(32).toString('base64url') })
    ),
    'AUTH_DPOP_NONCE'
  )
  clock.advance(MINUTE)
  const later = await get({
    authorization: `DPoP ${token}`,
    dpop: await createProof(ann, token, wrongClock)
  })
  t.equal(later.statusCode, 200)
  t.type(later.headers['dpop-nonce'], 'string')
  t.not(later.headers['dpop-nonce'], nonce, 'the next nonce, before the old one expires')
  clock.advance(MINUTE)
  t.equal(await ask('DPoP', token, await createProof(ann, token, wrongClock)), 'AUTH_DPOP_NONCE')
  t.equal(
    await ask('DPoP', token, proof),
    'AUTH_DPOP_NONCE',
    'the nonce expires before the proof is deleted'
  )
  t.equal(
    await ask(
      'DPoP',
      token,
      await createProof(ann, token, { nonce: String(later.headers['dpop-nonce']) })
    ),
    200
  )
})

t.test('nonces are shared by instances with the same secret and name only', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const secret = randomBytes(48).toString('base64')
  const one = await startVerifier(t, issuer, { secret })
  const { headers } = await one.get({
    authorization: `DPoP ${token}`,
    dpop: await createProof(ann, token)
  })
  const nonce = String(headers['dpop-nonce'])
  const others: Array<[TokenVerifierOptions['dpop'], string, unknown]> = [
    [{ secret }, 'auth', 200],
    [{ secret: randomBytes(48) }, 'auth', 'AUTH_DPOP_NONCE'],
    [true, 'auth', 200],
    [{ secret }, 'orders', 'AUTH_DPOP_NONCE']
  ]

  for (const [dpop, name, expected] of others) {
    const other = await startVerifier(t, issuer, dpop, { name })
    t.equal(
      await other.ask('DPoP', token, await createProof(ann, token, { nonce })),
      expected,
      `${inspect(dpop)} ${name}`
    )
  }

  t.equal(await one.ask('DPoP', token, await createProof(ann, token, { nonce })), 200)

  for (
    const instance of [await startVerifier(t, issuer, true), await startVerifier(t, issuer, true)]
  ) {
    t.equal(
      await instance.ask('DPoP', token, await createProof(ann, token)),
      200,
      'without a secret, no nonce is required'
    )
  }

  const introspection = { uri: `${issuer.base}/auth/introspect`, ...client }
  const introspecting = await startVerifier(t, issuer, true, { introspection })
  const told = await introspecting.get({
    authorization: `DPoP ${token}`,
    dpop: await createProof(ann, token)
  })
  const proof = await createProof(ann, token, { nonce: told.headers['dpop-nonce'] })
  t.equal(
    await (await startVerifier(t, issuer, true, { introspection })).ask('DPoP', token, proof),
    200,
    'the client secret is the default secret'
  )
})

t.test('oauth4webapi receives the nonce over a real port and retries with it', async t => {
  const issuer = await startIssuer(t, Date.now)
  const { access_token: token } = await issuer.login(ann)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    jwksUri: `${issuer.base}/.well-known/jwks.json`,
    ...scope,
    dpop: { required: true, secret: randomBytes(48) }
  })
  app.get('/orders', { onRequest: app.authenticate }, request => request.auth)
  const url = new URL(`${await app.listen({ host: '127.0.0.1', port: 0 })}/orders?of=today`)

  const ask = (keys: oauth.CryptoKeyPair): () => Promise<Response> => {
    const DPoP = oauth.DPoP({}, keys)

    return () =>
      oauth.protectedResourceRequest(token, 'GET', url, new Headers(), null, {
        DPoP,
        [oauth.allowInsecureRequests]: true
      })
  }

  const byAnn = ask(ann)
  const error = await byAnn().catch((error: unknown) => error)
  t.ok(oauth.isDPoPNonceError(error))

  for (let i = 0; i < 3; i++) {
    const response = await byAnn()
    t.match(await response.json(), { userId: 'u-ann' })
  }

  const byAttacker = ask(attacker)
  await byAttacker().catch(() => {})
  const refused = await byAttacker().catch((error: unknown) =>
    error
  ) as oauth.WWWAuthenticateChallengeError
  t.equal(refused.status, 401)
  t.match(refused.cause, [{
    scheme: 'dpop',
    parameters: { error: 'invalid_token', algs: 'ES256 Ed25519 EdDSA PS256 RS256' }
  }])
})
