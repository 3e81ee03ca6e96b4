import t from 'tap'
import { RecoveryCodeHasher } from '../../src/account/recovery-codes.js'
import { Totp } from '../../src/account/totp.js'
import type { TotpParameters } from '../../src/account/totp.js'

// RFC 6238, appendix B. The secrets are ASCII digits, in base32 here.
const secrets = {
  SHA1: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',
  SHA256: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZA',
  SHA512: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ' +
    'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNA'
}
const vectors = [
  [59, 1, { SHA1: '94287082', SHA256: '46119246', SHA512: '90693936' }],
  [1111111109, 37037036, { SHA1: '07081804', SHA256: '68084774', SHA512: '25091201' }],
  [1111111111, 37037037, { SHA1: '14050471', SHA256: '67062674', SHA512: '99943326' }],
  [1234567890, 41152263, { SHA1: '89005924', SHA256: '91819424', SHA512: '93441116' }],
  [2000000000, 66666666, { SHA1: '69279037', SHA256: '90698825', SHA512: '38618901' }],
  [20000000000, 666666666, { SHA1: '65353130', SHA256: '77737706', SHA512: '47863826' }]
] as const

t.test('the codes of RFC 6238 belong to their time steps', async t => {
  for (const algorithm of ['SHA1', 'SHA256', 'SHA512'] as const) {
    const parameters: TotpParameters = { algorithm, digits: 8 }
    const totp = await Totp.load(parameters)

    for (const [seconds, step, codes] of vectors) {
      const code = codes[algorithm]
      t.equal(totp.findStep(secrets[algorithm], code, seconds * 1000), step, `${seconds}`)
      t.equal(totp.findStep(secrets[algorithm], code, (seconds + 90) * 1000), null)
    }
  }
})

t.test('a code is accepted one step before and after its own', async t => {
  const totp = await Totp.load()
  const secret = secrets.SHA1
  // The last six digits of the code of 8 digits at 59 s, which is step 1.
  const code = '287082'
  const accepted = [0, 29_999, 30_000, 59_000, 89_999].map(now => totp.findStep(secret, code, now))
  t.strictSame(accepted, [1, 1, 1, 1, 1])
  t.equal(totp.findStep(secret, code, 90_000), null)
  t.equal(totp.findStep(secret, '287 082', 59_000), 1)

  for (const wrong of ['', '28708', '2870820', '94287082', '28708a', '２８７０８２', '-28708']) {
    t.equal(totp.findStep(secret, wrong, 59_000), null, wrong)
  }

  t.throws(() => totp.findStep('not base32!', code, 0), TypeError)
})

t.test('a new secret has 160 bits and a URI for authenticator apps', async t => {
  const totp = await Totp.load()
  const { secret, uri } = totp.create('ann@example.org', 'Example')
  t.match(secret, /^[A-Z2-7]{32}$/)
  t.equal(
    uri,
    'otpauth://totp/Example:ann%40example.org?issuer=Example&' +
      `secret=${secret}&algorithm=SHA1&digits=6&period=30`
  )
  t.not(totp.create('a', 'b').secret, secret)
})

t.test('recovery codes are random and hashed with a key', t => {
  const [one, two] = [
    { id: 'one', key: Buffer.alloc(32, 1) },
    { id: 'two', key: Buffer.alloc(32, 2) }
  ] as const
  const old = new RecoveryCodeHasher([one])
  const { codes, hashes } = old.create('u-ann')
  t.equal(new Set(codes).size, 10)
  t.equal(new Set(hashes).size, 10)

  for (const [i, code] of codes.entries()) {
    t.match(code, /^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$/)
    t.strictSame(old.hash('u-ann', code), [hashes[i]])
  }

  const rotated = new RecoveryCodeHasher([two, one])
  const code = codes[0] as string
  t.equal(rotated.hash('u-ann', ` ${code.toLowerCase().replace('-', ' ')}`)[1], hashes[0])
  t.not(rotated.hash('u-ann', code)[0], hashes[0])
  t.not(old.hash('u-bob', code)[0], hashes[0])
  t.equal(old.hash('u-ann', 'OIL')[0], old.hash('u-ann', '011')[0])
  t.end()
})
