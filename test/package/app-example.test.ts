// examples/app: its own tests, its code, its process and its page in Chromium.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { getChromiumSkipReason, startBrowser } from '../helpers/browser/browser.js'
import { createChildEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'
import { openSqlite } from '../helpers/example-databases.js'
import { ann, callWithToken, login, startExample } from '../helpers/example-process.js'

const folder = join(root, 'examples/app')
const SECRET_KEY = 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf'

const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))

/** Returns the casts, non-null assertions and `any` of a file. */
function findEscapes (file: string, code = readFileSync(join(folder, file), 'utf8')): string[] {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true)
  const found: string[] = /@ts-|eslint-disable/.test(code) ? [`${file}: comment`] : []

  const visit = (node: ts.Node): void => {
    if (
      ts.isNonNullExpression(node) ||
      ts.isTypeAssertionExpression(node) ||
      (ts.isAsExpression(node) && node.type.getText(source) !== 'const') ||
      node.kind === ts.SyntaxKind.AnyKeyword
    ) {
      found.push(`${file}: ${node.getText(source)}`)
    }

    ts.forEachChild(node, visit)
  }

  visit(source)
  return found
}

t.test('the app has no cast and no non-null assertion', async t => {
  t.ok(files.length >= 8)
  t.strictSame(files.flatMap(file => findEscapes(file)), [])
  const escapes = 'a as string; b!; <string>c; let d: any; e as const // @ts-ignore'
  t.equal(findEscapes('x.ts', escapes).length, 5)
})

t.test('the tests of the app pass, and need under 5 s of CPU time', async t => {
  // On a machine with other work, the time of a clock would say nothing.
  const report = 'process.on("exit", () => console.error(process.cpuUsage()))'
  const { stderr } = await promisify(execFile)(
    process.execPath,
    [
      '--import',
      'tsx',
      '--import',
      `data:text/javascript,${report}`,
      'examples/app/test/app.test.ts'
    ],
    { cwd: root, env: createChildEnv({}) }
  )
  const [, user, system] = /user: (\d+), system: (\d+)/.exec(stderr) ?? []
  const seconds = (Number(user) + Number(system)) / 1e6
  t.ok(seconds < 5, `${seconds} s`)
})

t.test('the process serves users and admins, and keeps sessions over a restart', async t => {
  const env = { SECRET_KEY, ...await openSqlite(t) }
  const { url, stop } = await startExample(t, 'app/server.ts', env)
  const signUp = await fetch(`${url}/sign-up`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ann)
  })
  t.equal(signUp.status, 201)
  const memberToken = await login(url)
  t.equal((await callWithToken(`${url}/users`, memberToken)).status, 403)

  const makeAdmin = (name: string): Promise<{ stdout: string }> =>
    promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', join(folder, 'make-admin.ts'), name],
      {
        cwd: root,
        env: createChildEnv(env)
      }
    )
  t.equal((await makeAdmin('bob')).stdout, 'no user has the name "bob"\n')
  t.equal((await makeAdmin('ann')).stdout, 'ann is an admin\n')
  const adminToken = await login(url)
  t.equal((await callWithToken(`${url}/users`, adminToken)).status, 200)
  t.strictSame(await stop(), [0, null])

  const second = await startExample(t, 'app/server.ts', env)
  t.equal((await callWithToken(`${second.url}/users`, adminToken)).status, 200)
})

t.test('a request in flight is served after SIGTERM, and the process exits', async t => {
  const env = { SECRET_KEY, ...await openSqlite(t) }
  const { url, child, output } = await startExample(t, 'app/server.ts', env)
  const exited = once(child, 'exit')
  const startedAt = performance.now()
  const response = fetch(`${url}/auth/login`, { method: 'POST', body: new URLSearchParams(ann) })

  // The hash of a login takes about 30 ms.
  while (!output.some(line => line.includes('"url":"/auth/login"'))) {
    await setImmediate()
  }

  child.kill()
  t.equal((await response).status, 401, 'the user is unknown')
  t.strictSame(await exited, [0, null])
  t.ok(performance.now() - startedAt < 5000)
})

t.test('the process names a missing setting', async t => {
  const child = execFile(process.execPath, ['--import', 'tsx', join(folder, 'server.ts')], {
    cwd: root,
    env: createChildEnv({ SECRET_KEY: '' })
  })
  let output = ''
  child.stderr?.on('data', data => {
    output += data
  })
  const [code] = await once(child, 'close')
  t.equal(code, 1)
  t.match(output, '"SECRET_KEY" must be')
})

t.test(
  'the page signs up, logs in and shows errors',
  { skip: getChromiumSkipReason() },
  async t => {
    const env = { SECRET_KEY, ...await openSqlite(t) }
    const { url } = await startExample(t, 'app/server.ts', env)
    const browser = await startBrowser(t)
    const page = await browser.newPage()
    page.on('pageerror', error => {
      t.fail(error.message)
    })
    const shows = (selector: string, text: string): Promise<void> =>
      page.locator(selector).filter({ hasText: text }).waitFor()

    const submit = async (button: string, password = ann.password): Promise<void> => {
      await page.fill('[name=username]', ann.username)
      await page.fill('[name=password]', password)
      await page.click(`button[value=${button}]`)
    }

    await page.goto(url)
    await shows('[role=status]', 'Signed out')
    await submit('sign-up', 'short')
    await shows('[role=status]', 'password must have at least 8 characters')
    await submit('sign-up')
    await shows('[role=status]', 'Signed in as ann (member)')
    await page.click('#users')
    await shows('output', 'does not permit')
    await page.reload()
    await shows('[role=status]', 'Signed in as ann (member)')
    await page.click('#log-out')
    await shows('[role=status]', 'Signed out')
    await submit('log-in', 'wrong')
    await shows('[role=status]', 'Name or password is wrong')
    await submit('sign-up')
    await shows('[role=status]', 'Username is taken')
    await submit('log-in')
    await shows('[role=status]', 'Signed in as ann')
  }
)
