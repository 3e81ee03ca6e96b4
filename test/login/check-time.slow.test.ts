import { hashSync } from '@node-rs/argon2'
import t from 'tap'
import { createPasswords } from './fixtures.js'

const PASSWORD = 'correct horse battery staple'
const passwords = createPasswords()
const HASH = await passwords.hash(PASSWORD)

t.test('every check takes as long as a real one', async t => {
  const kinds: Record<string, string | null> = {
    real: HASH,
    none: null,
    empty: '',
    garbage: 'garbage',
    argon2i: hashSync(PASSWORD, { algorithm: 1 }),
    cut: HASH.slice(0, -2)
  }
  const times = Object.fromEntries(Object.keys(kinds).map(name => [name, [] as number[]]))

  for (let round = 0; round < 21; round++) {
    for (const [name, stored] of Object.entries(kinds)) {
      const before = performance.now()
      await passwords.check(stored, 'wrong')
      times[name]?.push(performance.now() - before)
    }
  }

  const median = (name: string): number => times[name]?.sort((a, b) => a - b)[10] as number
  t.ok(median('real') > 2, 'a real one takes some time')

  for (const name of Object.keys(kinds)) {
    const ratio = median(name) / median('real')
    t.ok(ratio > 0.5 && ratio < 2, `${name}: ${ratio.toFixed(2)} times a real one`)
  }
})
