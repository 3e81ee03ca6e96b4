// This import must be the first, because it changes argon2 before other modules load it.
import '../helpers/cheap-argon2.js'
import { hashSync } from '@node-rs/argon2'
import t from 'tap'
import { createPasswords } from './fixtures.js'

const PASSWORD = 'correct horse battery staple'
const passwords = createPasswords()
const HASH = await passwords.hash(PASSWORD)

const [, , , , salt, digest] = HASH.split('$') as [string, string, string, string, string, string]

/** A hash with other parameters that matches no password. */
function withParameters (parameters: string): string {
  return `$argon2id$v=19$${parameters}$${salt}$${digest}`
}

const malformed: Record<string, string> = {
  'an empty text': '',
  'a word': 'garbage',
  'the password itself': PASSWORD,
  'NUL characters': '\0\0\0',
  scrypt:
    '$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E',
  sha256: 'f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7',
  argon2i: hashSync(PASSWORD, { algorithm: 1 }),
  argon2d: hashSync(PASSWORD, { algorithm: 0 }),
  'argon2id of the old version': HASH.replace('v=19', 'v=16'),
  'argon2id without a version': HASH.replace('$v=19', ''),
  'argon2id without parameters': `$argon2id$v=19$${salt}$${digest}`,
  'the beginning alone': '$argon2id$v=19$',
  'no salt': '$argon2id$v=19$m=19456,t=2,p=1',
  'no digest': `$argon2id$v=19$m=19456,t=2,p=1$${salt}`,
  'an empty salt': `$argon2id$v=19$m=19456,t=2,p=1$$${digest}`,
  'an empty digest': `$argon2id$v=19$m=19456,t=2,p=1$${salt}$`,
  'two characters less': HASH.slice(0, -2),
  'a line break after it': `${HASH}\n`,
  'a space before it': ` ${HASH}`,
  padding: `${HASH}=`,
  'a field more': `${HASH}$AAAA`,
  'letters in another case': HASH.replace('argon2id', 'Argon2id'),
  'no memory': withParameters('m=0,t=2,p=1'),
  'no passes': withParameters('m=19456,t=0,p=1'),
  'no lanes': withParameters('m=19456,t=2,p=0'),
  'negative memory': withParameters('m=-19456,t=2,p=1'),
  'memory beyond 32 bits': withParameters('m=4294967296,t=2,p=1')
}

t.test('a malformed hash is reported even for the right password', async t => {
  for (const [name, stored] of Object.entries(malformed)) {
    t.equal(await passwords.check(stored, PASSWORD), 'malformed', name)
  }
})

t.test('a truncated hash is malformed or wrong and never throws', async t => {
  const results = new Set<string>()

  for (let length = 0; length < HASH.length; length++) {
    results.add(await passwords.check(HASH.slice(0, length), PASSWORD))
  }

  t.strictSame([...results].sort(), ['malformed', 'wrong'])
})
