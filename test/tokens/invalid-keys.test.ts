import { createSecretKey, generateKeyPairSync, KeyObject, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { readKeys } from '../../src/tokens/keys.js'
import { p384, pairs, rsa, signing, spare, toJwk, toPem, verifying } from './keys-setup.js'

const short = generateKeyPairSync('rsa', { modulusLength: 1024 })

// Node would read the key of this certificate.
// openssl req -x509 -newkey ed25519 -nodes -keyout /dev/null -subj /CN=x -days 36500
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

const encryptedPem = signing.export({
  format: 'pem',
  type: 'pkcs8',
  cipher: 'aes-256-cbc',
  passphrase: 'open sesame'
}) as string

const secret = pairs.HS256.signing

const INVALID_KEYS: Record<string, [unknown, RegExp]> = {
  'no list': [signing, /^"keys" must be an array$/],
  'a text for a list': [toPem(signing), /^"keys" must be an array$/],
  null: [null, /^"keys" must be an array$/],
  'no keys': [[], /^"keys\[0\]" must be a private key/],
  'RSA of 1024 bits': [
    [short.privateKey],
    /^"keys\[0\]" must have at least 2048 bits, not 1024; run "openssl genpkey/
  ],
  'the same, to verify by': [
    [signing, short.publicKey],
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
  'an encrypted PEM': [[encryptedPem], /^"keys\[0\]" must be PEM .*not encrypted/],
  'a PEM that is cut off': [[toPem(rsa.signing).slice(0, 900)], /must be PEM/],
  'a PEM behind a space': [[` ${toPem(signing)}`], /must be PEM/],
  'a PEM behind a text': [[signing, `key:\n${toPem(verifying)}`], /^"keys\[1\]" must be PEM/],
  'a certificate': [[signing, certificate], /^"keys\[1\]" must be PEM/],
  'a JWK without x': [[{ ...toJwk(signing), x: undefined }], /must be PEM/],
  'a JWK of another kty': [[{ ...toJwk(signing), kty: 'EC' }], /must be PEM/],
  'a JWK with d of null': [[{ ...toJwk(signing), d: null }], /must be PEM/],
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
      { key: { key: signing } },
      () => signing,
      Symbol('k')
    ]
      .map(
        value => [`${inspect(value)}`, [[value], /^"keys\[0\]" must be PEM/] as [unknown, RegExp]]
      )
  ),
  'a hole': [[signing, undefined], /^"keys\[1\]" must be PEM/],
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
    [{ key: signing, alg: 'ES256' }],
    /^"keys\[0\]" cannot be used with this alg; valid: EdDSA$/
  ],
  'an alg in another case': [[{ key: signing, alg: 'eddsa' }], /cannot be used with this alg/],
  'an alg that there is not': [
    [{ key: signing, alg: '__proto__' }],
    /cannot be used with this alg/
  ],
  none: [[{ key: signing, alg: 'none' }], /cannot be used with this alg/],
  'a secret for RS256': [[{ key: secret, alg: 'RS256' }], /cannot be used with this alg/],
  'a public key for HS256': [
    [{ key: rsa.verifying, alg: 'HS256' }],
    /cannot be used with this alg; valid: RS256, PS256/
  ],
  'a JWK that says another alg': [
    [{ ...toJwk(signing), alg: 'RS256' }],
    /cannot be used with this alg/
  ],
  ...Object.fromEntries(['', ' ', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(129), 5, null, {}, ['a']]
    .map(
      kid => [
        `the kid ${inspect(kid)}`,
        [[{ key: signing, kid }], /^"keys\[0\]" must have a kid of letters/] as [
          unknown,
          RegExp
        ]
      ]
    )),
  'a public key first': [
    [verifying, spare],
    /^"keys\[0\]" must be a private key or a secret, because it signs$/
  ],
  'a key twice': [[signing, spare, verifying], /^"keys" must not contain a kid twice/],
  'a kid twice': [
    [{ key: signing, kid: 'k' }, { key: spare, kid: 'k' }],
    /^"keys" must not contain a kid twice/
  ],
  'a secret behind a pair': [
    [signing, secret],
    /^"keys" must be either all key pairs or all secrets/
  ],
  'a pair behind a secret': [
    [secret, signing],
    /^"keys" must be either all key pairs or all secrets/
  ]
}

/** Finds the strings of a key: the lines of its PEM and the members of its JWK. */
function findKeyStrings (value: unknown): string[] {
  if (Array.isArray(value)) {
    return value.flatMap(findKeyStrings)
  }

  if (typeof value === 'string') {
    return value.split('\n').filter(line => line.length > 20 && !line.startsWith('-----'))
  }

  if (value instanceof KeyObject) {
    return value.type === 'secret' ? findKeyStrings(toJwk(value)) : findKeyStrings(toPem(value))
  }

  if (typeof value !== 'object' || value === null) {
    return []
  }

  const { d, k, p, key, x, n } = value as Record<string, unknown>
  return findKeyStrings([d, k, p, key, x, n])
}

function readKeysError (keys: unknown): Error | null {
  try {
    readKeys(keys as never)
    return null
  } catch (error) {
    return error as Error
  }
}

const otherPublicJwk = toJwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)

const e1 = { ...toJwk(rsa.verifying), e: 'AQ' }

const MORE_INVALID_KEYS: Record<string, [unknown, RegExp]> = {
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
    [{ ...toJwk(pairs.ES256.signing), x: otherPublicJwk.x, y: otherPublicJwk.y }],
    /"keys\[0\]"/
  ],
  'a JWK of two keys, RSA': [[{
    ...toJwk(rsa.signing),
    n: toJwk(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey).n
  }], /"keys\[0\]"/],
  'RSA with an exponent of 1': [[signing, e1], /"keys\[1\]"/],
  'RSA-PSS, which has no JWK': [[
    generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey
  ], /^"keys\[0\]" must be a key for ES256/],
  'a member that there is not': [
    [{ key: rsa.signing, algorithm: 'PS256' }],
    /^"keys\[0\]" must not have the member "algorithm"; valid members: key, alg, kid$/
  ],
  'a JWK to encrypt with': [[{ ...toJwk(signing), use: 'enc' }], /use/],
  'a JWK with another alg than the given one': [[{
    key: { ...toJwk(rsa.signing), alg: 'RS256' },
    alg: 'PS256'
  }], /alg/]
}

t.test('an unusable key is rejected with a message that does not contain it', async t => {
  for (const [name, [keys, message]] of Object.entries(INVALID_KEYS)) {
    const error = readKeysError(keys)
    t.type(error, TypeError, name)
    t.match(error?.message, message, name)
    const printed = inspect(error, { depth: 9, showHidden: true })

    for (const text of findKeyStrings(keys)) {
      t.notOk(printed.includes(text), `${name} holds nothing of it`)
    }
  }
})

t.test('weak and inconsistent keys are rejected', async t => {
  for (const [name, [keys, message]] of Object.entries(MORE_INVALID_KEYS)) {
    t.match(readKeysError(keys)?.message, message, name)
  }
})
