import t from 'tap'
import { assertRejected, OTHER_SECRET, resolve, THIRD_SECRET } from './resolve.js'
import type { Rejection } from './resolve.js'

t.test('invalid password options are rejected', async t => {
  assertRejected(t, [
    [
      { passwords: { pepper: 'short' } },
      /"passwords\.pepper" must be at least 32 random bytes, but is 5 bytes long/
    ],
    [{ passwords: { pepper: undefined } }, /"passwords\.pepper" must be .*, but is missing/],
    [{ passwords: { normalize: 'NFKC' } }, /"passwords\.normalize" must be "NFC", not "NFKC"$/],
    [
      { passwords: { minLength: 0 } },
      /"passwords\.minLength" must be an integer from 1 to 1024, not 0$/
    ],
    [
      { passwords: { validate: true } },
      /"passwords\.validate" must be a function that returns whether a password is valid$/
    ]
  ])
})

t.test('invalid kinds of stored hashes are rejected', async t => {
  const reject = (storedHashes: unknown, message: RegExp): Rejection => [
    { passwords: { storedHashes } },
    message
  ]
  assertRejected(t, [
    reject('bcrypt', /"passwords\.storedHashes" must be an array of objects with an "algorithm"/),
    reject(
      [{ algorithm: 'scrypt' }],
      /"passwords\.storedHashes\[0\]\.algorithm" must be "argon2id" or "bcrypt", not "scrypt"$/
    ),
    reject([null], /"passwords\.storedHashes\[0\]\.algorithm" must be "argon2id" or "bcrypt"$/),
    reject(
      [{ algorithm: 'bcrypt', cost: 15 }],
      /"passwords\.storedHashes\[0\]\.cost" must be an integer from 4 to 14, not 15$/
    ),
    reject(
      [{ algorithm: 'bcrypt', cost: 12, rounds: 1 }],
      /unknown option "passwords\.storedHashes\[0\]\.rounds"; valid options: algorithm, cost$/
    ),
    reject(
      [{ algorithm: 'argon2id', memoryCost: 262_145, timeCost: 1 }],
      /"passwords\.storedHashes\[0\]\.memoryCost" must be an integer from 8 to 262144, not 262145$/
    ),
    reject(
      [{ algorithm: 'argon2id', memoryCost: 65_536, timeCost: 20 }],
      /"passwords\.storedHashes\[0\]" must have at most 1245184 KiB times passes; a more/
    ),
    [
      { passwords: { maxWait: '50ms' } },
      /"passwords\.maxWait" must be from 100ms to 1m, not "50ms"$/
    ]
  ])
  const storedHashes = [
    { algorithm: 'bcrypt', cost: 12 },
    { algorithm: 'argon2id', memoryCost: 65_536, timeCost: 3 }
  ] as const
  t.match(resolve({ passwords: { storedHashes, maxWait: '1s' } }).passwords, {
    storedHashes,
    maxWait: 1000
  })
})

t.test('peppers are kept in order, the current one first', async t => {
  const { peppers } = resolve({ passwords: { pepper: [OTHER_SECRET, THIRD_SECRET] } }).passwords
  t.strictSame(peppers, [Buffer.from(OTHER_SECRET), Buffer.from(THIRD_SECRET)])
})

t.test('an accepted password option reaches the rules', async t => {
  const validate = (): boolean => false
  t.match(resolve({ passwords: { normalize: 'NFC', minLength: 1, validate } }).passwords, {
    normalize: 'NFC',
    minLength: 1,
    validate
  })
})
