import t from 'tap'
import { assertRejected, OTHER_SECRET, resolve, THIRD_SECRET } from './resolve.js'

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
