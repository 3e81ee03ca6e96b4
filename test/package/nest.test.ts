// examples/nest: its own tests, and its process. `npm run examples:install` installs its packages.

import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createChildEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'
import { ann, callWithToken, login, startExample } from '../helpers/example-process.js'

const run = promisify(execFile)
const folder = join(root, 'examples/nest')
const AUTH_SECRET = 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf'

t.before(async () => {
  if (!existsSync(join(folder, 'node_modules'))) {
    throw new Error('packages of examples/nest are missing: run `npm run examples:install`')
  }

  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [compiler, '-p', folder]).catch(({ stdout }: { stdout: string }) => {
    throw new Error(stdout)
  })
})

t.test('the tests of the app pass', async t => {
  await t.spawn(
    process.execPath,
    ['--test', '--test-reporter=tap', join(folder, 'dist/test/app.e2e-spec.js')],
    { cwd: folder, env: createChildEnv({}) }
  )
})

t.test('the process serves users and stops', async t => {
  const { url, stop } = await startExample(t, 'nest/dist/src/main.js', { AUTH_SECRET })
  const signUp = await fetch(`${url}/users`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ann)
  })
  t.equal(signUp.status, 201)
  t.equal((await fetch(`${url}/users/me`)).status, 401)
  const response = await callWithToken(`${url}/users/me`, await login(url))
  const { id } = await signUp.json() as { id: string }
  t.strictSame(await response.json(), { id, role: 'admin' })
  t.strictSame(await stop(), [0, null])
})

t.test('the process names a missing secret', async t => {
  const env = createChildEnv({ AUTH_SECRET: '', PORT: '0' })
  const child = run(process.execPath, [join(folder, 'dist/src/main.js')], { env })
  await t.rejects(child, { code: 1, stderr: /"secret" must be at least 32 random bytes/ })
})
