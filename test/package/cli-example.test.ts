import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { root } from '../helpers/consumer.js'
import { createChildEnv } from '../helpers/child-env.js'
import { startExample } from '../helpers/example-process.js'

interface Result {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

t.test('a command-line tool keeps its session in a file', async t => {
  const server = await startExample(t, 'minimal/server.ts')
  const config = t.testdir()
  const folder = join(config, 'example-cli')

  /** Runs the tool in a process of its own. */
  async function run (args: string[], input = '', url = server.url): Promise<Result> {
    const child = spawn(process.execPath, ['--import', 'tsx', 'examples/cli/cli.ts', ...args], {
      cwd: root,
      env: createChildEnv({ API_URL: url, XDG_CONFIG_HOME: config })
    })
    child.stdin.end(input)
    const [output, errors, code] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      new Promise<number | null>(resolve => child.on('exit', resolve))
    ])
    return { code, output, errors }
  }

  t.match(await run(['whoami']), { code: 1, errors: 'not signed in' })
  t.match(await run(['login', 'ann'], 'wrong\n'), { code: 1, errors: 'wrong username or password' })
  t.match(await run(['login', 'ann']), { code: 1, errors: 'no password; set API_PASSWORD' })
  const login = await run(['login', 'ann'], 'correct horse\n')
  t.match(login, { code: 0, output: 'signed in as ann' })
  t.notMatch(login.output + login.errors, 'correct horse', 'the password is not shown')

  const [name = ''] = readdirSync(folder).filter(name => name.endsWith('.json'))
  t.equal(statSync(join(folder, name)).mode & 0o777, 0o600)
  t.notMatch(readFileSync(join(folder, name), 'utf8'), 'correct horse')

  const agents = await Promise.all([1, 2, 3].map(() => run(['whoami'])))
  t.strictSame(agents, [1, 2, 3].map(() => ({ code: 0, output: 'user 1\n', errors: '' })))
  t.match(await run(['logout']), { code: 0, output: 'signed out' })
  t.match(await run(['whoami']), { code: 1, errors: 'not signed in' })
  t.strictSame(readdirSync(folder), [`${name}.lock`])
  t.match(await run(['nonsense']), { code: 1, errors: 'usage: login' })
})
