import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import { MINUTE } from '../../helpers/clock.js'
import type { ProofRequest } from '../../helpers/dpop.js'
import { assertRejected, credentials, decodeClaims, oauth, signIn, start } from './dpop-app.js'

const NONCE = /^[\w-]{43}$/

const form = { 'content-type': 'application/x-www-form-urlencoded' }

t.test('the first response has the nonce and exposes it to other origins', async t => {
  const { app, holder } = await start(t, {}, {
    before: app => {
      app.addHook('onRequest', async (_request, reply) => {
        reply.header('access-control-expose-headers', 'x-own')
      })
    }
  })
  const response = await holder.sendOnce('POST', '/auth/login', { body: credentials })
  assertRejected(t, response, 'AUTH_DPOP_NONCE', 'the first')
  t.match(response.headers['dpop-nonce'], NONCE)
  t.match(
    response.headers['www-authenticate'],
    new RegExp(
      '^DPoP realm="auth", algs="ES256 Ed25519 EdDSA PS256 RS256", ' +
        'error="use_dpop_nonce", error_description="[^"\\\\]+"$'
    )
  )
  t.equal(
    response.headers['access-control-expose-headers'],
    'x-own, www-authenticate, x-auth-error, dpop-nonce'
  )
  t.equal(response.headers['cache-control'], 'no-store')
  const { access_token: token } = await signIn(holder)
  const shown = await holder.sendOnce('GET', '/protected', { token })
  t.equal(shown.statusCode, 200)
  t.notOk(shown.headers['dpop-nonce'], 'no nonce in responses to a current nonce')
  t.notOk(
    (await app.inject('/protected')).headers['dpop-nonce'],
    'no nonce in responses without a proof'
  )
})

t.test('a nonce of the previous minute is valid, an older one is not', async t => {
  const { holder, clock } = await start(t)
  const { access_token: token } = await signIn(holder)
  const { nonce } = holder
  clock.advance(MINUTE)
  const response = await holder.sendOnce('GET', '/protected', { token })
  t.equal(response.statusCode, 200)
  t.match(response.headers['dpop-nonce'], NONCE)
  t.not(response.headers['dpop-nonce'], nonce)
  t.equal(response.headers['cache-control'], 'no-store', 'the response must not be cached')
  clock.advance(MINUTE)
  assertRejected(
    t,
    await holder.sendOnce('GET', '/protected', { token, claims: { nonce } }),
    'AUTH_DPOP_NONCE',
    'of the minute before'
  )
  t.equal((await holder.sendOnce('GET', '/protected', { token })).statusCode, 200)
})

t.test('OAuth endpoints require the nonce with 400 use_dpop_nonce', async t => {
  const { holder } = await start(t, oauth)
  const { refresh_token: token } = await signIn(holder, {
    body: { ...credentials, client_id: 'phone' }
  })
  const body = (token: string): string =>
    String(
      new URLSearchParams({ grant_type: 'refresh_token', client_id: 'phone', refresh_token: token })
    )
  const ask = async (sent: ProofRequest): Promise<LightMyRequestResponse> =>
    holder.sendOnce('POST', '/auth/token', { body: body(token), headers: form, ...sent })
  const first = await ask({ claims: { nonce: undefined } })
  t.strictSame([first.statusCode, first.json().error], [400, 'use_dpop_nonce'])
  t.match(first.headers['dpop-nonce'], NONCE)
  t.match(first.headers['access-control-expose-headers'], /dpop-nonce/)
  t.notOk(first.headers['www-authenticate'])
  const wrong = await ask({ claims: { htm: 'GET' } })
  t.strictSame([wrong.statusCode, wrong.json().error], [400, 'invalid_dpop_proof'])
  const answer = await ask({})
  t.match(answer.json(), { token_type: 'DPoP' })
  const next = answer.json().refresh_token
  t.strictSame(decodeClaims(next).cnf, decodeClaims(token).cnf)
  const bare = await ask({ body: body(next), headers: { ...form, dpop: 'x' } })
  t.strictSame([bare.statusCode, bare.json().error], [400, 'invalid_dpop_proof'])
  t.equal((await ask({ body: body(next) })).statusCode, 200)
})

t.test('a client with a wrong clock can log in only if nonces are enabled', async t => {
  const clock = { iat: Math.floor(Date.UTC(2025, 0, 1) / 1000) }
  const { holder } = await start(t)
  const { access_token: token } = await signIn(holder, { claims: clock })
  t.equal((await holder.send('GET', '/protected', { token, claims: clock })).statusCode, 200)

  const other = await start(t, { dpop: { nonces: false } })
  const response = await other.holder.sendOnce('POST', '/auth/login', {
    body: credentials,
    claims: clock
  })
  assertRejected(t, response, 'AUTH_DPOP_INVALID', 'without')
  t.match(response.json().message, 'iat is too far from the server time')
  t.notOk(response.headers['dpop-nonce'])
  const now = { iat: other.clock() / 1000 }
  const { access_token: good } = await signIn(other.holder, { claims: now })
  t.equal(
    (await other.holder.sendOnce('GET', '/protected', { token: good, claims: now })).statusCode,
    200
  )
})
