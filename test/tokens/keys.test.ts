// The app's own keys: in whatever form a key comes it signs and verifies, so that jose verifies it too; a key that is weak or
// no key is refused in words that hold nothing of it; and a token has one spelling under every algorithm, since the libraries
// let other spellings through (security.md, section 2).

import {
  constants,
  createHmac,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  KeyObject,
  randomBytes,
  sign,
  verify
} from 'node:crypto'
import type { JsonWebKey } from 'node:crypto'
import { inspect } from 'node:util'
import * as jose from 'jose'
import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import { readKey } from '../../src/tokens/keys.js'
import { createKeySigner, createSigners } from '../../src/tokens/key-signer.js'
import type { KeyAlgorithm } from '../../src/tokens/signatures.js'
import { readKeys } from '../../src/tokens/keys.js'
import type { KeyInput, KeyMaterial } from '../../src/tokens/keys.js'
import { respellings } from '../helpers/respellings.js'

interface Pair {
  readonly own: KeyObject
  readonly shown: KeyObject
}

const pairOf = (made: { privateKey: KeyObject, publicKey: KeyObject }): Pair => ({
  own: made.privateKey,
  shown: made.publicKey
})

const secretOf = (bytes: number): Pair => {
  const secret = createSecretKey(randomBytes(bytes))
  return { own: secret, shown: secret }
}

const rsa = pairOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))
const pairs: Record<KeyAlgorithm, Pair> = {
  HS256: secretOf(32),
  HS384: secretOf(48),
  HS512: secretOf(64),
  ES256: pairOf(generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  EdDSA: pairOf(generateKeyPairSync('ed25519')),
  RS256: rsa,
  PS256: rsa
}
const all = Object.entries(pairs) as Array<[KeyAlgorithm, Pair]>
const asymmetric = all.filter(([alg]) => !alg.startsWith('HS'))
const claims = { sub: 'u-ann', n: '>?>?>?~~~' }
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

const toJwk = (key: KeyObject): JsonWebKey => key.export({ format: 'jwk' })
const toPem = (
  key: KeyObject,
  type: 'pkcs8' | 'spki' | 'pkcs1' | 'sec1' = key.type === 'private' ? 'pkcs8' : 'spki'
): string => key.export({ format: 'pem', type } as never) as string

/** Every form in which a key may come. */
function formsOf (key: KeyObject): Record<string, KeyMaterial> {
  const forms = { 'a KeyObject': key, 'a JWK': toJwk(key) }

  return key.type === 'secret'
    ? forms
    : { ...forms, 'a PEM': toPem(key), 'a PEM with more lines': `${toPem(key)}\n\n` }
}

function kindOf (...keys: KeyInput[]): JwtCodec {
  return new JwtCodec(
    ACCESS_TYP,
    keys.map(key => createKeySigner(readKey(key), ACCESS_TYP)) as never
  )
}

const encode = (part: unknown): string =>
  Buffer.from(typeof part === 'string' ? part : JSON.stringify(part)).toString('base64url')
const decode = (part: string): Buffer => Buffer.from(part, 'base64url')
const partsOf = (token: string): [string, string, string] =>
  token.split('.') as [string, string, string]

/** A token by hand, so that the right key signs what no library would. A text stands as it is. */
function write (alg: KeyAlgorithm, head: unknown, payload: unknown = claims): string {
  const input = `${encode(head)}.${encode(payload)}`
  return `${input}.${signature(alg, input).toString('base64url')}`
}

const details = {
  ES256: { dsaEncoding: 'ieee-p1363' },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
} as Partial<Record<KeyAlgorithm, object>>

function signature (alg: KeyAlgorithm, input: string): Buffer {
  const key = pairs[alg].own

  if (key.type === 'secret') {
    return createHmac(`sha${alg.slice(2)}`, key).update(input).digest()
  }

  const bytes = sign(alg === 'EdDSA' ? null : 'sha256', Buffer.from(input), {
    key,
    ...details[alg]
  })
  return alg === 'ES256' && bytes.readUInt8(32) > 0x7e ? signature(alg, input) : bytes
}

t.test('in every form a key signs, and in every form its public part verifies', async t => {
  for (const [alg, { own, shown }] of all) {
    for (const [ownForm, key] of Object.entries(formsOf(own))) {
      const token = kindOf({ key, alg }).sign(claims)

      for (const [form, other] of Object.entries(formsOf(shown))) {
        t.strictSame(
          kindOf({ key: other, alg }).verify(token),
          claims,
          `${alg}: ${ownForm} signs, ${form} verifies`
        )
      }
    }

    t.strictSame(
      kindOf({ key: own, alg, kid: 'k.1_-' }).verify(
        write(alg, { alg, typ: ACCESS_TYP, kid: 'k.1_-' })
      ),
      claims,
      'a kid of the app'
    )
    t.equal(
      kindOf({ key: own, alg, kid: 'other' }).verify(kindOf({ key: own, alg }).sign(claims)),
      null,
      `${alg}: under another kid`
    )
  }

  t.equal(readKey(toPem(rsa.own, 'pkcs1')).alg, 'RS256', 'PKCS #1')
  t.equal(readKey(toPem(pairs.ES256.own, 'sec1')).alg, 'ES256', 'SEC 1')
})

t.test('the algorithm is what is said, or what the JWK says, or the first that fits', async t => {
  const defaults = {
    HS256: 'HS256',
    HS384: 'HS256',
    HS512: 'HS256',
    ES256: 'ES256',
    EdDSA: 'EdDSA',
    RS256: 'RS256',
    PS256: 'RS256'
  }

  for (const [alg, { own }] of all) {
    t.equal(readKey(own).alg, defaults[alg], alg)
    t.equal(readKey({ ...toJwk(own), alg }).alg, alg, `${alg} of a JWK`)
    t.equal(readKey({ key: own, alg }).alg, alg, `${alg} said`)
  }
})

t.test('the kid is the thumbprint of RFC 7638; that of a secret tells nothing of it', async t => {
  for (const [alg, { own, shown }] of asymmetric) {
    const thumbprint = await jose.calculateJwkThumbprint(toJwk(shown) as jose.JWK)
    t.equal(readKey({ key: own, alg }).kid, thumbprint, alg)
    t.equal(readKey({ key: toPem(shown), alg }).kid, thumbprint, `${alg}, public`)
  }

  const { kid, publicJwk } = readKey(pairs.HS256.own)
  t.match(kid, /^[\w-]{12}$/)
  t.equal(publicJwk, null)
  t.not(
    kid,
    (await jose.calculateJwkThumbprint(toJwk(pairs.HS256.own) as jose.JWK)).slice(0, 12),
    'which could be searched for'
  )
})

t.test('jose verifies what is signed here, by the public JWK', async t => {
  for (const [alg, { own }] of all) {
    const key = readKey({ key: own, alg })
    const token = kindOf({ key: own, alg }).sign(claims)
    const theirs = key.publicJwk === null ? own : await jose.importJWK(key.publicJwk as jose.JWK)
    const { payload, protectedHeader } = await jose.jwtVerify(token, theirs, {
      typ: ACCESS_TYP,
      algorithms: [alg]
    })
    t.strictSame(payload, claims, alg)
    t.strictSame(protectedHeader, { alg, typ: ACCESS_TYP, kid: key.kid }, alg)
  }
})

t.test('what jose signs is verified here: of the two signatures of ES256, the one with the low s', async t => {
  for (const [alg, { own }] of all) {
    const kind = kindOf({ key: own, alg })
    const { kid } = readKey({ key: own, alg })
    const seen = new Set<boolean>()

    for (let i = 0; i < 64 && seen.size < 2; i++) {
      const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, typ: ACCESS_TYP, kid })
        .sign(own)
      const isLow = alg !== 'ES256' ||
        BigInt(`0x${decode(partsOf(token)[2]).toString('hex', 32)}`) <= P256_ORDER / 2n
      t.strictSame(kind.verify(token), isLow ? claims : null, alg)
      seen.add(isLow)

      if (alg !== 'ES256') {
        break
      }
    }

    t.equal(seen.size, alg === 'ES256' ? 2 : 1)
  }
})

t.test('of the two signatures of ECDSA one alone is written and read', async t => {
  const kind = kindOf(pairs.ES256.own)

  for (let i = 0; i < 32; i++) {
    const [head, payload, text] = partsOf(kind.sign(claims))
    const bytes = decode(text)
    const s = P256_ORDER - BigInt(`0x${bytes.toString('hex', 32)}`)
    t.ok(s > P256_ORDER / 2n, 'written low')
    const other = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, '0'), 'hex')
    ])
    t.ok(
      verify('sha256', Buffer.from(`${head}.${payload}`), {
        key: pairs.ES256.shown,
        dsaEncoding: 'ieee-p1363'
      }, other),
      'which Node believes'
    )
    t.equal(kind.verify(`${head}.${payload}.${other.toString('base64url')}`), null)
  }
})

t.test('a token has one spelling under every algorithm', async t => {
  for (const [alg, { own }] of all) {
    const kind = kindOf({ key: own, alg })
    const head = { alg, typ: ACCESS_TYP, kid: readKey({ key: own, alg }).kid }
    let token = write(alg, head)

    for (let n = 0; !/-.*_|_.*-/.test(partsOf(token)[2]); n++) {
      token = write(alg, head, { ...claims, n })
    }

    t.not(kind.verify(token), null, `${alg}: by hand, on which the rest rests`)
    const texts = respellings(token)

    if (alg !== 'HS384') {
      t.ok(
        Object.keys(texts).some(name => name.startsWith('unused bits')),
        `${alg}: some bits are unused`
      )
    }

    const [first, second, third] = partsOf(token)

    if (alg === 'ES256') {
      texts.DER = `${first}.${second}.${
        sign('sha256', Buffer.from(`${first}.${second}`), pairs.ES256.own).toString('base64url')
      }`
    }

    texts['the standard alphabet'] = `${first}.${second}.${
      third.replaceAll('-', '+').replaceAll('_', '/')
    }`

    for (const [name, text] of Object.entries(texts)) {
      t.equal(kind.verify(text), null, `${alg}: ${name}`)
    }
  }
})

t.test('the header holds alg, typ and kid as texts of ours, though the right key signed another one', async t => {
  for (const [alg, { own, shown }] of all) {
    const kind = kindOf({ key: own, alg })
    const { kid } = readKey({ key: own, alg })
    const head = { alg, typ: ACCESS_TYP, kid }
    const others = [
      ...all.map(([other]) => other),
      'none',
      'None',
      'nOnE',
      '',
      alg.toLowerCase(),
      ` ${alg}`,
      'ES384',
      'RSA-OAEP',
      'dir'
    ]
    const wrong: Array<[string, unknown]> = [
      ...[...others.filter(other => other !== alg), [alg], { alg }, null, 1, true].map(value =>
        ['alg', value] as [string, unknown]
      ),
      ...[
        '',
        ' ',
        `${kid} `,
        `${kid}\n`,
        `../${kid}`,
        '../../dev/null',
        '__proto__',
        'constructor',
        'toString',
        'x'.repeat(4000),
        '\' OR 1=1--',
        `${kid}\r\nx: y`,
        `${kid}\0`,
        [kid],
        { kid },
        { toString: kid },
        null,
        0,
        true
      ].map(value => ['kid', value] as [string, unknown]),
      ...[
        'JWT',
        'jwt',
        '',
        'at+jwt ',
        ' at+jwt',
        'at+jwt;x',
        'rt+jwt',
        'dpop+jwt',
        'refresh+jwt',
        'text/at+jwt',
        'application/application/at+jwt',
        ['at+jwt'],
        {},
        null,
        1
      ].map(value => ['typ', value] as [string, unknown])
    ]

    for (const [name, value] of wrong) {
      t.equal(
        kind.verify(write(alg, { ...head, [name]: value })),
        null,
        `${alg}: ${name} ${inspect(value).slice(0, 40)}`
      )
    }

    const jwk = shown.type === 'secret' ? {} : toJwk(shown)
    const extra = {
      jwk,
      jku: 'https://a.example/',
      x5u: 'https://a.example/',
      x5c: [],
      x5t: '',
      crit: ['b64'],
      b64: false,
      cty: 'JWT',
      zip: 'DEF',
      exp: 1
    }

    for (const [name, value] of Object.entries(extra)) {
      t.equal(kind.verify(write(alg, { ...head, [name]: value })), null, `${alg}: with ${name}`)
    }

    t.equal(
      kind.verify(write(alg, { ...head, crit: ['b64'], b64: false })),
      null,
      `${alg}: b64 and crit`
    )
    const text = JSON.stringify(head).slice(1)

    for (const [name, value] of Object.entries({ alg: 'none', typ: 'JWT', kid: 'x' })) {
      t.equal(
        kind.verify(write(alg, `{${text.slice(0, -1)},"${name}":"${value}"}`)),
        null,
        `${alg}: ${name} twice`
      )
    }

    t.equal(
      kind.verify(write(alg, `{"__proto__":${JSON.stringify(head)}}`)),
      null,
      `${alg}: inherited`
    )

    for (const name of Object.keys(head)) {
      t.equal(kind.verify(write(alg, { ...head, [name]: undefined })), null, `${alg}: no ${name}`)
    }

    for (const typ of ['AT+JWT', 'application/at+jwt']) {
      t.not(kind.verify(write(alg, { ...head, typ })), null, `${alg}: typ ${typ}`)
    }
  }
})

t.test('a public key is no secret: HS256 by any text of it is refused', async t => {
  for (const [alg, { own, shown }] of asymmetric) {
    const kind = kindOf({ key: own, alg })
    const { kid, publicJwk } = readKey({ key: own, alg })
    const [head, payload] = partsOf(kind.sign(claims))
    const pem = toPem(shown)
    const der = shown.export({ format: 'der', type: 'spki' })
    const secrets = [
      pem,
      pem.trim(),
      `${pem}\n`,
      pem.replaceAll('\n', '\r\n'),
      pem.split('\n').slice(1, -2).join(''),
      der,
      der.toString('base64'),
      JSON.stringify(publicJwk),
      JSON.stringify(toJwk(shown)),
      String(publicJwk?.x ?? publicJwk?.n),
      kid,
      Buffer.alloc(32)
    ]

    for (const hs of ['HS256', 'HS384', 'HS512']) {
      const input = `${encode({ alg: hs, typ: ACCESS_TYP, kid })}.${encode(claims)}`

      for (const [i, secret] of secrets.entries()) {
        const text = createHmac(`sha${hs.slice(2)}`, secret).update(input).digest('base64url')
        t.equal(kind.verify(`${input}.${text}`), null, `${alg} as ${hs}, text ${i}`)
        const under = createHmac(`sha${hs.slice(2)}`, secret).update(`${head}.${payload}`).digest(
          'base64url'
        )
        t.equal(
          kind.verify(`${head}.${payload}.${under}`),
          null,
          `${alg}: such a signature under its own header`
        )
      }
    }
  }
})

t.test('RS256 and PS256 of one key are two things, and so are a key and another', async t => {
  const [rs, ps] = [
    kindOf({ key: rsa.own, alg: 'RS256', kid: 'k' }),
    kindOf({ key: rsa.own, alg: 'PS256', kid: 'k' })
  ]
  t.equal(ps.verify(rs.sign(claims)), null)
  t.equal(rs.verify(ps.sign(claims)), null)
  const [, payload, third] = partsOf(rs.sign(claims))
  t.equal(
    ps.verify(`${partsOf(ps.sign(claims))[0]}.${payload}.${third}`),
    null,
    'the signature of one under the header of the other'
  )

  for (const [alg, { own }] of asymmetric) {
    const other = alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519')
    t.equal(
      kindOf({ key: other.publicKey, kid: 'k' }).verify(
        kindOf({ key: own, alg, kid: 'k' }).sign(claims)
      ),
      null,
      alg
    )
  }
})

t.test('a public key verifies, and cannot sign', async t => {
  for (const [alg, { shown }] of asymmetric) {
    t.throws(() => kindOf({ key: shown, alg }).sign(claims), { message: /can only verify/ })
  }
})

const [spare, p384] = [
  generateKeyPairSync('ed25519').privateKey,
  generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey
]
const short = generateKeyPairSync('rsa', { modulusLength: 1024 })
const { own, shown } = pairs.EdDSA
// Node would read the key of it. openssl req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=x -days 36500
const certificate = `-----BEGIN CERTIFICATE-----
MIIBLjCB4aADAgECAhR9BlDakEGRUbapwfQfguE1b9xsPzAFBgMrZXAwDDEKMAgG
A1UEAwwBeDAgFw0yNjExMjEwOTEyMTVaGA8yMTI2MTAyODA5MTIxNVowDDEKMAgG
A1UEAwwBeDAqMAUGAytlcAMhAGX4DKU3mZfJUU0BtQkoqI0H+PIXjoBbA7A+4RFN
s0b9o1MwUTAdBgNVHQ4EFgQU43WGQPu1TDFcXgXsrgLvt32sHVUwHwYDVR0jBBgw
FoAU43WGQPu1TDFcXgXsrgLvt32sHVUwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
QQA/yYz1VMmNFyPakH/EMeKIqMlBFpkpT8HjsB5bqqvjAKW8T57odJl2V4mtpcwN
GALnJ7KZqzFjuRSW0Bdf/TwJ
-----END CERTIFICATE-----
`
const locked = own.export({
  format: 'pem',
  type: 'pkcs8',
  cipher: 'aes-256-cbc',
  passphrase: 'open sesame'
}) as string
const secret = pairs.HS256.own

const refused: Record<string, [unknown, RegExp]> = {
  'no list': [own, /^"keys" must be an array$/],
  'a text for a list': [toPem(own), /^"keys" must be an array$/],
  null: [null, /^"keys" must be an array$/],
  'no keys': [[], /^"keys\[0\]" must be a private key/],
  'RSA of 1024 bits': [
    [short.privateKey],
    /^"keys\[0\]" must have at least 2048 bits, not 1024; run "openssl genpkey/
  ],
  'the same, to verify by': [
    [own, short.publicKey],
    /^"keys\[1\]" must have at least 2048 bits, not 1024/
  ],
  'P-384': [[p384], /^"keys\[0\]" must be a key for ES256/],
  'P-384 as ES256': [[{ key: p384, alg: 'ES256' }], /must be a key for ES256/],
  secp256k1: [
    [generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey],
    /must be a key for ES256/
  ],
  X25519: [[generateKeyPairSync('x25519').privateKey], /must be a key for ES256/],
  Ed448: [[generateKeyPairSync('ed448').privateKey], /must be a key for ES256/],
  DSA: [
    [generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 }).privateKey],
    /must be a key for ES256/
  ],
  'an encrypted PEM': [[locked], /^"keys\[0\]" must be PEM .*not encrypted/],
  'a PEM that is cut off': [[toPem(rsa.own).slice(0, 900)], /must be PEM/],
  'a PEM behind a space': [[` ${toPem(own)}`], /must be PEM/],
  'a PEM behind a text': [[own, `key:\n${toPem(shown)}`], /^"keys\[1\]" must be PEM/],
  'a certificate': [[own, certificate], /^"keys\[1\]" must be PEM/],
  'a JWK without x': [[{ ...toJwk(own), x: undefined }], /must be PEM/],
  'a JWK of another kty': [[{ ...toJwk(own), kty: 'EC' }], /must be PEM/],
  'a JWK with d of null': [[{ ...toJwk(own), d: null }], /must be PEM/],
  'a text for a secret': [[secret.export().toString('hex')], /must be PEM/],
  'bytes for a secret': [[secret.export()], /must be PEM/],
  garbage: [['-----BEGIN PRIVATE KEY-----\ngarbage\n-----END PRIVATE KEY-----'], /must be PEM/],
  ...Object.fromEntries(
    [
      '',
      ' ',
      null,
      undefined,
      5,
      true,
      {},
      [],
      { key: '' },
      { key: null },
      { key: { key: own } },
      () => own,
      Symbol('k')
    ]
      .map(
        value => [`${inspect(value)}`, [[value], /^"keys\[0\]" must be PEM/] as [unknown, RegExp]]
      )
  ),
  'a hole': [[own, undefined], /^"keys\[1\]" must be PEM/],
  'a JWK of a secret that is empty': [
    [{ kty: 'oct', k: '' }],
    /must have at least 32 bytes for HS256, not 0; run "openssl rand -base64 32"/
  ],
  'a JWK of no secret': [[{ kty: 'oct' }], /at least 32 bytes|must be PEM/],
  'a secret of 31 bytes': [
    [createSecretKey(randomBytes(31))],
    /must have at least 32 bytes for HS256, not 31/
  ],
  'a secret of 47 bytes for HS384': [
    [{ key: createSecretKey(randomBytes(47)), alg: 'HS384' }],
    /must have at least 48 bytes for HS384, not 47/
  ],
  'a secret of 63 bytes for HS512': [
    [{ ...toJwk(createSecretKey(randomBytes(63))), alg: 'HS512' }],
    /must have at least 64 bytes for HS512, not 63/
  ],
  'an alg of another key': [
    [{ key: own, alg: 'ES256' }],
    /^"keys\[0\]" cannot be used with this alg; valid: EdDSA$/
  ],
  'an alg in another case': [[{ key: own, alg: 'eddsa' }], /cannot be used with this alg/],
  'an alg that there is not': [[{ key: own, alg: '__proto__' }], /cannot be used with this alg/],
  none: [[{ key: own, alg: 'none' }], /cannot be used with this alg/],
  'a secret for RS256': [[{ key: secret, alg: 'RS256' }], /cannot be used with this alg/],
  'a public key for HS256': [
    [{ key: rsa.shown, alg: 'HS256' }],
    /cannot be used with this alg; valid: RS256, PS256/
  ],
  'a JWK that says another alg': [
    [{ ...toJwk(own), alg: 'RS256' }],
    /cannot be used with this alg/
  ],
  ...Object.fromEntries(['', ' ', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(129), 5, null, {}, ['a']]
    .map(
      kid => [
        `the kid ${inspect(kid)}`,
        [[{ key: own, kid }], /^"keys\[0\]" must have a kid of letters/] as [
          unknown,
          RegExp
        ]
      ]
    )),
  'a public key first': [
    [shown, spare],
    /^"keys\[0\]" must be a private key or a secret, because it signs$/
  ],
  'a key twice': [[own, spare, shown], /^"keys" must not contain a kid twice/],
  'a kid twice': [
    [{ key: own, kid: 'k' }, { key: spare, kid: 'k' }],
    /^"keys" must not contain a kid twice/
  ],
  'a secret behind a pair': [[own, secret], /^"keys" must be either all key pairs or all secrets/],
  'a pair behind a secret': [[secret, own], /^"keys" must be either all key pairs or all secrets/]
}

/** What would give a key away: the lines of its PEM, and the members of its JWK that are not public. */
function textsOf (value: unknown): string[] {
  if (Array.isArray(value)) {
    return value.flatMap(textsOf)
  }

  if (typeof value === 'string') {
    return value.split('\n').filter(line => line.length > 20 && !line.startsWith('-----'))
  }

  if (value instanceof KeyObject) {
    return value.type === 'secret' ? textsOf(toJwk(value)) : textsOf(toPem(value))
  }

  if (typeof value !== 'object' || value === null) {
    return []
  }

  const { d, k, p, key, x, n } = value as Record<string, unknown>
  return textsOf([d, k, p, key, x, n])
}

function errorOf (keys: unknown): Error | null {
  try {
    readKeys(keys as never)
    return null
  } catch (error) {
    return error as Error
  }
}

t.test('a key that cannot be used is refused in words that say why, and hold nothing of it', async t => {
  for (const [name, [keys, message]] of Object.entries(refused)) {
    const error = errorOf(keys)
    t.type(error, TypeError, name)
    t.match(error?.message, message, name)
    const said = inspect(error, { depth: 9, showHidden: true })

    for (const text of textsOf(keys)) {
      t.notOk(said.includes(text), `${name} holds nothing of it`)
    }
  }
})

const stranger = toJwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)
const e1 = { ...toJwk(rsa.shown), e: 'AQ' }

const toRefuse: Record<string, [unknown, RegExp]> = {
  'a secret of zeros': [
    [createSecretKey(Buffer.alloc(32))],
    /^"keys\[0\]" must be a random secret, but has fewer than 10 distinct/
  ],
  'a secret from a tutorial': [
    [createSecretKey(Buffer.from('your-256-bit-secret-change-me-now!'))],
    /must be a random secret, but is a known placeholder/
  ],
  'a secret that is not base64url': [[{
    kty: 'oct',
    k: `not a key! ${'correct horse '.repeat(9)}`
  }], /must be PEM/],
  'a JWK of two keys, EC': [
    [{ ...toJwk(pairs.ES256.own), x: stranger.x, y: stranger.y }],
    /"keys\[0\]"/
  ],
  'a JWK of two keys, RSA': [[{
    ...toJwk(rsa.own),
    n: toJwk(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey).n
  }], /"keys\[0\]"/],
  'RSA with an exponent of 1': [[own, e1], /"keys\[1\]"/],
  'RSA-PSS, which has no JWK': [[
    generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey
  ], /^"keys\[0\]" must be a key for ES256/],
  'a member that there is not': [
    [{ key: rsa.own, algorithm: 'PS256' }],
    /must have the members key, alg and kid only/
  ],
  'a JWK to encrypt with': [[{ ...toJwk(own), use: 'enc' }], /use/],
  'a JWK that says another alg than is said': [[{
    key: { ...toJwk(rsa.own), alg: 'RS256' },
    alg: 'PS256'
  }], /alg/]
}

t.test('more keys that cannot be used are refused', async t => {
  for (const [name, [keys, message]] of Object.entries(toRefuse)) {
    t.match(errorOf(keys)?.message, message, name)
  }
})

t.test('many keys: the first signs, all verify', async t => {
  const keys: KeyInput[] = [own, pairs.ES256.shown, toPem(rsa.shown), { key: spare, kid: 'spare' }]
  const kind = new JwtCodec(ACCESS_TYP, createSigners(readKeys(keys), ACCESS_TYP))
  t.match(JSON.parse(decode(partsOf(kind.sign(claims))[0]).toString()), {
    alg: 'EdDSA',
    kid: readKey(own).kid
  })

  for (const key of [own, pairs.ES256.own, rsa.own, { key: spare, kid: 'spare' }]) {
    t.strictSame(kind.verify(kindOf(key).sign(claims)), claims)
  }

  t.equal(kind.verify(kindOf(spare).sign(claims)), null, 'not under a kid that is not listed')
  t.equal(
    readKeys(keys).every(({ publicJwk }) =>
      publicJwk !== null && createPublicKey({ key: publicJwk, format: 'jwk' }).type === 'public'
    ),
    true
  )
})
