// Own process: checks hashes with the real argon2.

import { hashSync } from '@node-rs/argon2'
import bcrypt from '@node-rs/bcrypt'
import t from 'tap'
import { MAX_PASSWORD_LENGTH } from '../../src/login/passwords.js'
import { TokenAuthError } from '../../src/errors.js'
import { createPasswords } from './fixtures.js'

const PASSWORD = 'correct horse battery staple'
const passwords = createPasswords()
const HASH = await passwords.hash(PASSWORD)

const [, , , , salt, digest] = HASH.split('$') as [string, string, string, string, string, string]

/** A hash with other parameters that matches no password. */
function withParameters (parameters: string): string {
  return `$argon2id$v=19$${parameters}$${salt}$${digest}`
}

t.test('the right password is right and any other is wrong', async t => {
  t.equal(await passwords.check(HASH, PASSWORD), 'right')
  const others = [
    '',
    ' ',
    PASSWORD.toUpperCase(),
    `${PASSWORD} `,
    ` ${PASSWORD}`,
    PASSWORD.slice(1),
    PASSWORD.slice(0, -1),
    HASH
  ]

  for (const other of others) {
    t.equal(await passwords.check(HASH, other), 'wrong', JSON.stringify(other))
  }
})

t.test('a hash is argon2id at OWASP\'s minimum with its own salt', async t => {
  t.match(HASH, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/)
  t.not(await passwords.hash(PASSWORD), HASH)
})

t.test('a right password with a cheaper hash is weak', async t => {
  const cheap = [{ memoryCost: 64, timeCost: 1 }, { memoryCost: 19456, timeCost: 1 }, {
    memoryCost: 9728,
    timeCost: 2
  }]

  for (const cost of cheap) {
    const stored = hashSync(PASSWORD, { ...cost, parallelism: 1 })
    t.equal(await passwords.check(stored, PASSWORD), 'weak', JSON.stringify(cost))
    t.equal(await passwords.check(stored, 'wrong'), 'wrong', JSON.stringify(cost))
  }
})

t.test('a right password with an equally expensive hash is right', async t => {
  const passwords = createPasswords()

  for (const cost of [{ memoryCost: 47104, timeCost: 1 }, { memoryCost: 19456, timeCost: 3 }]) {
    t.equal(
      await passwords.check(hashSync(PASSWORD, { ...cost, parallelism: 1 }), PASSWORD),
      'right',
      JSON.stringify(cost)
    )
  }
})

t.test('every password is wrong without a hash', async t => {
  for (const password of [PASSWORD, '', 'null', '\0']) {
    t.equal(await passwords.check(null, password), 'wrong')
  }
})

t.test('a bcrypt hash is weak and one of excessive cost is malformed', async t => {
  for (const version of ['2a', '2b', '2y'] as const) {
    const stored = bcrypt.hashSync(PASSWORD, 4).replace('$2b$', `$${version}$`)
    t.equal(await passwords.check(stored, PASSWORD), 'weak')
    t.equal(await passwords.check(stored, `${PASSWORD}!`), 'wrong')
    t.equal(await passwords.check(stored.replace('$04$', '$15$'), PASSWORD), 'malformed')
    t.equal(await passwords.check(stored.slice(0, -1), PASSWORD), 'malformed')
  }
})

t.test('a bcrypt hash is kept if other passwords may match it', async t => {
  const kept = ['a'.repeat(72), 'a'.repeat(100), 'é'.repeat(36), 'before\0after', 'before\0']
  const replaced = ['a'.repeat(71), 'é'.repeat(35), 'before']

  for (const password of [...kept, ...replaced]) {
    const stored = bcrypt.hashSync(password, 4)
    const result = kept.includes(password) ? 'right' : 'weak'
    t.equal(await passwords.check(stored, password), result, JSON.stringify(password))
  }

  const stored = bcrypt.hashSync(`${'a'.repeat(72)} the end`, 4)
  t.equal(await passwords.check(stored, `${'a'.repeat(72)} another end`), 'right')
})

t.test('a hash that is not a string is malformed', async t => {
  for (const stored of [Buffer.from(HASH), 1, true, {}, []]) {
    t.equal(
      await passwords.check(stored as unknown as string, PASSWORD),
      'malformed',
      JSON.stringify(stored).slice(0, 20)
    )
  }
})

// Computing it would take about one second of one core.
t.test('a hash of excessive work is malformed and not computed', async t => {
  t.equal(await passwords.check(withParameters('m=19456,t=200,p=1'), PASSWORD), 'malformed')
})

t.test('a long password counts up to its last character', async t => {
  for (const length of [72, 73, 128, MAX_PASSWORD_LENGTH, 65_536]) {
    const long = 'a'.repeat(length)
    const stored = await passwords.upgrade(long)
    t.equal(await passwords.check(stored, long), 'right', `${length}`)
    t.equal(
      await passwords.check(stored, `${long.slice(0, -1)}b`),
      'wrong',
      `${length}, the last character differs`
    )
    t.equal(await passwords.check(stored, long.slice(0, -1)), 'wrong', `${length}, one less`)
    t.equal(await passwords.check(stored, `${long}a`), 'wrong', `${length}, one more`)
  }
})

t.test('a NUL character does not end a password', async t => {
  const stored = await passwords.hash('before\0after')
  t.equal(await passwords.check(stored, 'before\0after'), 'right')

  for (const other of ['before', 'before\0', 'before\0other', 'beforeafter', '']) {
    t.equal(await passwords.check(stored, other), 'wrong', JSON.stringify(other))
  }

  t.equal(await passwords.check(await passwords.hash('before'), 'before\0after'), 'wrong')
})

t.test('a password of any characters counts as typed', async t => {
  for (
    const password of [
      ' ',
      '  spaces  ',
      'pässwörd',
      '\u{1f511}\u{1f511}',
      'tab\tline\r\n',
      'كلمة',
      '\u00e9'
    ]
  ) {
    t.equal(
      await passwords.check(await passwords.hash(password), password),
      'right',
      JSON.stringify(password)
    )
  }

  t.equal(await passwords.check(await passwords.hash('\u{1f511}'), '\u{1f512}'), 'wrong')
})

t.test('a hash with a pepper is useless without it and weak after a change', async t => {
  const [old, now] = [Buffer.alloc(32, 'old'), Buffer.alloc(32, 'now')]
  const plain = createPasswords()
  const first = createPasswords({ peppers: [old] })
  const changed = createPasswords({ peppers: [now, old] })
  const lost = createPasswords({ peppers: [now] })
  const unpeppered = await plain.hash(PASSWORD)
  const peppered = await first.hash(PASSWORD)
  const anew = await changed.hash(PASSWORD)
  t.equal(await plain.check(peppered, PASSWORD), 'wrong')
  t.equal(await first.check(unpeppered, PASSWORD), 'weak', 'made without a pepper')
  t.equal(await first.check(peppered, PASSWORD), 'right')
  t.equal(await changed.check(peppered, PASSWORD), 'weak', 'made with the previous pepper')
  t.equal(await changed.check(anew, PASSWORD), 'right')
  t.equal(await lost.check(peppered, PASSWORD), 'wrong')
  t.equal(await first.check(await first.upgrade(PASSWORD), PASSWORD), 'right')

  for (const stored of [unpeppered, peppered, anew, null, 'garbage']) {
    t.match(
      await changed.check(stored, `${PASSWORD}!`),
      stored === 'garbage' ? 'malformed' : 'wrong'
    )
  }
})

t.test('NFC accepts every encoding of an accent', async t => {
  const [composed, decomposed] = ['caf\u00e9 au lait', 'cafe\u0301 au lait'] as const
  const nfc = createPasswords({ normalize: 'NFC' })
  t.equal(await nfc.check(await nfc.hash(decomposed), composed), 'right')
  t.equal(await nfc.check(await nfc.hash(composed), decomposed), 'right')
  t.equal(await passwords.check(await passwords.hash(composed), decomposed), 'wrong')
})

t.test('a new password must have an accepted length and pass validation', async t => {
  const strict = createPasswords({
    minLength: 8,
    validate: async password => password !== 'password'
  })
  const refused = (hint: string): TokenAuthError =>
    new TokenAuthError('AUTH_PASSWORD_REJECTED', { hint })
  await t.rejects(strict.hash('1234567'), refused('password must have at least 8 characters'))
  await t.rejects(
    strict.hash('👍🏽👍🏽👍🏽x'),
    refused('password must have at least 8 characters'),
    'code points count, not code units'
  )
  await t.rejects(strict.hash('password'), refused('password is too common'))
  await t.rejects(
    strict.hash('x'.repeat(MAX_PASSWORD_LENGTH + 1)),
    refused(`password must have at most ${MAX_PASSWORD_LENGTH} characters`)
  )

  for (const fine of ['12345678', 'x'.repeat(MAX_PASSWORD_LENGTH)]) {
    t.equal(await strict.check(await strict.hash(fine), fine), 'right')
  }

  t.equal(
    await strict.check(await strict.upgrade('short'), 'short'),
    'right',
    'an existing password can be hashed again'
  )
})
