import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import { runCli } from '../helpers/cli.js'
import { cliDatabases } from '../helpers/cli-databases.js'
import { createSqliteFile } from '../helpers/databases/sqlite.js'

const prefix = ['--table-prefix', 'staff_']

for (const [name, { skip, open }] of Object.entries(cliDatabases)) {
  t.test(`migrate and check on ${name}`, { skip }, async t => {
    const { url, args } = await open(t)
    const cli = (argv: readonly string[], options = {}): ReturnType<typeof runCli> =>
      runCli([...argv, ...args], { env: { DATABASE_URL: url }, ...options })

    await t.test('check exits with 0 for a complete schema', async t => {
      const { code, json } = await cli(['check', '--json'])
      const { problems, warnings } = json()
      t.strictSame(problems, [])
      // The servers of developers may have settings that lose data.
      t.equal(code, warnings.length === 0 ? 0 : 1)
      t.notMatch(warnings.join(), /listener|busy_timeout/)
    })

    await t.test('migrate does nothing if nothing is missing', async t => {
      const { code, out, error } = await cli(['migrate'])
      t.equal(code, 0)
      t.match(out, name === 'redis' ? /needs no migration\n$/ : /is up to date\n$/)
      t.equal(error, '')
    })

    if (name === 'redis') {
      return
    }

    await t.test('check names missing tables and the command', async t => {
      const { code, out, error } = await cli(['check', ...prefix])
      t.equal(code, 1)
      t.equal(error, '')
      t.match(out, /^ {2}table "staff_sessions" is missing$/m)
      t.match(out, /^Fix: run "npx fastify-token-auth migrate"$/m)
    })

    await t.test('migrate names what is missing and waits for a confirmation', async t => {
      const plain = await cli(['migrate', ...prefix])
      t.equal(plain.code, 2)
      t.match(plain.error, /^ {2}table "staff_sessions" is missing$/m)
      t.match(plain.error, /Nothing was done; add --yes to do it\n$/)

      const document = (await cli(['migrate', ...prefix, '--json'], { answer: 'y' })).json()
      t.match(document.error, { code: 'CONFIRMATION_REQUIRED' })
      t.ok(document.error.missing.includes('table "staff_sessions" is missing'))

      const refused = await cli(['migrate', ...prefix], { answer: 'no' })
      t.equal(refused.code, 1)
      t.match(refused.questions, [/^Create what is missing in .+\? \[y\/N\] $/])
      t.match((await cli(['check', ...prefix])).out, 'table "staff_sessions" is missing')
    })

    await t.test('migrate creates the tables with the prefix', async t => {
      const { code, json } = await cli(['migrate', ...prefix, '--yes', '--json'])
      t.equal(code, 0)
      t.match(json(), { ok: true, command: 'migrate', migrated: true })
      t.strictSame((await cli(['check', ...prefix, '--json'])).json().problems, [])
      const { out } = await cli(['sessions', '--user', 'ann', ...prefix])
      t.equal(out, 'user "ann" has no active sessions in realm "auth"\n')
    })

    await t.test('migrate --sql prints the migrations and does nothing', async t => {
      const { code, out } = await cli(['migrate', '--sql', '--table-prefix', 'other_'])
      t.equal(code, 0)
      t.match(out, /CREATE TABLE IF NOT EXISTS other_sessions \(/)
      t.notMatch(out, 'token_auth_sessions')
      t.match((await cli(['check', '--table-prefix', 'other_'])).out, 'is missing')
    })
  })
}

t.test('baseline records tables of another tool', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  const db = file.connect()
  await new SqliteStore(db).migrate()
  db.exec('DELETE FROM token_auth_migrations')
  const env = { DATABASE_URL: `file:${file.path}` }
  t.equal((await runCli(['check'], { env })).code, 1)
  t.equal((await runCli(['baseline'], { env })).code, 2)
  t.equal((await runCli(['baseline'], { env, answer: 'yes' })).code, 0)
  t.equal((await runCli(['check'], { env })).code, 0)

  db.exec('DELETE FROM token_auth_migrations; DROP TABLE token_auth_revocations')
  const { code, error } = await runCli(['baseline', '--yes'], { env })
  t.equal(code, 1)
  t.match(error, 'table "token_auth_revocations" is missing')
})

t.test('migrate refuses a table of the same name with other columns', async t => {
  const file = createSqliteFile()
  t.teardown(() => {
    file.remove()
  })
  file.connect().exec('CREATE TABLE token_auth_sessions (name TEXT)')
  const env = { DATABASE_URL: `file:${file.path}` }
  const { code, error } = await runCli(['migrate', '--yes'], { env })
  t.equal(code, 1)
  t.match(error, 'table "token_auth_sessions" has no column "id"')
})

t.test('migrate creates a missing SQLite file only after a confirmation', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-cli-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'new.db')
  const env = { DATABASE_URL: `sqlite:${file}` }
  t.equal((await runCli(['migrate'], { env })).code, 3)
  t.notOk(existsSync(file))
  t.equal((await runCli(['migrate', '--yes'], { env })).code, 0)
  t.equal((await runCli(['check'], { env })).code, 0)
})

t.test('an invalid table prefix exits with 2', async t => {
  const { code, error } = await runCli(['check', '--table-prefix', 'a-b'], {
    env: { DATABASE_URL: 'postgres://127.0.0.1:1/d' }
  })
  t.equal(code, 2)
  t.match(error, '"--table-prefix" must have 1 to 32 lower-case letters')
})
