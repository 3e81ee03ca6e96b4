// Own process: counts the calls of argon2 and bcrypt.

import { createRequire } from 'node:module'
import t from 'tap'

type Argon2 = typeof import('@node-rs/argon2')
type Bcrypt = typeof import('@node-rs/bcrypt')
type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

// CommonJS modules are mutable objects until their first `import`.
const require = createRequire(import.meta.url)
const argon2 = require('@node-rs/argon2') as Mutable<Argon2>
const bcrypt = require('@node-rs/bcrypt') as Mutable<Bcrypt>
const { hashSync, parseOptions } = argon2
const bcryptHash = bcrypt.hashSync('right', 4)

/** Computed work: KiB times passes of argon2, and rounds of bcrypt. */
let spent = { argon2: 0, bcrypt: 0, maxMemory: 0 }

function spendArgon2 (memoryCost: number, timeCost: number): void {
  spent.argon2 += memoryCost * timeCost
  spent.maxMemory = Math.max(spent.maxMemory, memoryCost)
}

argon2.verify = async stored => {
  const { memoryCost, timeCost } = parseOptions(String(stored))
  spendArgon2(memoryCost, timeCost)
  return false
}

argon2.hash = async (_password, options) => {
  spendArgon2(options?.memoryCost ?? 0, options?.timeCost ?? 0)
  return ''
}

bcrypt.verify = async (_password, stored) => {
  spent.bcrypt += 2 ** Number(String(stored).slice(4, 6))
  return false
}

const { createPasswords } = await import('./fixtures.js')

const cheap = hashSync('right', { memoryCost: 64, timeCost: 1, parallelism: 1 })
const [, , , , salt, digest] = cheap.split('$')
const createArgon2 = (memoryCost: number, timeCost: number, lanes = 1): string =>
  `$argon2id$v=19$m=${memoryCost},t=${timeCost},p=${lanes}$${salt}$${digest}`
const createBcrypt = (cost: number): string =>
  bcryptHash.replace('$04$', `$${String(cost).padStart(2, '0')}$`)

const kinds: Readonly<Record<string, string | null>> = {
  'no user': null,
  'a malformed hash': 'garbage',
  'a new hash': createArgon2(19456, 2),
  'a cheap argon2id': createArgon2(64, 1),
  'argon2id of PHP': createArgon2(65536, 4),
  'argon2id of Django': createArgon2(102400, 2, 8),
  'argon2id with much memory': createArgon2(47104, 1),
  'bcrypt 4': createBcrypt(4),
  'bcrypt 10': createBcrypt(10),
  'bcrypt 12': createBcrypt(12)
}

async function measure (
  passwords: ReturnType<typeof createPasswords>,
  stored: string | null
): Promise<typeof spent> {
  spent = { argon2: 0, bcrypt: 0, maxMemory: 0 }
  await passwords.check(stored, 'wrong')
  return spent
}

const DEAREST_WORK = 65536 * 4

function assertEqual (
  t: Tap,
  { argon2: work, bcrypt: rounds, maxMemory }: typeof spent,
  checks: number,
  name: string
): void {
  const ratio = work / (checks * DEAREST_WORK)
  t.ok(Math.abs(ratio - 1) < 0.001, `${name}: ${ratio} times the work of the dearest argon2id`)
  t.equal(rounds, 2 ** 12, `${name}: rounds of bcrypt`)
  t.ok(maxMemory <= 102400, `${name}: ${maxMemory} KiB`)
}

type Tap = typeof t

t.test('a failed check does the same work for every kind of hash that was found', async t => {
  const passwords = createPasswords()

  for (const stored of Object.values(kinds)) {
    await passwords.check(stored, 'wrong')
  }

  for (const [name, stored] of Object.entries(kinds)) {
    assertEqual(t as Tap, await measure(passwords, stored), 1, name)
  }
})

t.test('a failed check does the same work for every kind that the app states', async t => {
  const peppers = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)]

  for (const [name, stored] of Object.entries(kinds)) {
    const passwords = createPasswords({
      peppers,
      storedHashes: [
        { algorithm: 'bcrypt', cost: 10 },
        { algorithm: 'bcrypt', cost: 12 },
        { algorithm: 'argon2id', memoryCost: 65536, timeCost: 4 }
      ]
    })
    assertEqual(t as Tap, await measure(passwords, stored), 3, `${name}, in a fresh process`)
  }
})

t.test('a hash of unusual cost makes other checks no slower', async t => {
  const passwords = createPasswords()

  for (const stored of [createBcrypt(14), createArgon2(65536, 19), createArgon2(200_000, 1)]) {
    t.equal(await passwords.check(stored, 'wrong'), 'wrong')
  }

  t.strictSame(await measure(passwords, null), {
    argon2: 19456 * 2,
    bcrypt: 0,
    maxMemory: 19456
  })

  const stated = createPasswords({ storedHashes: [{ algorithm: 'bcrypt', cost: 14 }] })
  t.equal((await measure(stated, null)).bcrypt, 2 ** 14)
})
