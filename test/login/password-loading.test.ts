// What hashes is a native library. It is loaded by the first hash, of whatever sort of user, and not while an app starts.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { childEnv } from '../helpers/child-env.js'

const HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`

const firsts: Readonly<Record<string, string>> = {
  'a check of a sound hash': `passwords.check('${HASH}', 'wrong')`,
  'a check for nobody': 'passwords.check(null, \'wrong\')',
  'a check of no hash': 'passwords.check(\'garbage\', \'wrong\')',
  'a check of a hash that was cut': `passwords.check('${HASH.slice(0, -2)}', 'wrong')`,
  'a check of bcrypt': `passwords.check('$2b$04$${'.'.repeat(53)}', 'wrong')`,
  'a new hash': 'passwords.hash(\'password\')'
}

const scriptOf = (first: string): string => `
  import { HashQueue } from './src/login/hash-queue.ts'
  import { Passwords } from './src/login/passwords.ts'
  const isLoaded = () => process.report.getReport().sharedObjects.some(file => file.includes('argon2'))
  const passwords = new Passwords(new HashQueue(1), { peppers: [], normalize: null, minLength: 1, validate: () => true })
  const before = isLoaded()
  const result = await ${first}
  console.log(JSON.stringify({ before, after: isLoaded(), result }))
`

for (const [name, first] of Object.entries(firsts)) {
  t.test(`${name} is what loads it`, async t => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', scriptOf(first)],
      { env: childEnv() }
    )
    t.match(JSON.parse(stdout), {
      before: false,
      after: true,
      result: /^(wrong|malformed|\$argon2id\$.+)$/
    })
  })
}
