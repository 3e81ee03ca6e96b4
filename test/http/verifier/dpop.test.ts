import { inspect } from 'node:util'
import * as jose from 'jose'
import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import type { TokenVerifierOptions } from '../../../src/verifier/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { createClock, MINUTE, SECOND } from '../../helpers/clock.js'
import {
  ann,
  attacker,
  client,
  createProof,
  HERE,
  startIssuer,
  startVerifier
} from './dpop-setup.js'
import type { Verifier } from './dpop-setup.js'

t.test('a DPoP-bound token requires a new proof of its key for each request', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token, token_type: type } = await issuer.login(ann)
  const { access_token: other } = await issuer.login(ann)
  t.equal(type, 'DPoP')
  const introspection = { uri: `${issuer.base}/auth/introspect`, ...client }
  const verifiers: Record<string, Verifier> = {
    'by keys': await startVerifier(t, issuer, { nonces: false }),
    'by introspection': await startVerifier(t, issuer, { nonces: false }, { introspection }),
    required: await startVerifier(t, issuer, { nonces: false, required: true })
  }

  for (const [name, { ask, get }] of Object.entries(verifiers)) {
    const invalid = 'AUTH_ACCESS_INVALID'
    t.equal(await ask('Bearer', token), invalid, `${name}: as bearer, uncached`)
    const proof = await createProof(ann, token)
    t.equal(await ask('DPoP', token, proof), 200, name)
    t.equal(
      await ask('dpop', token, await createProof(ann, token)),
      200,
      `${name}: scheme in lower case`
    )
    t.match(
      (await get({ authorization: `DPoP ${token}`, dpop: await createProof(ann, token) })).json(),
      {
        userId: 'u-ann',
        claims: {}
      }
    )
    t.equal(await ask('DPoP', token, proof), 'AUTH_DPOP_INVALID', `${name}: the proof again`)
    t.equal(await ask('Bearer', token), invalid, `${name}: as bearer`)
    t.equal(
      await ask('Bearer', token, await createProof(ann, token)),
      invalid,
      `${name}: as bearer with a proof`
    )
    t.equal(await ask('DPoP', token), 'AUTH_DPOP_INVALID', `${name}: without a proof`)
    t.equal(
      await ask('DPoP', token, await createProof(attacker, token)),
      invalid,
      `${name}: of another key`
    )
    const wrong: Record<string, string> = {
      'another token': await createProof(ann, other),
      'no token': await createProof(ann, null),
      'another method': await createProof(ann, token, { htm: 'POST' }),
      'another address': await createProof(ann, token, { htu: 'http://localhost/public' }),
      'another host': await createProof(ann, token, { htu: 'http://example.org/protected' }),
      'another scheme': await createProof(ann, token, { htu: 'https://localhost/protected' }),
      'no jti': await createProof(ann, token, { jti: undefined }),
      'a minute and a second ago': await createProof(ann, token, {
        iat: createClock()() / 1000 - 61
      }),
      'a minute and a second ahead': await createProof(ann, token, {
        iat: createClock()() / 1000 + 61
      }),
      'two proofs': `${await createProof(ann, token)}, ${await createProof(ann, token)}`,
      'a malformed proof': 'x',
      empty: ''
    }

    for (const [what, text] of Object.entries(wrong)) {
      t.equal(await ask('DPoP', token, text), 'AUTH_DPOP_INVALID', `${name}: of ${what}`)
    }

    t.equal(
      await ask('DPoP', token, await createProof(ann, token, { htu: `${HERE}?x#y` })),
      200,
      'query and fragment are ignored'
    )
  }
})

t.test('two authenticate hooks of one request share its proof', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const { get } = await startVerifier(t, issuer, { nonces: false })
  const headers = {
    authorization: `DPoP ${token}`,
    dpop: await createProof(ann, token, { htu: 'http://localhost/twice' })
  }
  t.equal((await get(headers, '/twice')).body, 'twice')
  t.equal((await get(headers, '/twice')).statusCode, 401)
})

t.test('proofs of every algorithm are accepted', async t => {
  const issuer = await startIssuer(t)
  const { ask } = await startVerifier(t, issuer, { nonces: false })

  for (const alg of ['ES256', 'EdDSA', 'PS256', 'RS256']) {
    const pair = await jose.generateKeyPair(alg, { extractable: true })
    const claims = { htm: 'POST', htu: `${issuer.base}/auth/login` }
    const response = await fetch(claims.htu, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        dpop: await createProof(pair, null, claims, alg)
      },
      body: JSON.stringify({ username: 'ann', password: PASSWORD })
    })
    const { access_token: token } = await response.json() as TokenResponse
    t.equal(await ask('DPoP', token, await createProof(pair, token, {}, alg)), 200, alg)
  }
})

t.test('an unbound token is accepted as bearer unless DPoP is required', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(null)
  const expected: Array<[TokenVerifierOptions['dpop'], unknown]> = [
    [{ nonces: false }, 200],
    [true, 200],
    [undefined, 200],
    [false, 200],
    [{ required: true }, 'AUTH_ACCESS_INVALID']
  ]

  for (const [dpop, asBearer] of expected) {
    const { ask } = await startVerifier(t, issuer, dpop)
    const invalid = dpop === undefined || dpop === false
      ? 'AUTH_ACCESS_MISSING'
      : 'AUTH_ACCESS_INVALID'

    for (const when of ['uncached', 'cached']) {
      t.equal(await ask('Bearer', token), asBearer, `${inspect(dpop)} ${when}`)
      t.equal(
        await ask('DPoP', token, await createProof(ann, token)),
        invalid,
        `${inspect(dpop)} ${when}`
      )
      t.equal(await ask('DPoP', token), invalid)
    }
  }
})

t.test('a DPoP-bound token is rejected without the option dpop', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const introspection = { introspection: { uri: `${issuer.base}/auth/introspect`, ...client } }

  for (
    const verifier of [
      await startVerifier(t, issuer),
      await startVerifier(t, issuer, false),
      await startVerifier(t, issuer, undefined, introspection)
    ]
  ) {
    for (const when of ['uncached', 'cached']) {
      t.equal(await verifier.ask('Bearer', token), 'AUTH_ACCESS_INVALID', when)
      t.equal(
        await verifier.ask('DPoP', token, await createProof(ann, token)),
        'AUTH_ACCESS_MISSING',
        when
      )
    }

    const { headers } = await verifier.get({ authorization: `Bearer ${token}` })
    t.match(headers['www-authenticate'], /^Bearer realm="auth", error="invalid_token"[^D]*$/)
  }
})

t.test('the challenge contains the scheme DPoP with the algorithms of proofs', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const { get } = await startVerifier(t, issuer, { nonces: false }, { name: 'orders' })
  const challenge = async (headers: Record<string, string>): Promise<unknown> =>
    (await get(headers)).headers['www-authenticate']
  const dpop = 'DPoP realm="orders", algs="ES256 Ed25519 EdDSA PS256 RS256"'
  t.equal(await challenge({}), `Bearer realm="orders", ${dpop}`)
  t.match(
    await challenge({ authorization: `Bearer ${token}` }),
    new RegExp(`^Bearer realm="orders", error="invalid_token", [^,]*, ${dpop}$`)
  )
  t.match(
    await challenge({ authorization: `DPoP ${token}`, dpop: 'x' }),
    new RegExp(`^${dpop}, error="invalid_dpop_proof"`)
  )
  t.match(
    await challenge({ authorization: `DPoP ${token}`, dpop: await createProof(attacker, token) }),
    new RegExp(`^${dpop}, error="invalid_token"`)
  )
  const { body } = await get({ authorization: `DPoP ${token}`, dpop: 'x' }, '/public')
  t.equal(body, 'public')
})

t.test('a DPoP-bound token expires, and results in 503 if the issuer is unreachable', async t => {
  const clock = createClock()
  const issuer = await startIssuer(t, clock)
  const { access_token: token } = await issuer.login(ann)
  const { ask } = await startVerifier(t, issuer, { nonces: false }, { clock })
  clock.advance(15 * MINUTE - SECOND)
  const iat = (): number => clock() / 1000
  t.equal(await ask('DPoP', token, await createProof(ann, token, { iat: iat() })), 200)
  clock.advance(SECOND)
  t.equal(
    await ask('DPoP', token, await createProof(ann, token, { iat: iat() })),
    'AUTH_ACCESS_EXPIRED'
  )
  const nowhere = await startVerifier(t, { ...issuer, base: 'http://127.0.0.1:1' }, {
    nonces: false
  })
  t.equal(await nowhere.ask('DPoP', token, await createProof(ann, token)), 503)
})

t.test('a proof contains publicUrl behind a proxy', async t => {
  const issuer = await startIssuer(t)
  const { access_token: token } = await issuer.login(ann)
  const { ask } = await startVerifier(t, issuer, { nonces: false }, {
    publicUrl: 'https://example.org/api'
  })
  t.equal(
    await ask(
      'DPoP',
      token,
      await createProof(ann, token, { htu: 'https://example.org/api/protected' })
    ),
    200
  )

  for (const htu of [HERE, 'https://example.org/protected', 'https://example.org/api//protected']) {
    t.equal(
      await ask('DPoP', token, await createProof(ann, token, { htu })),
      'AUTH_DPOP_INVALID',
      htu
    )
  }
})
