import { createPublicKey } from 'node:crypto'
import * as jose from 'jose'
import t from 'tap'
import { ACCESS_TYP } from '../../src/tokens/access-token.js'
import { JwtCodec } from '../../src/tokens/jwt-codec.js'
import { readKey } from '../../src/tokens/keys.js'
import { createSigners } from '../../src/tokens/key-signer.js'
import { getOwnKeys, readKeys } from '../../src/tokens/keys.js'
import type { KeyInput } from '../../src/tokens/keys.js'
import {
  all,
  asymmetric,
  claims,
  createCodec,
  createToken,
  decode,
  pairs,
  rsa,
  signing,
  spare,
  splitToken,
  toAllForms,
  toJwk,
  toPem
} from './keys-setup.js'

t.test('a key signs in every form, and its public part verifies in every form', async t => {
  for (const [alg, { signing, verifying }] of all) {
    for (const [ownForm, key] of Object.entries(toAllForms(signing))) {
      const token = createCodec({ key, alg }).sign(claims)

      for (const [form, other] of Object.entries(toAllForms(verifying))) {
        t.strictSame(
          createCodec({ key: other, alg }).verify(token),
          claims,
          `${alg}: ${ownForm} signs, ${form} verifies`
        )
      }
    }

    t.strictSame(
      createCodec({ key: signing, alg, kid: 'k.1_-' }).verify(
        createToken(alg, { alg, typ: ACCESS_TYP, kid: 'k.1_-' })
      ),
      claims,
      'a kid of the app'
    )
    t.equal(
      createCodec({ key: signing, alg, kid: 'other' }).verify(
        createCodec({ key: signing, alg }).sign(claims)
      ),
      null,
      `${alg}: under another kid`
    )
  }

  t.equal(readKey(toPem(rsa.signing, 'pkcs1')).alg, 'RS256', 'PKCS #1')
  t.equal(readKey(toPem(pairs.ES256.signing, 'sec1')).alg, 'ES256', 'SEC 1')
})

t.test('the algorithm comes from the option, the JWK or the key type', async t => {
  const defaults = {
    HS256: 'HS256',
    HS384: 'HS256',
    HS512: 'HS256',
    ES256: 'ES256',
    EdDSA: 'EdDSA',
    RS256: 'RS256',
    PS256: 'RS256'
  }

  for (const [alg, { signing }] of all) {
    t.equal(readKey(signing).alg, defaults[alg], alg)
    t.equal(readKey({ ...toJwk(signing), alg }).alg, alg, `${alg} of a JWK`)
    t.equal(readKey({ key: signing, alg }).alg, alg, `${alg} given`)
  }
})

t.test('the default kid is the RFC 7638 thumbprint, except for secrets', async t => {
  for (const [alg, { signing, verifying }] of asymmetric) {
    const thumbprint = await jose.calculateJwkThumbprint(toJwk(verifying) as jose.JWK)
    t.equal(readKey({ key: signing, alg }).kid, thumbprint, alg)
    t.equal(readKey({ key: toPem(verifying), alg }).kid, thumbprint, `${alg}, public`)
  }

  const { kid, publicJwk } = readKey(pairs.HS256.signing)
  t.match(kid, /^[\w-]{12}$/)
  t.equal(publicJwk, null)
  t.not(
    kid,
    (await jose.calculateJwkThumbprint(toJwk(pairs.HS256.signing) as jose.JWK)).slice(0, 12),
    'which could be searched for'
  )
})

t.test('a public key cannot sign', async t => {
  for (const [alg, { verifying }] of asymmetric) {
    t.throws(() => createCodec({ key: verifying, alg }).sign(claims), {
      message: /can only verify/
    })
  }
})

t.test('the first of several keys signs, and all of them verify', async t => {
  const keys: KeyInput[] = [signing, pairs.ES256.verifying, toPem(rsa.verifying), {
    key: spare,
    kid: 'spare'
  }]
  const codec = new JwtCodec(ACCESS_TYP, createSigners(readKeys(keys), ACCESS_TYP, []))
  t.match(JSON.parse(decode(splitToken(codec.sign(claims))[0]).toString()), {
    alg: 'EdDSA',
    kid: readKey(signing).kid
  })

  for (const key of [signing, pairs.ES256.signing, rsa.signing, { key: spare, kid: 'spare' }]) {
    t.strictSame(codec.verify(createCodec(key).sign(claims)), claims)
  }

  t.equal(codec.verify(createCodec(spare).sign(claims)), null, 'an unlisted kid is rejected')
  t.equal(
    getOwnKeys(readKeys(keys)).every(({ publicJwk }) =>
      publicJwk !== null && createPublicKey({ key: publicJwk, format: 'jwk' }).type === 'public'
    ),
    true
  )
})
