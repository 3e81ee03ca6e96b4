import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import {
  ACCESS_TYP,
  findReservedClaim,
  issueAccessToken,
  readAccessClaims
} from '../../src/tokens/access-token.js'
import type { AccessScope, AccessToken } from '../../src/tokens/access-token.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import type { JwtSigner } from '../../src/tokens/jwt-codec.js'
import type { Claims } from '../../src/tokens/claims.js'
import {
  createSessionSecret,
  issueRefreshToken,
  readRefreshToken,
  REFRESH_TYP
} from '../../src/tokens/refresh-token.js'
import { createSecretCodec } from '../helpers/signers.js'

// Encodes to base64url with both `-` and `_`, which the standard alphabet spells `+` and `/`.
const KID = 'k>?>?>?~~~'
const KEY = randomBytes(32)
const OTHER_KEY = randomBytes(32)
const NOW = Date.UTC(2026, 0, 1)
const START = NOW / 1000
const NOBODY = { issuer: undefined, audience: undefined }
const unbound = { clientId: null, thumbprint: null }

const header = { alg: 'HS256', typ: ACCESS_TYP, kid: KID }
const accessClaims = {
  sub: 'u-ann',
  sid: 's1',
  gen: 3,
  type: 'access',
  auth_time: START,
  iat: START,
  exp: START + 900
}
const refreshClaims = { ...accessClaims, type: 'refresh', secret: createSessionSecret().secret }

function encode (part: unknown): string {
  const bytes = part instanceof Buffer
    ? part
    : Buffer.from(typeof part === 'string' ? part : JSON.stringify(part))
  return bytes.toString('base64url')
}

function decode (part: string): Buffer {
  return Buffer.from(part, 'base64url')
}

function sign (input: string, key: Buffer | string = KEY, algorithm = 'sha256'): string {
  return `${input}.${createHmac(algorithm, key).update(input).digest('base64url')}`
}

/** A token by hand, so that the right key signs what no library would. A text or bytes stand as they are. */
function write (
  head: unknown,
  payload: unknown,
  key?: Buffer | string,
  algorithm?: string
): string {
  return sign(`${encode(head)}.${encode(payload)}`, key, algorithm)
}

/** JSON in which one member has the given text as its value, or is left out where there is none. */
function withMember (object: object, name: string, text: string | undefined): string {
  const members = Object.entries(object).filter(([key]) => key !== name).map(([key, value]) =>
    `"${key}":${JSON.stringify(value)}`
  )
  return `{${[...members, ...(text === undefined ? [] : [`"${name}":${text}`])].join()}}`
}

function readAccessToken (
  kind: JwtCodec,
  token: string,
  now: number,
  scope: AccessScope
): AccessToken | null {
  const claims = kind.verify(token)
  return claims === null ? null : readAccessClaims(claims, now, scope)
}

function partsOf (token: string): [string, string, string] {
  return token.split('.') as [string, string, string]
}

/** The same JSON at the three lengths that differ in how many bits of the last character belong to no byte. */
function spaced (value: object): string[] {
  return ['', ' ', '  '].map(space => encode(JSON.stringify(value) + space))
}

// Accepts every signature, so that whatever is rejected was rejected by JwtCodec itself.
const credulousSigner: JwtSigner = {
  kid: KID,
  alg: 'HS256',
  sign: claims => write(header, claims),
  verify: token => JSON.parse(decode(partsOf(token)[1]).toString())
}

async function createKinds (typ: string): Promise<Record<'real' | 'credulous', JwtCodec>> {
  return {
    real: await createSecretCodec(typ, { id: KID, key: KEY }),
    credulous: new JwtCodec(typ, [credulousSigner])
  }
}

const kinds = await createKinds(ACCESS_TYP)
const refreshKinds = await createKinds(REFRESH_TYP)

function refuses (t: Test, token: string, name: string): void {
  for (const [signer, kind] of Object.entries(kinds)) {
    t.equal(kind.verify(token), null, `${name} (${signer} signer)`)
  }
}

function opens (t: Test, token: string, name: string): void {
  for (const [signer, kind] of Object.entries(kinds)) {
    t.not(kind.verify(token), null, `${name} (${signer} signer)`)
  }
}

t.test('a token that was written here opens to its claims', async t => {
  t.strictSame(kinds.real.verify(kinds.real.sign(accessClaims)), accessClaims)
  t.strictSame(
    kinds.real.verify(write(header, accessClaims)),
    accessClaims,
    'by hand too, on which the rest of this file rests'
  )
})

t.test('nothing may be put into a part, though the right key signed it so', async t => {
  const [head, payload, signature] = partsOf(write(header, accessClaims))
  const strangers = [
    ' ',
    '\n',
    '\r\n',
    '\t',
    '\0',
    '=',
    '==',
    '%3D',
    '+',
    '/',
    'é',
    '\u200b',
    '\u00a0',
    '\ufeff'
  ]

  for (const stranger of strangers) {
    const spoil = (
      part: string
    ): string[] => [
      stranger + part,
      `${part.slice(0, 8)}${stranger}${part.slice(8)}`,
      part + stranger
    ]

    for (const [place, spoilt] of spoil(head).entries()) {
      refuses(
        t,
        sign(`${spoilt}.${payload}`),
        `${JSON.stringify(stranger)} in the header, place ${place}`
      )
    }

    for (const [place, spoilt] of spoil(payload).entries()) {
      refuses(
        t,
        sign(`${head}.${spoilt}`),
        `${JSON.stringify(stranger)} in the payload, place ${place}`
      )
    }

    for (const [place, spoilt] of spoil(signature).entries()) {
      refuses(
        t,
        `${head}.${payload}.${spoilt}`,
        `${JSON.stringify(stranger)} in the signature, place ${place}`
      )
    }
  }
})

t.test('padding that the length asks for is refused as well', async t => {
  const padded = (value: object): string[] =>
    spaced(value).filter(part => part.length % 4 !== 0)
      .map(part => part.padEnd(Math.ceil(part.length / 4) * 4, '='))
  const [head, payload] = partsOf(write(header, accessClaims))
  t.strictSame(
    [padded(header).length, padded(accessClaims).length],
    [2, 2],
    'one and two signs, each'
  )

  for (const part of padded(header)) {
    refuses(t, sign(`${part}.${payload}`), 'header')
  }

  for (const part of padded(accessClaims)) {
    refuses(t, sign(`${head}.${part}`), 'payload')
  }

  refuses(t, `${write(header, accessClaims)}=`, 'signature')
})

t.test('the standard alphabet is refused', async t => {
  const toStandard = (part: string): string => part.replaceAll('-', '+').replaceAll('_', '/')
  const [head, payload] = partsOf(write(header, { ...accessClaims, name: KID }))
  t.match([head, payload], [/-.*_|_.*-/, /-.*_|_.*-/], 'both parts tell the alphabets apart')
  refuses(t, sign(`${toStandard(head)}.${payload}`), 'header')
  refuses(t, sign(`${head}.${toStandard(payload)}`), 'payload')

  let token = ''

  for (let jti = 0; !/-.*_|_.*-/.test(partsOf(token)[2] ?? ''); jti++) {
    token = write(header, { ...accessClaims, jti })
  }

  opens(t, token, 'a signature with both')
  refuses(
    t,
    `${partsOf(token)[0]}.${partsOf(token)[1]}.${toStandard(partsOf(token)[2])}`,
    'signature'
  )
})

t.test('bits that belong to no byte are part of the one spelling', async t => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const otherSpellings = (part: string): string[] =>
    Array.from(alphabet, last => part.slice(0, -1) + last)
      .filter(spelling =>
        spelling !== part &&
        Buffer.from(spelling, 'base64url').equals(Buffer.from(part, 'base64url'))
      )
  const [head, payload, signature] = partsOf(write(header, accessClaims))

  const heads = spaced(header).flatMap(otherSpellings)
  const payloads = spaced(accessClaims).flatMap(otherSpellings)
  const signatures = otherSpellings(signature)
  t.strictSame(
    [heads.length, payloads.length, signatures.length],
    [18, 18, 3],
    'all of them were found'
  )

  for (const other of heads) {
    refuses(t, sign(`${other}.${payload}`), 'header')
  }

  for (const other of payloads) {
    refuses(t, sign(`${head}.${other}`), 'payload')
  }

  for (const other of signatures) {
    refuses(t, `${head}.${payload}.${other}`, 'signature')
  }
})

t.test('a token has three parts, none of them empty', async t => {
  const token = write(header, accessClaims)
  const [head, payload, signature] = partsOf(token)
  const texts = [
    '',
    '.',
    '..',
    '...',
    head,
    `${head}.${payload}`,
    `${head}.${payload}.`,
    `${head}..${signature}`,
    `.${payload}.${signature}`,
    `${token}.`,
    `.${token}`,
    `${token}.${signature}`,
    `${head}.${payload}..${signature}`,
    `${token}.${head}.${payload}`,
    `${token} ${token}`,
    `Bearer ${token}`,
    'null',
    'undefined',
    '[object Object]',
    'A.A.A'
  ]

  for (const text of texts) {
    refuses(t, text, `${text.slice(0, 12)}, ${text.split('.').length} parts`)
  }
})

t.test('the JSON serialisations, encrypted and nested tokens are refused', async t => {
  const token = write(header, accessClaims)
  const [head, payload, signature] = partsOf(token)
  refuses(t, JSON.stringify({ payload, protected: head, signature }), 'flattened')
  refuses(t, JSON.stringify({ payload, signatures: [{ protected: head, signature }] }), 'general')
  refuses(t, JSON.stringify(token), 'in quotes')
  refuses(
    t,
    `${
      encode({ alg: 'dir', enc: 'A256GCM', kid: KID, typ: ACCESS_TYP })
    }.${payload}.${payload}.${payload}.${signature}`,
    'JWE'
  )
  refuses(t, write({ ...header, cty: 'JWT' }, token), 'a token in a token, marked')
  refuses(t, write(header, token), 'a token in a token')
})

t.test('a token of 8192 characters opens, a longer one is refused', async t => {
  const ofLength = (length: number): string => {
    for (const space of ['', ' ', '  ']) {
      const head = encode(JSON.stringify(header) + space)
      const short = sign(`${head}.${encode({ ...accessClaims, pad: '' })}`).length

      for (let size = Math.floor((length - short) * 0.75) - 2; size < length; size++) {
        const token = sign(`${head}.${encode({ ...accessClaims, pad: 'x'.repeat(size) })}`)

        if (token.length === length) {
          return token
        }

        if (token.length > length) {
          break
        }
      }
    }

    throw new Error(`no token has the length ${length}`)
  }

  opens(t, ofLength(8192), '8192')
  refuses(t, ofLength(8193), '8193')
  refuses(t, write(header, { ...accessClaims, pad: 'x'.repeat(2 ** 20) }), '1 MB')
})

t.test('the algorithm is the key\'s own, to the letter', async t => {
  const [head, payload] = partsOf(write(header, accessClaims))

  for (const none of ['none', 'None', 'NONE', 'nOnE', 'none ', '', ' none']) {
    const unsigned = `${encode({ ...header, alg: none })}.${payload}`
    refuses(t, `${unsigned}.`, `"${none}" and no signature`)
    refuses(
      t,
      `${unsigned}.${partsOf(sign(`${head}.${payload}`))[2]}`,
      `"${none}" and a signature that was for HS256`
    )
    refuses(t, sign(unsigned), `"${none}", signed`)
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
    refuses(t, write({ ...header, alg }, accessClaims), `"${alg}" over HMAC-SHA256`)
  }

  refuses(t, write({ ...header, alg: 'HS512' }, accessClaims, KEY, 'sha512'), 'HS512, and truly so')
  refuses(t, write({ ...header, alg: 'HS384' }, accessClaims, KEY, 'sha384'), 'HS384, and truly so')

  for (const text of ['["HS256"]', '[]', '{"0":"HS256"}', 'null', 'true', '256', undefined]) {
    refuses(t, write(withMember(header, 'alg', text), accessClaims), text ?? 'missing')
  }

  refuses(t, write(withMember(header, 'alg', '"HS256","alg":"none"'), accessClaims), 'given twice')
})

t.test('a header member beside alg, typ and kid is refused', async t => {
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
      refuses(t, write(head, accessClaims), `${name}: ${JSON.stringify(value)}`)
    }
  }

  refuses(
    t,
    write({ ...header, jwk }, accessClaims, OTHER_KEY),
    'a key that comes with what it signed'
  )
  refuses(t, write({ ...header, b64: false, crit: ['b64'] }, accessClaims), 'b64 with crit')
  refuses(t, write(withMember(header, '__proto__', '{"x":1}'), accessClaims), '__proto__')
})

t.test('a key is found by a kid that is a text, and known', async t => {
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
    refuses(
      t,
      write({ ...header, kid }, accessClaims),
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
    refuses(t, write(withMember(header, 'kid', text), accessClaims), text ?? 'missing')
  }

  refuses(
    t,
    write(
      withMember({ alg: 'HS256', typ: ACCESS_TYP }, '__proto__', JSON.stringify({ kid: KID })),
      accessClaims
    ),
    'inherited'
  )
})

t.test('the type is that of this kind, in any case and with or without application/', async t => {
  for (const typ of ['at+jwt', 'AT+JWT', 'At+Jwt', 'application/at+jwt', 'Application/AT+JWT']) {
    opens(t, write({ ...header, typ }, accessClaims), typ)
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
    refuses(t, write({ ...header, typ }, accessClaims), `the text ${JSON.stringify(typ)}`)
  }

  for (const text of [undefined, 'null', '1', 'true', '{}', '["at+jwt"]']) {
    refuses(t, write(withMember(header, 'typ', text), accessClaims), text ?? 'missing')
  }
})

t.test('a header that is no JSON object is refused', async t => {
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
    refuses(t, write(text, accessClaims), text)
  }

  refuses(t, write(Buffer.from([0xff, 0xfe, 0x00]), accessClaims), 'bytes')
})

t.test('a signature of another key, another text or another length is refused', async t => {
  const { real } = kinds
  const token = write(header, accessClaims)
  const [head, payload, signature] = partsOf(token)
  t.equal(real.verify(write(header, accessClaims, OTHER_KEY)), null, 'another key')
  t.equal(real.verify(write(header, accessClaims, '')), null, 'an empty key')
  t.equal(real.verify(write(header, accessClaims, KID)), null, 'the kid as key')
  t.equal(
    real.verify(write(header, accessClaims, KEY.toString('base64url'))),
    null,
    'the key\'s text as key'
  )
  t.equal(
    real.verify(`${head}.${encode({ ...accessClaims, sub: 'u-bob' })}.${signature}`),
    null,
    'another payload'
  )
  t.equal(
    real.verify(`${encode({ ...header, typ: 'AT+JWT' })}.${payload}.${signature}`),
    null,
    'another header'
  )
  t.equal(
    real.verify(`${head}.${payload}.${Buffer.alloc(32).toString('base64url')}`),
    null,
    'zeros'
  )
  const bytes = Buffer.from(signature, 'base64url')
  const withSignature = (other: Uint8Array): string =>
    `${head}.${payload}.${Buffer.from(other).toString('base64url')}`

  for (const length of [1, 16, 31]) {
    t.equal(
      real.verify(withSignature(bytes.subarray(0, length))),
      null,
      `its first ${length} bytes`
    )
  }

  t.equal(real.verify(withSignature(Buffer.concat([bytes, Buffer.alloc(1)]))), null, 'a byte more')
  const flipped = Array.from({ length: 256 }, (_, bit) => {
    const other = Buffer.from(bytes)
    other.writeUInt8(other.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    return real.verify(withSignature(other))
  })
  t.ok(flipped.every(opened => opened === null), 'any of its 256 bits flipped')
})

t.test('claims that are no JSON object in UTF-8 are refused', async t => {
  const { real } = kinds
  const payloads = [
    '[]',
    JSON.stringify([accessClaims]),
    'null',
    '"u-ann"',
    '1',
    'true',
    '{',
    'x',
    `${JSON.stringify(accessClaims)},`
  ]

  for (const payload of payloads) {
    t.equal(real.verify(write(header, payload)), null, payload)
  }

  t.equal(
    real.verify(write(header, `\ufeff${JSON.stringify(accessClaims)}`)),
    null,
    'a byte order mark before it'
  )
  const [before, after] = JSON.stringify({ ...accessClaims, sub: 'u-?' }).split('?') as [
    string,
    string
  ]
  const notUtf8 = Buffer.concat([
    Buffer.from(before),
    Buffer.from([0xff, 0xc0]),
    Buffer.from(after)
  ])
  t.equal(real.verify(write(header, notUtf8)), null, 'bytes that are no UTF-8')
  t.equal(
    real.verify(write(header, Buffer.from(JSON.stringify(accessClaims), 'utf16le'))),
    null,
    'UTF-16'
  )
})

t.test('the first key signs, every key verifies, each only under its own kid', async t => {
  const keys = [{ id: 'first', key: OTHER_KEY }, { id: KID, key: KEY }] as const
  const first = await createSecretCodec(ACCESS_TYP, keys[0])
  const second = await createSecretCodec(ACCESS_TYP, keys[1])
  const both = await createSecretCodec(ACCESS_TYP, ...keys)
  t.equal(both.sign(accessClaims), first.sign(accessClaims))
  t.strictSame(both.verify(first.sign(accessClaims)), accessClaims)
  t.strictSame(both.verify(second.sign(accessClaims)), accessClaims)
  t.equal(both.verify(write({ ...header, kid: 'first' }, accessClaims, KEY)), null)
  t.equal(both.verify(write({ ...header, kid: KID }, accessClaims, OTHER_KEY)), null)
  t.equal(first.verify(second.sign(accessClaims)), null, 'a key that was withdrawn')
})

t.test('what a text says of itself is told without proof, and of sound spellings alone', async t => {
  const { real } = kinds
  t.ok(real.looksLike(write({ typ: 'AT+JWT' }, {}, OTHER_KEY)))
  t.notOk(real.looksLike(write({ ...header, typ: REFRESH_TYP }, accessClaims)))
  t.notOk(real.looksLike(write(withMember(header, 'typ', undefined), accessClaims)))
  t.notOk(real.looksLike(`${write(header, accessClaims)}=`))
  t.notOk(real.looksLike('at+jwt'))
})

// The texts of JSON values that no claim of the type may have.
const noCount = [
  '"5"',
  '""',
  '1.5',
  '-1',
  '1e308',
  '1e999',
  '-1e999',
  '9007199254740993',
  'null',
  'true',
  '{}',
  '[]',
  '[5]',
  '"Infinity"',
  undefined
]
const noText = [
  '1',
  '0',
  '1.5',
  '""',
  'null',
  'true',
  '{}',
  '{"toString":"x"}',
  '[]',
  '["u-ann"]',
  undefined
]

t.test('an access token with a claim that is missing or of another type is refused', async t => {
  const wrong = {
    sub: noText,
    sid: noText,
    gen: noCount,
    iat: noCount,
    exp: noCount,
    type: [...noText, '"refresh"', '"Access"', '"access "']
  }

  for (const [signer, kind] of Object.entries(kinds)) {
    t.not(
      readAccessToken(kind, write(header, accessClaims), NOW, NOBODY),
      null,
      `${signer} signer: a sound one is read`
    )

    for (const [name, texts] of Object.entries(wrong)) {
      for (const text of texts) {
        const token = write(header, withMember(accessClaims, name, text))
        t.equal(
          readAccessToken(kind, token, NOW, NOBODY),
          null,
          `${signer} signer: ${name} ${text ?? 'missing'}`
        )
      }
    }
  }
})

t.test('a refresh token with a claim that is missing or of another type is refused', async t => {
  const { secret } = refreshClaims
  const noSecret = [
    ...noText,
    JSON.stringify(secret.slice(1)),
    JSON.stringify(`${secret}A`),
    JSON.stringify(`${secret}=`),
    JSON.stringify(`${secret}\n`),
    JSON.stringify(`+${secret.slice(1)}`),
    JSON.stringify(`/${secret.slice(1)}`),
    JSON.stringify(` ${secret.slice(1)}`),
    JSON.stringify(`\0${secret.slice(1)}`),
    JSON.stringify([secret])
  ]
  const wrong = {
    sub: noText,
    sid: noText,
    gen: noCount,
    iat: noCount,
    exp: noCount,
    type: [...noText, '"access"', '"Refresh"', '"refresh "'],
    secret: noSecret
  }
  const head = { ...header, typ: REFRESH_TYP }

  for (const [signer, kind] of Object.entries(refreshKinds)) {
    t.match(readRefreshToken(kind, write(head, refreshClaims)), {
      userId: 'u-ann',
      sessionId: 's1',
      generation: 3
    })

    for (const [name, texts] of Object.entries(wrong)) {
      for (const text of texts) {
        const token = write(head, withMember(refreshClaims, name, text))
        t.equal(
          readRefreshToken(kind, token),
          null,
          `${signer} signer: ${name} ${text ?? 'missing'}`
        )
      }
    }
  }
})

t.test('neither kind of token passes for the other, even under one key', async t => {
  const subject = {
    userId: 'u-ann',
    sessionId: 's1',
    generation: 0,
    authenticatedAt: NOW,
    amr: [],
    ...unbound,
    claims: {}
  }
  const edition = { generation: 0, issuedAt: NOW, expiresAt: NOW + 900_000 }
  const access =
    issueAccessToken(kinds.real, subject, { from: NOW, to: NOW + 900_000 }, NOBODY).token
  const refresh = issueRefreshToken(refreshKinds.real, {
    id: 's1',
    userId: 'u-ann',
    secret: refreshClaims.secret
  }, edition)
  t.not(readAccessToken(kinds.real, access, NOW, NOBODY), null)
  t.not(readRefreshToken(refreshKinds.real, refresh), null)
  t.equal(readAccessToken(kinds.real, refresh, NOW, NOBODY), null)
  t.equal(readRefreshToken(refreshKinds.real, access), null)
  t.equal(
    readAccessToken(kinds.real, write(header, refreshClaims), NOW, NOBODY),
    null,
    'the type of one, the claims of the other'
  )
  t.equal(
    readRefreshToken(
      refreshKinds.real,
      write({ ...header, typ: REFRESH_TYP }, { ...refreshClaims, type: 'access' })
    ),
    null
  )
})

t.test('an access token from the future is refused, but for the tolerance of clocks', async t => {
  const read = (claims: object): AccessToken | null =>
    readAccessToken(kinds.real, write(header, { ...accessClaims, ...claims }), NOW, NOBODY)
  const year = 365 * 86_400
  t.not(read({ iat: START + 59, exp: START + 900 }), null, 'iat 59 s ahead')
  t.equal(read({ iat: START + 61, exp: START + 900 }), null, 'iat 61 s ahead')
  t.equal(read({ iat: START + year, exp: START + year + 900 }), null, 'iat a year ahead')
  t.not(read({ nbf: START }), null, 'nbf now')
  t.not(read({ nbf: START + 59 }), null, 'nbf 59 s ahead')
  t.equal(read({ nbf: START + 61 }), null, 'nbf 61 s ahead')
  t.equal(read({ nbf: START + year }), null, 'nbf a year ahead')

  for (const text of noCount.filter(text => text !== undefined)) {
    const token = write(header, withMember(accessClaims, 'nbf', text))
    t.equal(readAccessToken(kinds.credulous, token, NOW, NOBODY), null, `nbf ${text}`)
  }
})

t.test('an access token that has ended is read, and tells when it ended', async t => {
  const token = write(header, accessClaims)
  t.equal(readAccessToken(kinds.real, token, NOW + 86_400_000, NOBODY)?.expiresAt, NOW + 900_000)
})

t.test('issuer and audience are demanded where they are configured, and none where they are not', async t => {
  const both = { issuer: 'https://a.example', audience: 'api' }
  const sound = { ...accessClaims, iss: both.issuer, aud: both.audience }
  t.not(readAccessToken(kinds.real, write(header, sound), NOW, both), null)
  t.equal(
    readAccessToken(kinds.real, write(header, sound), NOW, NOBODY),
    null,
    'both given, none configured'
  )

  const isRefused = (name: string, text: string | undefined): void => {
    const token = write(header, withMember(sound, name, text))

    for (const [signer, kind] of Object.entries(kinds)) {
      t.equal(
        readAccessToken(kind, token, NOW, both),
        null,
        `${signer} signer: ${name} ${text ?? 'missing'}`
      )
    }
  }

  for (
    const text of [
      ...noText,
      '"https://a.example/"',
      '"https://A.example"',
      '"https://a.example.evil.com"',
      '["https://a.example"]'
    ]
  ) {
    isRefused('iss', text)
  }

  for (const text of [...noText, '"API"', '"api2"', '"ap"', '["other"]', '{"api":true}']) {
    isRefused('aud', text)
  }
})

t.test('an issued access token says what it was issued for', async t => {
  const scope = { issuer: 'https://a.example', audience: 'api' }
  const subject = {
    userId: 'u-ann',
    sessionId: 's1',
    generation: 2,
    authenticatedAt: NOW,
    amr: ['pwd'],
    ...unbound,
    claims: { role: 'admin', groups: ['a'] }
  }
  const { token, expiresIn } = issueAccessToken(kinds.real, subject, {
    from: NOW + 999,
    to: NOW + 60_500
  }, scope)
  t.equal(expiresIn, 60)
  t.strictSame(readAccessToken(kinds.real, token, NOW, scope), {
    ...subject,
    persistent: false,
    expiresAt: NOW + 60_000
  })
  t.strictSame(JSON.parse(Buffer.from(partsOf(token)[0], 'base64url').toString()), header)
})

t.test('the claims of the token itself are not shown as the app\'s, nor can an app set them', async t => {
  const own = {
    ...accessClaims,
    jti: 'x',
    cnf: { jkt: 'k' },
    client_id: 'c',
    auth_time: 1,
    amr: [],
    acr: 'x',
    nbf: START
  }
  const read = readAccessToken(kinds.real, write(header, { ...own, role: 'user' }), NOW, {
    ...NOBODY,
    firstParty: 'auth'
  })
  t.strictSame(read?.claims, { role: 'user' })
  t.ok(Object.isFrozen(read?.claims))

  for (const name of [...Object.keys(own), 'iss', 'aud', '__proto__']) {
    t.equal(findReservedClaim(JSON.parse(`{"role":"user","${name}":1}`)), name)
  }

  t.equal(findReservedClaim({ role: 'user', groups: [] }), undefined)
})

t.test('a binding is read where it is ours, and is never ignored', async t => {
  const read = (claims: object, firstParty?: string): AccessToken | null =>
    readAccessToken(kinds.real, write(header, { ...accessClaims, ...claims }), NOW, {
      ...NOBODY,
      firstParty
    })
  t.match(read({ cnf: { jkt: 'k' } }), { thumbprint: 'k', clientId: null })
  t.match(read({ client_id: 'c' }, 'auth'), { thumbprint: null, clientId: 'c' })
  t.match(read({ client_id: 'auth' }, 'auth'), unbound)
  t.equal(read({ client_id: 'c' }), null, 'no clients are configured')
  t.match(read({}, 'auth'), unbound, 'from before there were any')

  for (
    const cnf of [{}, 'k', [], { jkt: '' }, { jkt: 1 }, { jkt: 'k', 'x5t#S256': 'x' }, {
      'x5t#S256': 'x'
    }, true]
  ) {
    t.equal(read({ cnf }), null, JSON.stringify(cnf))
  }

  for (const clientId of ['', 1, {}, ['c'], true]) {
    t.equal(read({ client_id: clientId }, 'auth'), null, JSON.stringify(clientId))
  }
})

t.test('a __proto__ claim adds nothing to the claims', async t => {
  for (const kind of Object.values(kinds)) {
    const read = readAccessToken(
      kind,
      write(header, withMember(accessClaims, '__proto__', '{"role":"admin"}')),
      NOW,
      NOBODY
    )
    t.notOk((read?.claims as Claims | undefined)?.role)
    t.notOk(({} as Claims).role)
  }
})
