import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { readDpopProof } from '../../src/dpop/proof.js'
import {
  createProof,
  createProofKey,
  createProofKeyFrom,
  encode,
  proofAlgorithms,
  signProof,
  signWithSecret
} from '../helpers/dpop.js'
import type { ProofKey } from '../helpers/dpop.js'
import { assertRejected, claims, ed, key } from './fixtures.js'

t.test('alg must be an asymmetric algorithm that matches the key', async t => {
  const input = (alg: unknown, { jwk }: ProofKey): string =>
    `${encode({ typ: 'dpop+jwt', alg, jwk })}.${encode(claims)}`

  for (const own of [key, ed, createProofKey('RS256')]) {
    const pem = createPublicKey(own.privateKey).export({ format: 'pem', type: 'spki' })

    for (const alg of ['none', 'None', 'NONE', '', 'HS256', 'HS384', 'HS512']) {
      for (
        const secret of [
          pem,
          JSON.stringify(own.jwk),
          String(own.jwk.x ?? own.jwk.n),
          Buffer.from(String(own.jwk.x ?? own.jwk.n), 'base64url'),
          ''
        ]
      ) {
        assertRejected(
          t,
          signWithSecret(input(alg, own), secret, alg === 'HS512' ? 'sha512' : 'sha256'),
          `${alg} by the public key of ${own.alg}`
        )
      }

      assertRejected(t, signProof(input(alg, own), own), `${alg} signed as ${own.alg}`)
      assertRejected(t, `${input(alg, own)}.`, `${alg} unsigned`)
    }

    const others = proofAlgorithms.filter(alg =>
      alg !== own.alg && !(alg.startsWith('Ed') && own.alg.startsWith('Ed'))
    )
    const unknown = [
      'ES384',
      'ES512',
      'ES256K',
      'Ed448',
      'RS512',
      'PS384',
      'RSA1_5',
      'dir',
      own.alg.toLowerCase(),
      ` ${own.alg}`,
      'toString',
      '__proto__'
    ]

    for (const alg of [...others, ...unknown, undefined, null, 1, [own.alg], {}]) {
      assertRejected(
        t,
        signProof(input(alg, own), own),
        `${JSON.stringify(alg)} of a key for ${own.alg}`
      )
    }
  }

  const { privateKey } = createProofKey('RS256')
  const [rs, ps] = [
    createProofKeyFrom('RS256', privateKey),
    createProofKeyFrom('PS256', privateKey)
  ]
  assertRejected(t, signProof(input('PS256', rs), rs), 'RSA PKCS1 key with PSS padding')
  assertRejected(t, signProof(input('RS256', ps), ps), 'RSA PSS key with PKCS1 padding')
})

t.test('jwk must be a public key without private members', async t => {
  const rsa = createProofKey('RS256')
  const wrong = [
    undefined,
    null,
    'x',
    1,
    [],
    [key.jwk],
    {},
    { keys: [key.jwk] },
    createPublicKey(key.privateKey).export({ format: 'pem', type: 'spki' })
  ]

  for (const jwk of wrong) {
    assertRejected(
      t,
      createProof(key, claims, { jwk }),
      `jwk ${String(JSON.stringify(jwk)).slice(0, 30)}`
    )
  }

  for (const own of [key, ed, rsa]) {
    assertRejected(
      t,
      createProof(own, claims, { jwk: own.privateKey.export({ format: 'jwk' }) }),
      `${own.alg}: the private key`
    )

    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
      for (const value of ['AQAB', '', null]) {
        assertRejected(
          t,
          createProof(own, claims, { jwk: { ...own.jwk, [member]: value } }),
          `${own.alg} with ${member}`
        )
      }
    }

    for (const member of Object.keys(own.jwk)) {
      for (const value of [undefined, null, '', 1, {}, 'x']) {
        assertRejected(
          t,
          createProof(own, claims, { jwk: { ...own.jwk, [member]: value } }),
          `${own.alg}: ${member} is ${JSON.stringify(value)}`
        )
      }
    }
  }

  const secret = Buffer.alloc(32, 7)

  for (const alg of ['HS256', 'ES256']) {
    const input = `${
      encode({ typ: 'dpop+jwt', alg, jwk: { kty: 'oct', k: secret.toString('base64url') } })
    }.${encode(claims)}`
    assertRejected(t, signWithSecret(input, secret), `a secret, as ${alg}`)
  }
})

t.test('a weak key, another curve or an invalid point is rejected', async t => {
  const { x = '', y = '' } = key.jwk
  const flipped = Buffer.from(y, 'base64url')
  flipped[31] = (flipped[31] as number) ^ 1

  for (
    const jwk of [{ ...key.jwk, y: flipped.toString('base64url') }, { ...key.jwk, x: y, y: x }, {
      ...key.jwk,
      x: Buffer.alloc(32).toString('base64url')
    }]
  ) {
    assertRejected(t, createProof(key, claims, { jwk }), 'not a point of P-256')
  }

  for (const namedCurve of ['P-384', 'P-521', 'secp256k1']) {
    const other = createProofKeyFrom('ES256', generateKeyPairSync('ec', { namedCurve }).privateKey)
    assertRejected(t, createProof(other, claims), namedCurve)
    assertRejected(
      t,
      createProof(other, claims, { jwk: { ...other.jwk, crv: 'P-256' } }),
      `${namedCurve} that claims P-256`
    )
  }

  assertRejected(
    t,
    createProof(createProofKeyFrom('EdDSA', generateKeyPairSync('ed448').privateKey), claims),
    'Ed448'
  )
  assertRejected(t, createProof(ed, claims, { jwk: { ...ed.jwk, crv: 'X25519' } }), 'X25519')

  for (const alg of ['RS256', 'PS256'] as const) {
    assertRejected(t, createProof(createProofKey(alg, 1024), claims), `${alg} of 1024 bits`)
    assertRejected(
      t,
      createProof(
        createProofKeyFrom(
          alg,
          generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey
        ),
        claims
      ),
      `${alg} with e = 3`
    )
  }
})

t.test('a key that is expensive to verify is rejected unverified', async t => {
  t.ok(
    readDpopProof(createProof(createMersenneKey(3217n, 607n), claims)),
    'a key of 3824 bits is accepted'
  )
  assertRejected(t, createProof(createMersenneKey(2203n, 2281n), claims), 'a key of 4484 bits')
  assertRejected(
    t,
    createProof(createMersenneKey(3217n, 607n, 0x10003n), claims),
    'an unusual exponent could be as long as the key'
  )
})

/** An RSA key of the primes 2 ** a - 1 and 2 ** b - 1, which is fast to create. */
function createMersenneKey (a: bigint, b: bigint, e = 65_537n): ProofKey {
  const [p, q] = [2n ** a - 1n, 2n ** b - 1n]
  const d = inverse(e, (p - 1n) * (q - 1n))
  const members = { n: p * q, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) }
  const jwk = Object.fromEntries(
    Object.entries(members).map(([name, value]) => {
      const hex = value.toString(16)

      return [
        name,
        Buffer.from(hex.padStart(hex.length + hex.length % 2, '0'), 'hex').toString('base64url')
      ]
    })
  )

  return createProofKeyFrom(
    'RS256',
    createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' })
  )
}

function inverse (a: bigint, modulus: bigint): bigint {
  let [r, next, s, t] = [modulus, a, 0n, 1n]

  while (next > 0n) {
    ;[r, next, s, t] = [next, r % next, t, s - r / next * t]
  }

  return (s % modulus + modulus) % modulus
}
