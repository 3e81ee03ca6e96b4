import { createHmac, generateKeyPairSync, sign, verify } from 'node:crypto'
import { inspect } from 'node:util'
import * as jose from 'jose'
import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import { readKey } from '../../src/tokens/keys.js'
import { createTokenVariants } from '../helpers/respellings.js'
import {
  all,
  asymmetric,
  claims,
  createCodec,
  createToken,
  decode,
  encode,
  P256_ORDER,
  pairs,
  rsa,
  splitToken,
  toJwk,
  toPem
} from './keys-setup.js'

t.test('jose verifies our tokens with the public JWK', async t => {
  for (const [alg, { signing }] of all) {
    const key = readKey({ key: signing, alg })
    const token = createCodec({ key: signing, alg }).sign(claims)
    const theirs = key.publicJwk === null
      ? signing
      : await jose.importJWK(key.publicJwk as jose.JWK)
    const { payload, protectedHeader } = await jose.jwtVerify(token, theirs, {
      typ: ACCESS_TYP,
      algorithms: [alg]
    })
    t.strictSame(payload, claims, alg)
    t.strictSame(protectedHeader, { alg, typ: ACCESS_TYP, kid: key.kid }, alg)
  }
})

t.test('tokens of jose are verified, for ES256 only those with the lower s', async t => {
  for (const [alg, { signing }] of all) {
    const codec = createCodec({ key: signing, alg })
    const { kid } = readKey({ key: signing, alg })
    const seen = new Set<boolean>()

    for (let i = 0; i < 64 && seen.size < 2; i++) {
      const token = await new jose.SignJWT(claims).setProtectedHeader({ alg, typ: ACCESS_TYP, kid })
        .sign(signing)
      const isLow = alg !== 'ES256' ||
        BigInt(`0x${decode(splitToken(token)[2]).toString('hex', 32)}`) <= P256_ORDER / 2n
      t.strictSame(codec.verify(token), isLow ? claims : null, alg)
      seen.add(isLow)

      if (alg !== 'ES256') {
        break
      }
    }

    t.equal(seen.size, alg === 'ES256' ? 2 : 1)
  }
})

t.test('only the ES256 signature with the lower s is created and accepted', async t => {
  const codec = createCodec(pairs.ES256.signing)

  for (let i = 0; i < 32; i++) {
    const [head, payload, text] = splitToken(codec.sign(claims))
    const bytes = decode(text)
    const s = P256_ORDER - BigInt(`0x${bytes.toString('hex', 32)}`)
    t.ok(s > P256_ORDER / 2n, 'written low')
    const other = Buffer.concat([
      bytes.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, '0'), 'hex')
    ])
    t.ok(
      verify('sha256', Buffer.from(`${head}.${payload}`), {
        key: pairs.ES256.verifying,
        dsaEncoding: 'ieee-p1363'
      }, other),
      'which Node believes'
    )
    t.equal(codec.verify(`${head}.${payload}.${other.toString('base64url')}`), null)
  }
})

t.test('a token has one accepted spelling under every algorithm', async t => {
  for (const [alg, { signing }] of all) {
    const codec = createCodec({ key: signing, alg })
    const head = { alg, typ: ACCESS_TYP, kid: readKey({ key: signing, alg }).kid }
    let token = createToken(alg, head)

    for (let n = 0; !/-.*_|_.*-/.test(splitToken(token)[2]); n++) {
      token = createToken(alg, head, { ...claims, n })
    }

    t.not(codec.verify(token), null, `${alg}: by hand, on which the rest rests`)
    const texts = createTokenVariants(token)

    if (alg !== 'HS384') {
      t.ok(
        Object.keys(texts).some(name => name.startsWith('unused bits')),
        `${alg}: some bits are unused`
      )
    }

    const [first, second, third] = splitToken(token)

    if (alg === 'ES256') {
      texts.DER = `${first}.${second}.${
        sign('sha256', Buffer.from(`${first}.${second}`), pairs.ES256.signing).toString('base64url')
      }`
    }

    texts['the standard alphabet'] = `${first}.${second}.${
      third.replaceAll('-', '+').replaceAll('_', '/')
    }`

    for (const [name, text] of Object.entries(texts)) {
      t.equal(codec.verify(text), null, `${alg}: ${name}`)
    }
  }
})

t.test('a token with another alg, typ or kid is rejected, even if it is signed', async t => {
  for (const [alg, { signing, verifying }] of all) {
    const codec = createCodec({ key: signing, alg })
    const { kid } = readKey({ key: signing, alg })
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
        codec.verify(createToken(alg, { ...head, [name]: value })),
        null,
        `${alg}: ${name} ${inspect(value).slice(0, 40)}`
      )
    }

    const jwk = verifying.type === 'secret' ? {} : toJwk(verifying)
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
      t.equal(
        codec.verify(createToken(alg, { ...head, [name]: value })),
        null,
        `${alg}: with ${name}`
      )
    }

    t.equal(
      codec.verify(createToken(alg, { ...head, crit: ['b64'], b64: false })),
      null,
      `${alg}: b64 and crit`
    )
    const text = JSON.stringify(head).slice(1)

    for (const [name, value] of Object.entries({ alg: 'none', typ: 'JWT', kid: 'x' })) {
      t.equal(
        codec.verify(createToken(alg, `{${text.slice(0, -1)},"${name}":"${value}"}`)),
        null,
        `${alg}: ${name} twice`
      )
    }

    t.equal(
      codec.verify(createToken(alg, `{"__proto__":${JSON.stringify(head)}}`)),
      null,
      `${alg}: inherited`
    )

    for (const name of Object.keys(head)) {
      t.equal(
        codec.verify(createToken(alg, { ...head, [name]: undefined })),
        null,
        `${alg}: no ${name}`
      )
    }

    for (const typ of ['AT+JWT', 'application/at+jwt']) {
      t.not(codec.verify(createToken(alg, { ...head, typ })), null, `${alg}: typ ${typ}`)
    }
  }
})

t.test('an HMAC with any encoding of a public key as its secret is rejected', async t => {
  for (const [alg, { signing, verifying }] of asymmetric) {
    const codec = createCodec({ key: signing, alg })
    const { kid, publicJwk } = readKey({ key: signing, alg })
    const [head, payload] = splitToken(codec.sign(claims))
    const pem = toPem(verifying)
    const der = verifying.export({ format: 'der', type: 'spki' })
    const secrets = [
      pem,
      pem.trim(),
      `${pem}\n`,
      pem.replaceAll('\n', '\r\n'),
      pem.split('\n').slice(1, -2).join(''),
      der,
      der.toString('base64'),
      JSON.stringify(publicJwk),
      JSON.stringify(toJwk(verifying)),
      String(publicJwk?.x ?? publicJwk?.n),
      kid,
      Buffer.alloc(32)
    ]

    for (const hs of ['HS256', 'HS384', 'HS512']) {
      const input = `${encode({ alg: hs, typ: ACCESS_TYP, kid })}.${encode(claims)}`

      for (const [i, secret] of secrets.entries()) {
        const text = createHmac(`sha${hs.slice(2)}`, secret).update(input).digest('base64url')
        t.equal(codec.verify(`${input}.${text}`), null, `${alg} as ${hs}, text ${i}`)
        const under = createHmac(`sha${hs.slice(2)}`, secret).update(`${head}.${payload}`).digest(
          'base64url'
        )
        t.equal(
          codec.verify(`${head}.${payload}.${under}`),
          null,
          `${alg}: with the unchanged header`
        )
      }
    }
  }
})

t.test('RS256 and PS256 of one key are not interchangeable', async t => {
  const [rs, ps] = [
    createCodec({ key: rsa.signing, alg: 'RS256', kid: 'k' }),
    createCodec({ key: rsa.signing, alg: 'PS256', kid: 'k' })
  ]
  t.equal(ps.verify(rs.sign(claims)), null)
  t.equal(rs.verify(ps.sign(claims)), null)
  const [, payload, third] = splitToken(rs.sign(claims))
  t.equal(
    ps.verify(`${splitToken(ps.sign(claims))[0]}.${payload}.${third}`),
    null,
    'the signature of one under the header of the other'
  )

  for (const [alg, { signing }] of asymmetric) {
    const other = alg === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519')
    t.equal(
      createCodec({ key: other.publicKey, kid: 'k' }).verify(
        createCodec({ key: signing, alg, kid: 'k' }).sign(claims)
      ),
      null,
      alg
    )
  }
})
