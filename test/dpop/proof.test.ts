// What a proof must be before anybody asks what it is for (RFC 9449 section 4.3, checks 2 to 7): a sound one of each algorithm,
// and then one thing at a time that is not.

import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import * as jose from 'jose'
import t from 'tap'
import type { Test } from 'tap'
import { proofAlgorithms as announced, readDpopProof } from '../../src/dpop/proof.js'
import type { AppKey } from '../../src/tokens/keys.js'
import {
  createProofKey,
  encode,
  keyOf,
  proofAlgorithms,
  signed,
  signedBySecret,
  writeProof
} from '../helpers/dpop.js'
import type { ProofKey } from '../helpers/dpop.js'
import { respellings } from '../helpers/respellings.js'

const claims = { jti: 'j1', htm: 'POST', htu: 'https://api.test/auth/login', iat: 1_767_225_600 }
/** The keys of all proofs that were sound. */
const known = new Map<string, AppKey>()
const [key, ed] = [createProofKey('ES256'), createProofKey('Ed25519')]

function refuses (t: Test, text: string, name: string): void {
  t.equal(readDpopProof(text), null, name)
  // Also where the keys of all sound proofs are remembered.
  t.equal(readDpopProof(text, known), null, `${name}, by a key that is known`)
}

/** JSON in which one member has the given text as its value, or is left out where there is none. */
function withMember (object: object, name: string, text: string | undefined): string {
  const members = Object.entries(object).filter(([key]) => key !== name).map(([key, value]) =>
    `"${key}":${JSON.stringify(value)}`
  )
  return `{${[...members, ...(text === undefined ? [] : [`"${name}":${text}`])].join()}}`
}

t.test('a sound proof of each algorithm is read; its key is named as others name it', async t => {
  t.strictSame(announced, ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256'])
  t.strictSame([...proofAlgorithms].sort(), [...announced].sort(), 'all of them')

  for (const alg of proofAlgorithms) {
    const key = createProofKey(alg)
    const thumbprint = await jose.calculateJwkThumbprint(key.jwk as jose.JWK)
    t.strictSame(readDpopProof(writeProof(key, claims)), {
      thumbprint,
      ...claims,
      nonce: null,
      ath: null
    }, alg)
    t.strictSame(readDpopProof(writeProof(key, { ...claims, nonce: 'n', ath: 'a', more: [1] })), {
      thumbprint,
      ...claims,
      nonce: 'n',
      ath: 'a'
    })
    const own = { ...key.jwk, alg: key.alg, use: 'sig', kid: 'k', key_ops: ['verify'], ext: true }
    t.equal(
      readDpopProof(writeProof(key, claims, { jwk: own, kid: 'x', jku: 'https://evil.test' }))
        ?.thumbprint,
      thumbprint,
      'whatever it says of itself'
    )
  }
})

t.test('a key is remembered by the header that shows it, once it has signed', async t => {
  const keys = new Map<string, AppKey>()
  const [key, other] = [createProofKey('ES256'), createProofKey('ES256')]
  t.equal(readDpopProof(writeProof(other, claims, { jwk: key.jwk }), keys), null)
  t.equal(keys.size, 0)
  const first = readDpopProof(writeProof(key, claims), keys)
  t.strictSame(readDpopProof(writeProof(key, claims), keys), first)
  t.equal(keys.size, 1)
  t.equal(readDpopProof(writeProof(other, claims, { jwk: key.jwk }), keys), null)
  t.equal(
    readDpopProof(writeProof(other, claims), keys)?.thumbprint,
    await jose.calculateJwkThumbprint(other.jwk as jose.JWK)
  )
  t.ok(readDpopProof(writeProof(key, claims, { more: 'x'.repeat(1200) }), keys))
  t.equal(keys.size, 2, 'what is longer than a key is not kept')
})

t.test('a proof of each algorithm is refused whose signature is not that of its key', async t => {
  for (const alg of proofAlgorithms) {
    const [key, other] = [createProofKey(alg), createProofKey(alg)]
    const sound = writeProof(key, claims)
    t.ok(readDpopProof(sound, known))
    refuses(t, writeProof(other, claims, { jwk: key.jwk }), `${alg}: another key has signed`)
    const [head = '', , signature = ''] = sound.split('.')
    refuses(t, `${head}.${encode({ ...claims, htm: 'GET' })}.${signature}`, `${alg}: another claim`)
    refuses(
      t,
      `${encode({ typ: 'dpop+jwt', alg, jwk: key.jwk, x: 1 })}.${
        sound.split('.').slice(1).join('.')
      }`,
      `${alg}: another header`
    )

    for (const [name, text] of Object.entries(respellings(sound))) {
      refuses(t, text, `${alg}: ${name}`)
    }
  }
})

t.test('each claim is there, and is what it must be', async t => {
  const wrong = ['null', '1', 'true', '[]', '["x"]', '{}', '""']
  const table: Record<string, Array<string | undefined>> = {
    jti: [undefined, ...wrong, JSON.stringify('j'.repeat(257))],
    htm: [undefined, ...wrong],
    htu: [undefined, ...wrong],
    iat: [undefined, 'null', '"1767225600"', 'true', '[1767225600]', '{}', '-1', '1e999'],
    nonce: wrong.filter(text => text !== 'null'),
    ath: wrong.filter(text => text !== 'null')
  }

  for (const [name, texts] of Object.entries(table)) {
    for (const text of texts) {
      refuses(t, writeProof(ed, withMember(claims, name, text)), `${name} ${text ?? 'missing'}`)
    }
  }

  t.ok(readDpopProof(writeProof(ed, { ...claims, jti: 'j'.repeat(256) })))
  t.ok(
    readDpopProof(writeProof(ed, { ...claims, iat: 1_767_225_600.5 })),
    'a NumericDate may be a fraction'
  )

  for (
    const payload of [
      'null',
      '[]',
      '"x"',
      '1',
      '',
      '{',
      `${JSON.stringify(claims)} x`,
      Buffer.from('{"jti":"\xff"}', 'latin1')
    ]
  ) {
    refuses(t, writeProof(ed, payload), `the claims ${String(payload)}`)
  }
})

t.test('typ is that of a proof', async t => {
  for (const typ of ['dpop+jwt', 'DPoP+JWT', 'application/dpop+jwt']) {
    t.ok(readDpopProof(writeProof(key, claims, { typ })), typ)
  }

  const wrong = [
    undefined,
    null,
    1,
    {},
    ['dpop+jwt'],
    '',
    'JWT',
    'at+jwt',
    'rt+jwt',
    'dbsc+jwt',
    'dpop',
    'dpop+jwt ',
    'text/dpop+jwt',
    'dpop+jwts'
  ]

  for (const typ of wrong) {
    refuses(t, writeProof(key, claims, { typ }), `typ ${JSON.stringify(typ)}`)
  }
})

t.test('crit is refused, whatever it names', async t => {
  for (const crit of [[], ['b64'], ['exp'], null, 'x']) {
    refuses(t, writeProof(key, claims, { crit, b64: true }), JSON.stringify(crit))
  }
})

t.test('alg is one of a key pair, in its one spelling, and that of the key', async t => {
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
        refuses(
          t,
          signedBySecret(input(alg, own), secret, alg === 'HS512' ? 'sha512' : 'sha256'),
          `${alg} by the public key of ${own.alg}`
        )
      }

      refuses(t, signed(input(alg, own), own), `${alg} signed as ${own.alg}`)
      refuses(t, `${input(alg, own)}.`, `${alg} unsigned`)
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
      refuses(t, signed(input(alg, own), own), `${JSON.stringify(alg)} of a key for ${own.alg}`)
    }
  }

  const { privateKey } = createProofKey('RS256')
  const [rs, ps] = [keyOf('RS256', privateKey), keyOf('PS256', privateKey)]
  refuses(t, signed(input('PS256', rs), rs), 'RSA in the other padding')
  refuses(t, signed(input('RS256', ps), ps), 'and the other way')
})

t.test('jwk is the public key, and nothing else', async t => {
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
    refuses(t, writeProof(key, claims, { jwk }), `jwk ${String(JSON.stringify(jwk)).slice(0, 30)}`)
  }

  for (const own of [key, ed, rsa]) {
    refuses(
      t,
      writeProof(own, claims, { jwk: own.privateKey.export({ format: 'jwk' }) }),
      `${own.alg}: the private key`
    )

    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']) {
      for (const value of ['AQAB', '', null]) {
        refuses(
          t,
          writeProof(own, claims, { jwk: { ...own.jwk, [member]: value } }),
          `${own.alg} with ${member}`
        )
      }
    }

    for (const member of Object.keys(own.jwk)) {
      for (const value of [undefined, null, '', 1, {}, 'x']) {
        refuses(
          t,
          writeProof(own, claims, { jwk: { ...own.jwk, [member]: value } }),
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
    refuses(t, signedBySecret(input, secret), `a secret, as ${alg}`)
  }
})

t.test('a key that is weak, of another curve, or no point of its curve is refused', async t => {
  const { x = '', y = '' } = key.jwk
  const flipped = Buffer.from(y, 'base64url')
  flipped[31] = (flipped[31] as number) ^ 1

  for (
    const jwk of [{ ...key.jwk, y: flipped.toString('base64url') }, { ...key.jwk, x: y, y: x }, {
      ...key.jwk,
      x: Buffer.alloc(32).toString('base64url')
    }]
  ) {
    refuses(t, writeProof(key, claims, { jwk }), 'no point of P-256')
  }

  for (const namedCurve of ['P-384', 'P-521', 'secp256k1']) {
    const other = keyOf('ES256', generateKeyPairSync('ec', { namedCurve }).privateKey)
    refuses(t, writeProof(other, claims), namedCurve)
    refuses(
      t,
      writeProof(other, claims, { jwk: { ...other.jwk, crv: 'P-256' } }),
      `${namedCurve} that says P-256`
    )
  }

  refuses(t, writeProof(keyOf('EdDSA', generateKeyPairSync('ed448').privateKey), claims), 'Ed448')
  refuses(t, writeProof(ed, claims, { jwk: { ...ed.jwk, crv: 'X25519' } }), 'X25519')

  for (const alg of ['RS256', 'PS256'] as const) {
    refuses(t, writeProof(createProofKey(alg, 1024), claims), `${alg} of 1024 bits`)
    refuses(
      t,
      writeProof(
        keyOf(
          alg,
          generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey
        ),
        claims
      ),
      `${alg} with e = 3`
    )
  }
})

t.test('what would take long to verify is refused unverified', async t => {
  t.ok(
    readDpopProof(writeProof(ofMersennePrimes(3217n, 607n), claims)),
    'a key of 3824 bits is good'
  )
  refuses(t, writeProof(ofMersennePrimes(2203n, 2281n), claims), 'one of 4484 bits is not')
  refuses(
    t,
    writeProof(ofMersennePrimes(3217n, 607n, 0x10003n), claims),
    'nor another exponent than all have: it could be as long as the key'
  )
})

/** A key that takes no time to make, of 2 ** a - 1 and 2 ** b - 1. */
function ofMersennePrimes (a: bigint, b: bigint, e = 65_537n): ProofKey {
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
  return keyOf('RS256', createPrivateKey({ key: { kty: 'RSA', ...jwk }, format: 'jwk' }))
}

function inverse (a: bigint, modulus: bigint): bigint {
  let [r, next, s, t] = [modulus, a, 0n, 1n]

  while (next > 0n) {
    ;[r, next, s, t] = [next, r % next, t, s - r / next * t]
  }

  return (s % modulus + modulus) % modulus
}

t.test('a proof is one JWT in the compact form, of 8 KiB at most', async t => {
  const sound = writeProof(ed, claims)
  const [protectedHeader, payload, signature] = sound.split('.')
  const texts = [
    '',
    ' ',
    'x',
    'a.b.c',
    '..',
    `DPoP ${sound}`,
    `${sound}, ${sound}`,
    `${sound},${writeProof(ed, { ...claims, jti: 'j2' })}`,
    `${sound}.${sound}`,
    JSON.stringify({ payload, protected: protectedHeader, signature }),
    JSON.stringify({ payload, signatures: [{ protected: protectedHeader, signature }] }),
    `${sound.slice(0, -1)}`,
    sound.toUpperCase()
  ]

  for (const text of texts) {
    refuses(t, text, text.slice(0, 40))
  }

  for (const header of ['null', '[]', '"x"', '', '{']) {
    refuses(t, signed(`${encode(header)}.${encode(claims)}`, ed), `the header ${header}`)
  }

  // Spelled by the right key: padding and spaces that the signature is over.
  for (const stranger of ['=', '==', ' ', '\n', '+', '/']) {
    refuses(
      t,
      signed(`${protectedHeader ?? ''}${stranger}.${payload ?? ''}`, ed),
      `${JSON.stringify(stranger)} behind the header`
    )
    refuses(
      t,
      signed(`${protectedHeader ?? ''}.${payload ?? ''}${stranger}`, ed),
      `${JSON.stringify(stranger)} behind the claims`
    )
  }

  const long = (length: number): string => writeProof(ed, { ...claims, pad: 'x'.repeat(length) })
  const room = Math.floor((8192 - long(0).length) * 3 / 4)
  t.ok(readDpopProof(long(room - 3)), 'as long as it may be')
  refuses(t, long(room + 3), 'longer')
})
