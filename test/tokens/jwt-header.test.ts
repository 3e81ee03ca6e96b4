import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import {
  accessClaims,
  assertAccepted,
  assertRejected,
  createToken,
  encode,
  header,
  KEY,
  KID,
  OTHER_KEY,
  sign,
  splitToken,
  withMember
} from './jwt-codec-setup.js'

t.test('a token with another algorithm than that of its key is rejected', async t => {
  const [head, payload] = splitToken(createToken(header, accessClaims))

  for (const none of ['none', 'None', 'NONE', 'nOnE', 'none ', '', ' none']) {
    const unsigned = `${encode({ ...header, alg: none })}.${payload}`
    assertRejected(t, `${unsigned}.`, `"${none}" and no signature`)
    assertRejected(
      t,
      `${unsigned}.${splitToken(sign(`${head}.${payload}`))[2]}`,
      `"${none}" and a signature that was for HS256`
    )
    assertRejected(t, sign(unsigned), `"${none}", signed`)
  }

  for (
    const alg of [
      'hs256',
      'Hs256',
      'HS256 ',
      'HS-256',
      'SHA256',
      'HS384',
      'HS512',
      'RS256',
      'ES256',
      'PS256',
      'EdDSA',
      'dir'
    ]
  ) {
    assertRejected(t, createToken({ ...header, alg }, accessClaims), `"${alg}" over HMAC-SHA256`)
  }

  assertRejected(
    t,
    createToken({ ...header, alg: 'HS512' }, accessClaims, KEY, 'sha512'),
    'HS512, and truly so'
  )
  assertRejected(
    t,
    createToken({ ...header, alg: 'HS384' }, accessClaims, KEY, 'sha384'),
    'HS384, and truly so'
  )

  for (const text of ['["HS256"]', '[]', '{"0":"HS256"}', 'null', 'true', '256', undefined]) {
    assertRejected(t, createToken(withMember(header, 'alg', text), accessClaims), text ?? 'missing')
  }

  assertRejected(
    t,
    createToken(withMember(header, 'alg', '"HS256","alg":"none"'), accessClaims),
    'given twice'
  )
})

t.test('a header member other than alg, typ and kid is rejected', async t => {
  const jwk = { kty: 'oct', k: OTHER_KEY.toString('base64url'), alg: 'HS256' }
  const members: Record<string, unknown[]> = {
    jwk: [jwk, {}, null],
    jku: ['http://127.0.0.1:9/jwks.json'],
    x5u: ['http://127.0.0.1:9/x5u'],
    x5c: [['MIIB']],
    x5t: ['abc'],
    'x5t#S256': ['abc'],
    crit: [[], ['exp'], ['b64'], ['alg'], 'exp', null],
    b64: [false, true],
    cty: ['JWT', 'json', ''],
    zip: ['DEF'],
    enc: ['A256GCM'],
    p2c: [1],
    nonce: ['n'],
    constructor: [{}],
    ALG: ['HS256'],
    'kid ': [KID]
  }

  for (const [name, values] of Object.entries(members)) {
    for (const value of values) {
      const head = withMember(header, name, JSON.stringify(value))
      assertRejected(t, createToken(head, accessClaims), `${name}: ${JSON.stringify(value)}`)
    }
  }

  assertRejected(
    t,
    createToken({ ...header, jwk }, accessClaims, OTHER_KEY),
    'a key that comes with what it signed'
  )
  assertRejected(
    t,
    createToken({ ...header, b64: false, crit: ['b64'] }, accessClaims),
    'b64 with crit'
  )
  assertRejected(
    t,
    createToken(withMember(header, '__proto__', '{"x":1}'), accessClaims),
    '__proto__'
  )
})

t.test('a token with a kid that is unknown or not a string is rejected', async t => {
  const texts = [
    '__proto__',
    'constructor',
    'toString',
    '',
    ' ',
    '../../dev/null',
    '\' OR 1=1--',
    'a\r\nb: c',
    `${KID}\0`,
    `${KID} `,
    KID.toUpperCase(),
    'x'.repeat(5000),
    'x'.repeat(2 ** 20),
    '0'
  ]

  for (const kid of texts) {
    assertRejected(
      t,
      createToken({ ...header, kid }, accessClaims),
      `the text ${JSON.stringify(kid.slice(0, 20))}`
    )
  }

  for (
    const text of [
      undefined,
      'null',
      '0',
      '1',
      'true',
      '{}',
      `{"toString":${JSON.stringify(KID)}}`,
      `[${JSON.stringify(KID)}]`,
      '[]'
    ]
  ) {
    assertRejected(t, createToken(withMember(header, 'kid', text), accessClaims), text ?? 'missing')
  }

  assertRejected(
    t,
    createToken(
      withMember({ alg: 'HS256', typ: ACCESS_TYP }, '__proto__', JSON.stringify({ kid: KID })),
      accessClaims
    ),
    'inherited'
  )
})

t.test('the typ must match, in any case and with or without application/', async t => {
  for (const typ of ['at+jwt', 'AT+JWT', 'At+Jwt', 'application/at+jwt', 'Application/AT+JWT']) {
    assertAccepted(t, createToken({ ...header, typ }, accessClaims), typ)
  }

  const texts = [
    'JWT',
    'jwt',
    'rt+jwt',
    'dpop+jwt',
    'dbsc+jwt',
    'refresh+jwt',
    '',
    'at',
    'at+jwt ',
    ' at+jwt',
    'at+jwt;v=1',
    'at+jwt\0',
    'xat+jwt',
    'at+jwts',
    'application/',
    'application/rt+jwt',
    'application/application/at+jwt',
    'text/at+jwt',
    'at+jwt/application/',
    'at+application/jwt'
  ]

  for (const typ of texts) {
    assertRejected(
      t,
      createToken({ ...header, typ }, accessClaims),
      `the text ${JSON.stringify(typ)}`
    )
  }

  for (const text of [undefined, 'null', '1', 'true', '{}', '["at+jwt"]']) {
    assertRejected(t, createToken(withMember(header, 'typ', text), accessClaims), text ?? 'missing')
  }
})

t.test('a header that is not a JSON object is rejected', async t => {
  for (
    const text of [
      'null',
      '[]',
      '"at+jwt"',
      '1',
      'true',
      '{',
      '{}',
      '',
      'x',
      JSON.stringify([header]),
      `${JSON.stringify(header)}{}`
    ]
  ) {
    assertRejected(t, createToken(text, accessClaims), text)
  }

  assertRejected(t, createToken(Buffer.from([0xff, 0xfe, 0x00]), accessClaims), 'bytes')
})
