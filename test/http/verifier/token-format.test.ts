import { createHmac, sign } from 'node:crypto'
import { inspect } from 'node:util'
import t from 'tap'
import { readKey } from '../../../src/tokens/keys.js'
import { SECOND } from '../../helpers/clock.js'
import { createTokenVariants, replaceS } from '../../helpers/respellings.js'
import {
  algorithms,
  claims,
  createEd25519Key,
  createHeader,
  createSignature,
  createToken,
  encode,
  pairs,
  rsa,
  startKeyServer,
  startVerifier,
  toJwk
} from './jwks-setup.js'

t.test('a token has one accepted spelling under every algorithm', async t => {
  const keys = await startKeyServer(t, ...algorithms.map(alg => toJwk(pairs[alg], alg, alg)))
  const { status } = await startVerifier(t, keys.uri)

  for (const alg of algorithms) {
    const head = { ...createHeader(alg), kid: alg }
    let token = createToken(alg, head)

    for (let n = 0; !/-.*_|_.*-/.test(token.split('.')[2] as string); n++) {
      token = createToken(alg, head, { ...claims, n })
    }

    t.equal(await status(token), 200, `${alg}: on which the rest rests`)
    const [first, second, third] = token.split('.') as [string, string, string]
    const { '" " before': _spaces, ...texts } = createTokenVariants(token)
    t.ok(Object.keys(texts).some(name => name.startsWith('unused bits')))
    texts['the standard alphabet'] = `${first}.${second}.${
      third.replaceAll('-', '+').replaceAll('_', '/')
    }`
    texts['too long'] = createToken(alg, head, { ...claims, long: 'x'.repeat(8192) })

    if (alg === 'ES256') {
      texts.DER = `${first}.${second}.${
        sign('sha256', Buffer.from(`${first}.${second}`), pairs.ES256).toString('base64url')
      }`
    }

    for (const [name, text] of Object.entries(texts)) {
      t.equal(await status(text), 401, `${alg}: ${name}`)
    }
  }

  t.equal(keys.hits.length, 1)
})

t.test('the form of an ES256 signature with the higher s is rejected', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.ES256))
  const { status } = await startVerifier(t, keys.uri)

  for (let n = 0; n < 8; n++) {
    const [head, payload, text = ''] = createToken('ES256', undefined, { ...claims, n }).split('.')
    const other = replaceS(Buffer.from(text, 'base64url')).toString('base64url')
    t.equal(await status(`${head}.${payload}.${other}`), 401)
    t.equal(await status(`${head}.${payload}.${text}`), 200)
    t.equal(await status(`${head}.${payload}.${other}`), 401, 'also if the token is cached')
  }
})

t.test('a header with members besides alg, typ and kid is rejected', async t => {
  const keys = await startKeyServer(t, ...algorithms.map(alg => toJwk(pairs[alg], alg, alg)))
  const trap = await startKeyServer(t, toJwk(pairs.EdDSA))
  const { clock, status } = await startVerifier(t, keys.uri)
  const attackerKey = createEd25519Key()

  for (const alg of algorithms) {
    const head = { ...createHeader(alg), kid: alg }
    const jwk = attackerKey.export({ format: 'jwk' })
    const heads: unknown[] = [
      { jku: trap.uri },
      { x5u: trap.uri },
      { x5c: [trap.uri] },
      { jwk: { ...jwk, d: undefined } },
      { jwk },
      { x5t: '' },
      { cty: 'JWT' },
      { zip: 'DEF' },
      { crit: ['b64'], b64: false },
      { b64: false },
      { crit: [] },
      { kid: trap.uri },
      { kid: [alg] },
      { kid: { jku: trap.uri } },
      { kid: '__proto__' },
      { kid: 'toString' },
      { kid: '' },
      { kid: null },
      { kid: undefined },
      { kid: 0 },
      { kid: `${alg} ` },
      { kid: `${alg}\0` },
      { kid: '../../dev/null' },
      { typ: 'JWT' },
      { typ: undefined },
      { typ: 'rt+jwt' },
      { typ: 'dpop+jwt' },
      { typ: 'at+jwt ' },
      { typ: ['at+jwt'] },
      { typ: null },
      ...[
        ...algorithms.filter(other => other !== alg),
        'none',
        'None',
        '',
        alg.toLowerCase(),
        'HS256',
        'ES384',
        'Ed25519',
        [alg],
        { alg },
        null,
        undefined
      ]
        .map(other => ({ alg: other }))
    ].map(members => ({ ...head, ...members as object }))
    const text = JSON.stringify(head).slice(1, -1)
    heads.push(
      `{${text},"kid":"x"}`,
      `{${text},"typ":"JWT"}`,
      `{${text},"alg":"none"}`,
      `{"__proto__":{${text}}}`,
      `[{${text}}]`,
      'null',
      '""',
      `\uFEFF{${text}}`
    )

    for (const wrong of heads) {
      const token = createToken(alg, wrong)
      const input = token.slice(0, token.lastIndexOf('.'))

      for (
        const last of [
          token.slice(input.length + 1),
          createSignature('EdDSA', input, attackerKey),
          ''
        ]
      ) {
        t.equal(await status(`${input}.${last}`), 401, `${alg}: ${inspect(wrong).slice(0, 80)}`)
      }
    }

    t.equal(await status(createToken(alg, { ...head, typ: 'application/AT+jwt' })), 200, alg)
    clock.advance(10 * SECOND)
  }

  t.strictSame(trap.hits, [])
})

t.test('an HMAC with any encoding of a public key as its secret is rejected', async t => {
  for (const alg of algorithms) {
    const jwk = toJwk(pairs[alg], alg)
    const { status } = await startVerifier(t, (await startKeyServer(t, jwk)).uri)
    const { verifying, kid } = readKey({ key: pairs[alg], alg })
    const pem = String(verifying.export({ format: 'pem', type: 'spki' }))
    const der = verifying.export({ format: 'der', type: 'spki' })
    const { x, n } = jwk as Record<string, string>
    const secrets = [
      pem,
      pem.trim(),
      `${pem}\n`,
      der,
      der.toString('base64'),
      JSON.stringify(jwk),
      x ?? n ?? '',
      kid,
      Buffer.alloc(32)
    ]

    for (const hs of ['HS256', 'HS384', 'HS512']) {
      for (const head of [{ ...createHeader(alg), alg: hs }, createHeader(alg)]) {
        const input = `${encode(head)}.${encode(claims)}`

        for (const secret of secrets) {
          t.equal(
            await status(
              `${input}.${
                createHmac(`sha${hs.slice(2)}`, secret).update(input).digest('base64url')
              }`
            ),
            401,
            `${alg} ${hs}`
          )
        }
      }
    }
  }
})

t.test('RS256 and PS256 of one key are not interchangeable', async t => {
  const keys = await startKeyServer(t, toJwk(rsa, 'PS256', 'k'), toJwk(pairs.EdDSA))
  const { status } = await startVerifier(t, keys.uri)
  const own = { kid: 'k', typ: 'at+jwt' }
  const input = `${encode({ ...own, alg: 'PS256' })}.${encode(claims)}`
  t.equal(await status(createToken('PS256', { ...own, alg: 'PS256' })), 200)
  t.equal(await status(createToken('RS256', { ...own, alg: 'RS256' })), 401)
  t.equal(await status(`${input}.${createSignature('RS256', input, rsa)}`), 401)
  const picky = await startVerifier(t, keys.uri, { algorithms: ['ES256', 'EdDSA'] })
  t.equal(await picky.status(createToken('EdDSA')), 200)
  t.equal(await picky.status(createToken('PS256', { ...own, alg: 'PS256' })), 401)
  t.equal(
    await (await startVerifier(t, keys.uri, { algorithms: ['ES256'] })).status(
      createToken('ES256')
    ),
    503,
    'nothing is left'
  )
})
