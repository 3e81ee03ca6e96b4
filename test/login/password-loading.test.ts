import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { createChildEnv } from '../helpers/child-env.js'

const HASH = `$argon2id$v=19$m=19456,t=2,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`

const calls: Readonly<Record<string, string>> = {
  'a check of a valid hash': `passwords.check('${HASH}', 'wrong', request)`,
  'a check without a user': 'passwords.check(null, \'wrong\', request)',
  'a check of a malformed hash': 'passwords.check(\'garbage\', \'wrong\', request)',
  'a check of a truncated hash': `passwords.check('${HASH.slice(0, -2)}', 'wrong', request)`,
  'a check of bcrypt': `passwords.check('$2b$04$${'.'.repeat(53)}', 'wrong', request)`,
  'a new hash': 'passwords.hash(\'password\', request)'
}

const createScript = (call: string): string => `
  import { HashQueue, requestForApp } from './src/login/hash-queue.ts'
  import { Passwords } from './src/login/passwords.ts'
  const isLoaded = () =>
    process.report.getReport().sharedObjects.some(file => file.includes('argon2'))
  const passwords = new Passwords(new HashQueue({ places: 1 }), {
    peppers: [],
    normalize: null,
    minLength: 1,
    validate: () => true,
    storedHashes: []
  })
  const request = requestForApp()
  const before = isLoaded()
  const result = await ${call}
  console.log(JSON.stringify({ before, after: isLoaded(), result }))
`

for (const [name, call] of Object.entries(calls)) {
  t.test(`argon2 is loaded by ${name}`, async t => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        '--import',
        './test/helpers/ci/typescript.js',
        '--input-type=module',
        '-e',
        createScript(call)
      ],
      { env: createChildEnv() }
    )
    t.match(JSON.parse(stdout), {
      before: false,
      after: true,
      result: /^(wrong|malformed|\$argon2id\$.+)$/
    })
  })
}
