import * as jose from 'jose'
import t from 'tap'
import { proofAlgorithms as announced, readDpopProof } from '../../src/dpop/proof.js'
import type { AppKey } from '../../src/tokens/keys.js'
import { createProof, createProofKey, encode, proofAlgorithms, signProof } from '../helpers/dpop.js'
import { createTokenVariants } from '../helpers/respellings.js'
import { assertRejected, claims, ed, key, known, withMember } from './fixtures.js'

t.test('a valid proof of each algorithm is read with its key thumbprint', async t => {
  t.strictSame(announced, ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256'])
  t.strictSame([...proofAlgorithms].sort(), [...announced].sort(), 'all algorithms are tested')

  for (const alg of proofAlgorithms) {
    const key = createProofKey(alg)
    const thumbprint = await jose.calculateJwkThumbprint(key.jwk as jose.JWK)
    t.strictSame(readDpopProof(createProof(key, claims)), {
      thumbprint,
      ...claims,
      nonce: null,
      ath: null
    }, alg)
    t.strictSame(readDpopProof(createProof(key, { ...claims, nonce: 'n', ath: 'a', more: [1] })), {
      thumbprint,
      ...claims,
      nonce: 'n',
      ath: 'a'
    })
    const own = { ...key.jwk, alg: key.alg, use: 'sig', kid: 'k', key_ops: ['verify'], ext: true }
    t.equal(
      readDpopProof(createProof(key, claims, { jwk: own, kid: 'x', jku: 'https://evil.test' }))
        ?.thumbprint,
      thumbprint,
      'other members of the key are ignored'
    )
  }
})

t.test('a key is cached by its header after it has verified a signature', async t => {
  const keys = new Map<string, AppKey>()
  const [key, other] = [createProofKey('ES256'), createProofKey('ES256')]
  t.equal(readDpopProof(createProof(other, claims, { jwk: key.jwk }), keys), null)
  t.equal(keys.size, 0)
  const first = readDpopProof(createProof(key, claims), keys)
  t.strictSame(readDpopProof(createProof(key, claims), keys), first)
  t.equal(keys.size, 1)
  t.equal(readDpopProof(createProof(other, claims, { jwk: key.jwk }), keys), null)
  t.equal(
    readDpopProof(createProof(other, claims), keys)?.thumbprint,
    await jose.calculateJwkThumbprint(other.jwk as jose.JWK)
  )
  t.ok(readDpopProof(createProof(key, claims, { more: 'x'.repeat(1200) }), keys))
  t.equal(keys.size, 2, 'a header longer than a key is not cached')
})

t.test('a signature of another key is rejected for each algorithm', async t => {
  for (const alg of proofAlgorithms) {
    const [key, other] = [createProofKey(alg), createProofKey(alg)]
    const sound = createProof(key, claims)
    t.ok(readDpopProof(sound, known))
    assertRejected(
      t,
      createProof(other, claims, { jwk: key.jwk }),
      `${alg}: another key has signed`
    )
    const [head = '', , signature = ''] = sound.split('.')
    assertRejected(
      t,
      `${head}.${encode({ ...claims, htm: 'GET' })}.${signature}`,
      `${alg}: another claim`
    )
    assertRejected(
      t,
      `${encode({ typ: 'dpop+jwt', alg, jwk: key.jwk, x: 1 })}.${
        sound.split('.').slice(1).join('.')
      }`,
      `${alg}: another header`
    )

    // Browsers create both forms of a signature. A proof is identified by its `jti` instead.
    const { 'n - s': _other, ...variants } = createTokenVariants(sound)

    for (const [name, text] of Object.entries(variants)) {
      assertRejected(t, text, `${alg}: ${name}`)
    }
  }
})

t.test('each claim must be present and well-formed', async t => {
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
      assertRejected(
        t,
        createProof(ed, withMember(claims, name, text)),
        `${name} ${text ?? 'missing'}`
      )
    }
  }

  t.ok(readDpopProof(createProof(ed, { ...claims, jti: 'j'.repeat(256) })))
  t.ok(
    readDpopProof(createProof(ed, { ...claims, iat: 1_767_225_600.5 })),
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
    assertRejected(t, createProof(ed, payload), `the claims ${String(payload)}`)
  }
})

t.test('typ must be that of a DPoP proof', async t => {
  for (const typ of ['dpop+jwt', 'DPoP+JWT', 'application/dpop+jwt']) {
    t.ok(readDpopProof(createProof(key, claims, { typ })), typ)
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
    assertRejected(t, createProof(key, claims, { typ }), `typ ${JSON.stringify(typ)}`)
  }
})

t.test('crit is rejected whatever it contains', async t => {
  for (const crit of [[], ['b64'], ['exp'], null, 'x']) {
    assertRejected(t, createProof(key, claims, { crit, b64: true }), JSON.stringify(crit))
  }
})

t.test('a proof must be one compact JWT of at most 8 KiB', async t => {
  const sound = createProof(ed, claims)
  const [protectedHeader, payload, signature] = sound.split('.')
  const texts = [
    '',
    ' ',
    'x',
    'a.b.c',
    '..',
    `DPoP ${sound}`,
    `${sound}, ${sound}`,
    `${sound},${createProof(ed, { ...claims, jti: 'j2' })}`,
    `${sound}.${sound}`,
    JSON.stringify({ payload, protected: protectedHeader, signature }),
    JSON.stringify({ payload, signatures: [{ protected: protectedHeader, signature }] }),
    `${sound.slice(0, -1)}`,
    sound.toUpperCase()
  ]

  for (const text of texts) {
    assertRejected(t, text, text.slice(0, 40))
  }

  for (const header of ['null', '[]', '"x"', '', '{']) {
    assertRejected(t, signProof(`${encode(header)}.${encode(claims)}`, ed), `the header ${header}`)
  }

  // The correct key signs the padding and the spaces.
  for (const extra of ['=', '==', ' ', '\n', '+', '/']) {
    assertRejected(
      t,
      signProof(`${protectedHeader ?? ''}${extra}.${payload ?? ''}`, ed),
      `${JSON.stringify(extra)} behind the header`
    )
    assertRejected(
      t,
      signProof(`${protectedHeader ?? ''}.${payload ?? ''}${extra}`, ed),
      `${JSON.stringify(extra)} behind the claims`
    )
  }

  const long = (length: number): string => createProof(ed, { ...claims, pad: 'x'.repeat(length) })
  const room = Math.floor((8192 - long(0).length) * 3 / 4)
  t.ok(readDpopProof(long(room - 3)), 'as long as it may be')
  assertRejected(t, long(room + 3), 'longer')
})
