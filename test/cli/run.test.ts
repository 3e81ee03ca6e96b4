import { createPrivateKey, createPublicKey } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { commands } from '../../src/cli/commands.js'
import { findingIds } from '../../src/cli/doctor/findings.js'
import { findWeakness } from '../../src/tokens/key-derivation.js'
import { readKey } from '../../src/tokens/keys.js'
import { createTestApp } from '../helpers/app.js'
import { runCli } from '../helpers/cli.js'
import { root } from '../helpers/consumer.js'

const PASSWORD = 'p4ssw0rd'
const secretUrl = `postgres://ann:${PASSWORD}@127.0.0.1:1/app`

t.test('every help fits a screen of 80 columns and 24 lines', async t => {
  const helps = [['--help'], [], ...Object.keys(commands).map(name => [name, '--help'])]

  for (const argv of helps) {
    const { code, out, error } = await runCli(argv)
    const lines = out.split('\n')
    t.equal(code, 0)
    t.equal(error, '')
    t.match(out, /^Usage: npx fastify-token-auth /)
    t.ok(lines.length <= 24, `${argv.join(' ')}: ${lines.length} lines`)
    t.strictSame(lines.filter(line => line.length > 80), [], argv.join(' '))
  }
})

t.test('the general help names every command', async t => {
  const { out } = await runCli(['help'])

  for (const name of Object.keys(commands)) {
    t.match(out, new RegExp(`^  ${name} `, 'm'))
  }
})

t.test('the guide names every command and every finding', async t => {
  const guide = readFileSync(join(root, 'examples/operations/command-line.md'), 'utf8')

  for (const name of [...Object.keys(commands), ...findingIds]) {
    t.ok(guide.includes(`\`${name}`), name)
  }
})

t.test('invalid command lines exit with 2 and name what is valid', async t => {
  const cases: ReadonlyArray<readonly [argv: string[], message: string]> = [
    [['nothing'], 'unknown command; valid commands: migrate,'],
    [['--json'], 'the first argument must be a command; valid commands: migrate,'],
    [['secret', '--size=9'], 'unknown option "--size" of the command "secret"; valid options: --j'],
    [['sessions', '-u', '1'], 'unknown option "-u" of the command "sessions"; valid options: --u'],
    [['sessions', '--user'], 'option "--user" requires a value'],
    [['sessions', '--user', '--json'], 'option "--user" requires a value'],
    [['secret', '--json=yes'], 'option "--json" takes no value'],
    [['secret', 'now'], 'the command takes options only'],
    [['doctor'], 'the command requires one argument: URL'],
    [['doctor', 'https://a.example', 'https://b.example'], 'requires one argument: URL'],
    [['doctor', 'ftp://a.example'], 'URL must be an http or https URL'],
    [['doctor', 'http://a.example', '--origin', 'a/b'], '"--origin" must be an origin'],
    [['doctor', 'http://a.example', '--route', 'me=/x'], '"--route" must be NAME=/PATH'],
    [['doctor', 'http://a.example', '--name', 'a b'], '"--name" must consist of letters'],
    [['doctor', 'http://a.example', '--jwks', '/x'], '"--jwks" must be an http or https URL'],
    [['doctor', 'http://a.example', '--login'], 'FTA_USERNAME and FTA_PASSWORD'],
    [['key', '--alg', 'RS256'], '"--alg" must be EdDSA or ES256'],
    [['key', '--format', 'der'], '"--format" must be pem or jwk'],
    [['sessions'], 'requires either --user ID or --session ID'],
    [['sessions', '--user', '1', '--session', '2'], 'either --user ID or --session ID'],
    [['sessions', '--user', '1', '--limit', '0'], '"--limit" must be an integer from 1 to'],
    [['sessions', '--user', '1'], 'the URL of the database is missing; set DATABASE_URL'],
    [['revoke'], 'requires one of --session ID, --user ID and --all'],
    [['revoke', '--all', '--user', '1'], 'requires one of --session ID, --user ID and --all'],
    [['revoke', '--user='], 'requires one of --session ID, --user ID and --all']
  ]

  for (const [argv, message] of cases) {
    const { code, out, error } = await runCli(argv)
    const isJson = argv.includes('--json')
    t.equal(code, 2, argv.join(' '))
    t.ok((isJson ? out : error).replaceAll('\\"', '"').includes(message), `${error}${out}`)
    t.equal(isJson ? error : out, '')
  }
})

t.test('an error is one JSON document on stdout with --json', async t => {
  const { code, error, json } = await runCli(['key', '--json', '--alg', 'none'])
  t.equal(code, 2)
  t.equal(error, '')
  t.strictSame(json(), {
    ok: false,
    error: { code: 'INVALID_USAGE', message: '"--alg" must be EdDSA or ES256' }
  })
})

t.test('no output contains a password of a database URL', async t => {
  const invocations: ReadonlyArray<readonly [argv: string[], url?: string]> = [
    [['sessions', '--user', '1', '--database', secretUrl]],
    [['sessions', '--user', '1'], secretUrl],
    [['sessions', '--user', '1'], secretUrl.replace('postgres', 'mysql')],
    [['sessions', '--user', '1'], secretUrl.replace('postgres', 'redis')],
    [['sessions', '--user', '1'], secretUrl.replace('postgres', 'mongodb')],
    [['sessions', '--user', '1'], secretUrl.replace(':1/', ':port/')],
    [['sessions', '--user', '1'], `postgres://ann:4711#${PASSWORD}@127.0.0.1:1/app`],
    [['sessions', '--user', '1'], `postgres://ann:4711/${PASSWORD}@127.0.0.1:1/app`],
    [['sessions', '--user', '1'], `postgres://ann:4711?${PASSWORD}@127.0.0.1:1/app`],
    [['sessions', '--user', '1'], `${PASSWORD}`],
    [['sessions', secretUrl]],
    [[secretUrl]],
    [['sessions', `--databse=${secretUrl}`]],
    [['sessions', '--databse', secretUrl]],
    [['secret', `--json=${secretUrl}`]],
    [['doctor', `https://ann:${PASSWORD}@a.example/auth`]],
    [['doctor', secretUrl]]
  ]

  for (const [argv, url] of invocations) {
    for (const extra of [[], ['--json']]) {
      const { code, out, error } = await runCli([...argv, ...extra], { env: { DATABASE_URL: url } })
      t.ok(code >= 2, `${argv.join(' ')}: ${out}${error}`)
      t.notMatch(out + error, PASSWORD)
      t.notMatch(out + error, '4711', 'a part of the password')
    }
  }
})

t.test('a database that does not respond exits with 3', async t => {
  for (const scheme of ['postgres', 'postgresql', 'mysql', 'mariadb', 'redis']) {
    const { code, error } = await runCli(['sessions', '--user', '1'], {
      env: { DATABASE_URL: `${scheme}://127.0.0.1:1/${scheme === 'redis' ? 0 : 'app'}` }
    })
    t.equal(code, 3)
    t.match(error, /cannot connect to .+ at 127\.0\.0\.1:1: nothing listens there, code ECONNREF/)
  }
})

t.test('a missing SQLite file exits with 3 and is not created', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-cli-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })

  for (const url of ['sqlite:none.db', `sqlite://${folder}/none.db`, `file://${folder}/none.db`]) {
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, error } = await runCli(['sessions', '--user', '1', '--database', url], {
        folder
      })
      t.equal(code, 3)
      t.match(error, /none\.db does not exist/)
    }
  }

  const { code } = await runCli(['sessions', '--user', '1', '--database', 'sqlite:'])
  t.equal(code, 2)
})

t.test('a missing driver is named with the command that installs it', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'token-auth-cli-'))
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  const cases = [
    [secretUrl, 'PostgreSQL requires the package "pg"', 'npm install pg'],
    ['mysql://h/d', 'MySQL or MariaDB requires the package "mysql2"', 'npm install mysql2'],
    ['rediss://h', 'Redis requires the package "redis" or "ioredis"', 'npm install redis']
  ] as const

  for (const [url, problem, fix] of cases) {
    const { code, error } = await runCli(['sessions', '--user', '1', '--database', url], { folder })
    t.equal(code, 1)
    t.ok(error.includes(problem), error)
    t.ok(error.includes(fix), error)
  }
})

t.test('secret prints a strong secret, and another one each time', async t => {
  const secrets = await Promise.all([1, 2].map(async () => (await runCli(['secret'])).out.trim()))
  t.not(secrets[0], secrets[1])

  for (const secret of secrets) {
    t.match(secret, /^\w[\w-]{63}$/)
    t.equal(findWeakness(secret), null)
  }

  const { json } = await runCli(['secret', '--json'])
  t.match(json(), { ok: true, command: 'secret', secret: /^\w[\w-]{63}$/ })
})

t.test('key prints a key that the option "keys" accepts', async t => {
  for (const [alg, crv] of [['EdDSA', 'Ed25519'], ['ES256', 'P-256']] as const) {
    const { out: pem, error } = await runCli(['key', '--alg', alg])
    const { alg: pemAlg, kid, signing } = readKey(pem)
    t.equal(pemAlg, alg)
    t.ok(signing)
    t.ok(error.includes(`Key ID: ${kid}\n`))
    t.equal(
      createPublicKey(createPrivateKey(pem)).export({ type: 'spki', format: 'pem' }),
      /-----BEGIN PUBLIC[^]*$/.exec(error)?.[0]
    )

    const { out } = await runCli(['key', '--alg', alg, '--format', 'jwk'])
    const jwk = JSON.parse(out)
    t.match(jwk, { crv, alg, use: 'sig', kid: readKey(jwk).kid })

    const document = (await runCli(['key', '--alg', alg, '--json'])).json()
    t.equal(readKey(document.privatePem).kid, document.kid)
    t.equal(readKey(document.privateJwk).kid, document.kid)
    t.equal(readKey(document.publicPem).signing, null)
    t.notOk('d' in document.publicJwk)
  }
})

t.test('an app signs with a printed key and a printed secret', async t => {
  const { privatePem } = (await runCli(['key', '--json'])).json()
  const secret = (await runCli(['secret'])).out.trim()
  const { app, login } = await createTestApp({
    options: { secret, keys: [privatePem], issuer: 'https://a.example', audience: 'a' }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  const headers = { authorization: `Bearer ${token}` }
  t.equal((await app.inject({ url: '/protected', headers })).statusCode, 200)
})
