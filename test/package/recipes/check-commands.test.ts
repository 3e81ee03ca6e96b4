// Runs the scripts `check.ts` as a user does.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { findFreePort } from '../../../examples/shared/free-port.js'
import { createChildEnv } from '../../helpers/child-env.js'
import { root } from '../../helpers/consumer.js'
import { startRecipe } from './recipe.js'

const recipeNames = ['form-login', 'rotating-pair', 'token-refresh', 'hybrid-renewal']

interface Exit {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

async function runCheck (name: string, args: string[], env = {}): Promise<Exit> {
  const script = join(root, 'examples/migrate-from', name, 'check.ts')
  const options = { cwd: root, env: createChildEnv(env) }

  return promisify(execFile)(process.execPath, ['--import', 'tsx', script, ...args], options)
    .then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }), error => error as Exit)
}

for (const name of recipeNames) {
  t.test(`check.ts of ${name} exits with 0 or, after a difference, with 1`, async t => {
    const { url } = await startRecipe(t, name, { ACCESS_TOKEN_EXPIRE_MINUTES: '1440' })
    // One after the other, because a check revokes all sessions of its user.
    const same = await runCheck(name, [url], { ACCESS_TOKEN_EXPIRE_MINUTES: '1440' })
    const other = await runCheck(name, [url], { ACCESS_TOKEN_EXPIRE_MINUTES: '1000' })
    t.match(same, { code: 0, stdout: /\nno difference\n$/, stderr: '' })
    t.match(same.stdout, /^not checked: expired access token; start the server and this script/)
    t.match(other, {
      code: 1,
      stdout: /access token: lifetime in seconds is 86400, expected 60000\n/
    })
    t.notMatch(other.stdout, 'no difference')
  })
}

t.test('check.ts exits with 2 without a server', async t => {
  const nowhere = `http://127.0.0.1:${await findFreePort()}`
  t.match(await runCheck('form-login', [nowhere]), { code: 2, stderr: /ECONNREFUSED/ })
  t.match(await runCheck('form-login', []), { code: 2, stderr: /^usage: / })
})
