import { randomBytes } from 'node:crypto'
import t from 'tap'
import { deriveKey, findWeakness } from '../../src/tokens/key-derivation.js'
import type { KeyPurpose } from '../../src/tokens/key-derivation.js'
import { SECRET } from '../helpers/app.js'

t.test('a random secret of 32 bytes or more is accepted', async t => {
  t.equal(findWeakness(SECRET), null)

  for (const encoding of ['base64', 'base64url', 'hex'] as const) {
    const secrets = Array.from({ length: 100 }, () => randomBytes(32).toString(encoding))
    t.strictSame(secrets.filter(secret => findWeakness(secret) !== null), [], encoding)
  }

  t.equal(findWeakness(randomBytes(32)), null, 'bytes')
})

t.test('a secret of less than 32 bytes is weak', async t => {
  for (const length of [0, 1, 16, 31]) {
    t.equal(findWeakness(SECRET.slice(0, length)), `is ${length} bytes long`)
    t.equal(
      findWeakness(Buffer.from(SECRET.slice(0, length))),
      `is ${length} bytes long`
    )
  }

  t.equal(findWeakness('äöüßéèñçøåÄÖÜÉÈÑ'), null, '16 characters of 2 bytes each')
})

t.test('a secret with few distinct characters is weak', async t => {
  for (
    const secret of [
      'a'.repeat(64),
      ' '.repeat(32),
      'abc'.repeat(20),
      '012345678'.repeat(8),
      Buffer.alloc(64)
    ]
  ) {
    t.equal(findWeakness(secret), 'has fewer than 10 distinct characters')
  }

  t.equal(findWeakness('qwertzuiop'.repeat(4)), null, 'ten are enough')
})

t.test('known placeholders are weak', async t => {
  const placeholders = [
    'change-me-before-you-go-to-production',
    'CHANGEME_0123_CHANGEME_0123_CHANGEME',
    'please-change-this-in-production!',
    'your-secret-key-goes-here-0123456789',
    'your_jwt_secret_0123456789_abc_xyz',
    'YOUR-AUTH-SECRET-0123456789-qwert',
    'super-secret-super-secret-super-1234',
    'my-secret-my-secret-my-secret-0987',
    'my_super_secret_key_for_jwt_tokens',
    'this-is-only-a-placeholder-0123456',
    'an-example-secret-of-enough-length',
    'password-password-password-pass-12',
    'abcdefghijklmnopqrstuvwxyz0123456',
    'xy1234567890123456789012345678901234567890'
  ]

  for (const secret of placeholders) {
    t.equal(findWeakness(secret), 'is a known placeholder', secret)
  }
})

t.test('the reason for a weakness does not contain the secret', async t => {
  for (const secret of ['hunter2', 'my-super-secret-key-qwertzuiopasdf']) {
    t.notMatch(findWeakness(secret), secret)
  }
})

// Computed by another implementation of RFC 5869. A change would sign out every user.
t.test('derived keys do not change between versions', async t => {
  const access = deriveKey(SECRET, 'auth', 'access')
  t.equal(access.id, 'PtcC4NVvVg-q')
  t.equal(
    access.key.toString('hex'),
    'b9639f8976a302e01c9faac6fe54b7219a397fe2007d65d96ee01f06c8f9e9ba'
  )
  const refresh = deriveKey(SECRET, 'auth', 'refresh')
  t.equal(refresh.id, 'xC3N-1tfx5PO')
  t.equal(
    refresh.key.toString('hex'),
    '2e30cee6be55aef41b4b4dfe3f1a7c4abd5953b30fd623d0eb228dbea246eade'
  )
})

t.test('another secret, name or purpose derives another key with another id', async t => {
  const keys = [SECRET, `${SECRET}x`, SECRET.toLowerCase()].flatMap(secret =>
    ['auth', 'Auth', 'admin'].flatMap(name =>
      (['access', 'refresh', 'device', 'attempts'] satisfies KeyPurpose[]).map(kind =>
        deriveKey(secret, name, kind)
      )
    )
  )
  t.equal(new Set(keys.map(({ id }) => id)).size, 36)
  t.equal(new Set(keys.map(({ key }) => key.toString('hex'))).size, 36)
})

t.test('a secret derives the same key as a string and as bytes', async t => {
  const key = deriveKey(SECRET, 'auth', 'access')
  t.strictSame(deriveKey(SECRET, 'auth', 'access'), key)
  t.strictSame(deriveKey(Buffer.from(SECRET), 'auth', 'access'), key)
  t.strictSame(deriveKey(new TextEncoder().encode(SECRET), 'auth', 'access'), key)
})

t.test('the id has 12 base64url characters and does not reveal the key', async t => {
  const { id, key } = deriveKey(SECRET, 'auth', 'access')
  t.match(id, /^[\w-]{12}$/)
  t.equal(key.length, 32)
  const idBytes = Buffer.from(id, 'base64url')
  t.equal(key.indexOf(idBytes), -1)
  t.notOk(key.equals(Buffer.from(SECRET)))
})
