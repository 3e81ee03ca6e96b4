import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import { REFRESH_TYP } from '../../src/tokens/refresh-token.js'
import { createSecretCodec } from '../helpers/signers.js'
import {
  accessClaims,
  codecs,
  createToken,
  encode,
  header,
  KEY,
  KID,
  OTHER_KEY,
  splitToken,
  withMember
} from './jwt-codec-setup.js'

t.test('verify returns the claims of a token that sign created', async t => {
  t.strictSame(codecs.real.verify(codecs.real.sign(accessClaims)), accessClaims)
  t.strictSame(
    codecs.real.verify(createToken(header, accessClaims)),
    accessClaims,
    'by hand too, on which the rest of this file rests'
  )
})

t.test('a signature of another key, input or length is rejected', async t => {
  const { real } = codecs
  const token = createToken(header, accessClaims)
  const [head, payload, signature] = splitToken(token)
  t.equal(real.verify(createToken(header, accessClaims, OTHER_KEY)), null, 'another key')
  t.equal(real.verify(createToken(header, accessClaims, '')), null, 'an empty key')
  t.equal(real.verify(createToken(header, accessClaims, KID)), null, 'the kid as key')
  t.equal(
    real.verify(createToken(header, accessClaims, KEY.toString('base64url'))),
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

t.test('claims that are not a JSON object in UTF-8 are rejected', async t => {
  const { real } = codecs
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
    t.equal(real.verify(createToken(header, payload)), null, payload)
  }

  t.equal(
    real.verify(createToken(header, `\ufeff${JSON.stringify(accessClaims)}`)),
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
  t.equal(real.verify(createToken(header, notUtf8)), null, 'bytes that are no UTF-8')
  t.equal(
    real.verify(createToken(header, Buffer.from(JSON.stringify(accessClaims), 'utf16le'))),
    null,
    'UTF-16'
  )
})

t.test('the first key signs, and every key verifies under its own kid only', async t => {
  const keys = [{ id: 'first', key: OTHER_KEY }, { id: KID, key: KEY }] as const
  const first = await createSecretCodec(ACCESS_TYP, keys[0])
  const second = await createSecretCodec(ACCESS_TYP, keys[1])
  const both = await createSecretCodec(ACCESS_TYP, ...keys)
  t.equal(both.sign(accessClaims), first.sign(accessClaims))
  t.strictSame(both.verify(first.sign(accessClaims)), accessClaims)
  t.strictSame(both.verify(second.sign(accessClaims)), accessClaims)
  t.equal(both.verify(createToken({ ...header, kid: 'first' }, accessClaims, KEY)), null)
  t.equal(both.verify(createToken({ ...header, kid: KID }, accessClaims, OTHER_KEY)), null)
  t.equal(first.verify(second.sign(accessClaims)), null, 'a key that was withdrawn')
})

t.test('looksLike reads the type of well-formed tokens without verifying them', async t => {
  const { real } = codecs
  t.ok(real.looksLike(createToken({ typ: 'AT+JWT' }, {}, OTHER_KEY)))
  t.notOk(real.looksLike(createToken({ ...header, typ: REFRESH_TYP }, accessClaims)))
  t.notOk(real.looksLike(createToken(withMember(header, 'typ', undefined), accessClaims)))
  t.notOk(real.looksLike(`${createToken(header, accessClaims)}=`))
  t.notOk(real.looksLike('at+jwt'))
})
