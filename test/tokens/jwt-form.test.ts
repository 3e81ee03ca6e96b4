import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import {
  accessClaims,
  assertAccepted,
  assertRejected,
  createToken,
  encode,
  header,
  KID,
  sign,
  splitToken
} from './jwt-codec-setup.js'

/** Encodes the same JSON at three lengths, which differ in their number of unused bits. */
function encodeAtThreeLengths (value: object): string[] {
  return ['', ' ', '  '].map(space => encode(JSON.stringify(value) + space))
}

t.test('a signed token with characters inserted into a part is rejected', async t => {
  const [head, payload, signature] = splitToken(createToken(header, accessClaims))
  const insertions = [
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

  for (const insertion of insertions) {
    const insert = (
      part: string
    ): string[] => [
      insertion + part,
      `${part.slice(0, 8)}${insertion}${part.slice(8)}`,
      part + insertion
    ]

    for (const [place, changed] of insert(head).entries()) {
      assertRejected(
        t,
        sign(`${changed}.${payload}`),
        `${JSON.stringify(insertion)} in the header, place ${place}`
      )
    }

    for (const [place, changed] of insert(payload).entries()) {
      assertRejected(
        t,
        sign(`${head}.${changed}`),
        `${JSON.stringify(insertion)} in the payload, place ${place}`
      )
    }

    for (const [place, changed] of insert(signature).entries()) {
      assertRejected(
        t,
        `${head}.${payload}.${changed}`,
        `${JSON.stringify(insertion)} in the signature, place ${place}`
      )
    }
  }
})

t.test('base64url padding is rejected', async t => {
  const padded = (value: object): string[] =>
    encodeAtThreeLengths(value).filter(part => part.length % 4 !== 0)
      .map(part => part.padEnd(Math.ceil(part.length / 4) * 4, '='))
  const [head, payload] = splitToken(createToken(header, accessClaims))
  t.strictSame(
    [padded(header).length, padded(accessClaims).length],
    [2, 2],
    'one and two signs, each'
  )

  for (const part of padded(header)) {
    assertRejected(t, sign(`${part}.${payload}`), 'header')
  }

  for (const part of padded(accessClaims)) {
    assertRejected(t, sign(`${head}.${part}`), 'payload')
  }

  assertRejected(t, `${createToken(header, accessClaims)}=`, 'signature')
})

t.test('the standard base64 alphabet is rejected', async t => {
  const toStandard = (part: string): string => part.replaceAll('-', '+').replaceAll('_', '/')
  const [head, payload] = splitToken(createToken(header, { ...accessClaims, name: KID }))
  t.match([head, payload], [/-.*_|_.*-/, /-.*_|_.*-/], 'both parts tell the alphabets apart')
  assertRejected(t, sign(`${toStandard(head)}.${payload}`), 'header')
  assertRejected(t, sign(`${head}.${toStandard(payload)}`), 'payload')

  let token = ''

  for (let jti = 0; !/-.*_|_.*-/.test(splitToken(token)[2] ?? ''); jti++) {
    token = createToken(header, { ...accessClaims, jti })
  }

  assertAccepted(t, token, 'a signature with both')
  assertRejected(
    t,
    `${splitToken(token)[0]}.${splitToken(token)[1]}.${toStandard(splitToken(token)[2])}`,
    'signature'
  )
})

t.test('a token with unused bits set is rejected', async t => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const otherSpellings = (part: string): string[] =>
    Array.from(alphabet, last => part.slice(0, -1) + last)
      .filter(spelling =>
        spelling !== part &&
        Buffer.from(spelling, 'base64url').equals(Buffer.from(part, 'base64url'))
      )
  const [head, payload, signature] = splitToken(createToken(header, accessClaims))

  const heads = encodeAtThreeLengths(header).flatMap(otherSpellings)
  const payloads = encodeAtThreeLengths(accessClaims).flatMap(otherSpellings)
  const signatures = otherSpellings(signature)
  t.strictSame(
    [heads.length, payloads.length, signatures.length],
    [18, 18, 3],
    'all of them were found'
  )

  for (const other of heads) {
    assertRejected(t, sign(`${other}.${payload}`), 'header')
  }

  for (const other of payloads) {
    assertRejected(t, sign(`${head}.${other}`), 'payload')
  }

  for (const other of signatures) {
    assertRejected(t, `${head}.${payload}.${other}`, 'signature')
  }
})

t.test('a token without exactly three non-empty parts is rejected', async t => {
  const token = createToken(header, accessClaims)
  const [head, payload, signature] = splitToken(token)
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
    assertRejected(t, text, `${text.slice(0, 12)}, ${text.split('.').length} parts`)
  }
})

t.test('JSON serializations, encrypted tokens and nested tokens are rejected', async t => {
  const token = createToken(header, accessClaims)
  const [head, payload, signature] = splitToken(token)
  assertRejected(t, JSON.stringify({ payload, protected: head, signature }), 'flattened')
  assertRejected(
    t,
    JSON.stringify({ payload, signatures: [{ protected: head, signature }] }),
    'general'
  )
  assertRejected(t, JSON.stringify(token), 'in quotes')
  assertRejected(
    t,
    `${
      encode({ alg: 'dir', enc: 'A256GCM', kid: KID, typ: ACCESS_TYP })
    }.${payload}.${payload}.${payload}.${signature}`,
    'JWE'
  )
  assertRejected(t, createToken({ ...header, cty: 'JWT' }, token), 'a token in a token, marked')
  assertRejected(t, createToken(header, token), 'a token in a token')
})

t.test('a token of 8192 characters is accepted, a longer one is rejected', async t => {
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

  assertAccepted(t, ofLength(8192), '8192')
  assertRejected(t, ofLength(8193), '8193')
  assertRejected(t, createToken(header, { ...accessClaims, pad: 'x'.repeat(2 ** 20) }), '1 MB')
})
