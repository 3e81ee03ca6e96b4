import { generateKeyPairSync } from 'node:crypto'
import { subscribe } from 'node:diagnostics_channel'
import Database from 'libsql'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenResponse } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import { tokenVerifier } from '../../src/verifier/index.js'
import { SECRET } from '../helpers/app.js'
import { createSqliteFile, openSqliteStore } from '../helpers/databases/sqlite.js'
import { getStatus, login, refresh, runBlock, runShell, startApp, startFromBlock } from './guide.js'

const NEW_SECRETS = {
  NEW_SECRET: 's9Am4oXz2VbTd7Yp0Nu5Lf8Jh1Ie3Rc6',
  NEW_REFRESH_SECRET: 't0Bn5pYa3WcUe8Zq1Ov6Mg9Ki2Jf4Sd7',
  LEAKED_SECRET: SECRET
}

const createKey = () => generateKeyPairSync('ed25519').privateKey

/** Records the events of all apps of this process, until the test ends. */
function recordEvents (names: readonly string[]): string[] {
  const events: string[] = []

  for (const name of names) {
    subscribe(`fastify-token-auth:${name}`, () => events.push(name))
  }

  return events
}

t.test('a leaked secret: forged tokens are rejected, and nobody logs in again', async t => {
  const store = new MemoryStore()
  const before = await startApp(t, store)
  const user = await login(before)
  // The attacker runs an app of their own with the leaked secret.
  const forged = await login(await startApp(t, new MemoryStore()))
  t.equal(await getStatus(before, forged), 200, 'the attacker is in')

  const after = await startFromBlock(t, 'secret-leaked', store, NEW_SECRETS)
  t.equal(await getStatus(after, forged), 401)
  t.equal((await refresh(after, forged)).statusCode, 401)
  t.equal(await getStatus(after, user), 401, 'clients refresh')
  const refreshed = await refresh(after, user)
  t.equal(refreshed.statusCode, 200)
  t.equal(await getStatus(after, refreshed.json()), 200)
  t.equal((await refresh(before, refreshed.json())).statusCode, 200, 'at an old instance')
})

t.test('logged events say why a user was signed out', async t => {
  const lines: string[] = []
  const logger = { stream: { write: (line: string) => lines.push(line) } }
  const app = await startFromBlock(t, 'log-events', new MemoryStore(), {}, Fastify({ logger }))
  const tokens = await login(app)
  await app.tokenAuth.passwordChanged('42')
  t.equal((await refresh(app, tokens)).statusCode, 401)
  const log = lines.join('')
  t.match(log, /"userId":"42".*"msg":"login"/)
  t.match(log, /"reason":"password-changed".*"msg":"session ended"/)
  t.match(log, /"userId":"42".*"revokedFor":"password-changed".*"msg":"refresh was rejected"/)
  t.notMatch(log, tokens.refresh_token)
})

t.test('a leaked key: forged tokens are rejected everywhere', async t => {
  const [leaked, replacement] = [createKey(), createKey()]
  const parties = { issuer: 'https://auth.example', audience: 'https://api.example' }
  const issuer = await startApp(t, new MemoryStore(), { ...parties, keys: [leaked] })
  const base = await issuer.listen({ host: '127.0.0.1', port: 0 })
  const user = await login(issuer)
  const forged = await login(
    await startApp(t, new MemoryStore(), { ...parties, keys: [leaked] })
  )

  const startService = async (t: Test) => {
    const service = Fastify()
    t.teardown(() => service.close())
    const jwksUri = `${base}/.well-known/jwks.json`
    await service.register(tokenVerifier, { ...parties, jwksUri })
    service.get('/protected', { onRequest: [service.authenticate] }, request => request.auth)
    return service
  }

  const service = await startService(t)
  t.equal(await getStatus(service, forged), 200, 'the attacker is in')

  const pem = replacement.export({ type: 'pkcs8', format: 'pem' }) as string
  await runBlock(t, 'key-leaked', { app: issuer }, { NEW_SIGNING_KEY: pem })
  t.equal(await getStatus(issuer, forged), 401)
  const refreshed = await refresh(issuer, user)
  t.equal(refreshed.statusCode, 200)
  t.equal(await getStatus(service, forged), 200, 'until the service is restarted')
  const restarted = await startService(t)
  t.equal(await getStatus(restarted, forged), 401)
  t.equal(await getStatus(restarted, refreshed.json()), 200)
})

t.test('a restored backup: lost revocations are repeated', async t => {
  const file = createSqliteFile()
  const backup = `${file.path}.backup`
  t.teardown(() => {
    file.remove()
  })

  const open = async (path: string) => {
    const db = new Database(path)
    const store = new SqliteStore(db)
    await store.migrate()
    const app = Fastify()
    app.addHook('onClose', () => {
      db.close()
    })
    return startApp(t, store, {}, app)
  }

  const events = recordEvents(['store-rolled-back'])
  const first = await open(file.path)
  const [lost, other] = [await login(first), await login(first)]
  await first.close()
  const source = new Database(file.path)
  source.exec(`VACUUM INTO '${backup}'`)
  source.close()

  const second = await open(file.path)
  const refreshed: TokenResponse = (await refresh(second, lost)).json()
  await second.tokenAuth.revokeUser('42')
  t.equal((await refresh(second, other)).statusCode, 401)
  await second.close()

  const third = await open(backup)
  t.equal((await refresh(third, refreshed)).statusCode, 200, 'the user is signed in again')
  t.strictSame(events, ['store-rolled-back'])
  await runBlock(t, 'backup-restored', { app: third }, { REVOKED_USERS: '["42"]' })
  t.equal((await refresh(third, refreshed)).statusCode, 401)
  t.equal((await refresh(third, other)).statusCode, 401)
})

t.test('a wrong clock: the instance works, and the log says which clock to repair', async t => {
  const lines: string[] = []
  const logger = { level: 'warn', stream: { write: (line: string) => lines.push(line) } }
  const realNow = Date.now
  t.teardown(() => {
    Date.now = realNow
  })
  Date.now = () => realNow() + 90_000
  const app = await startFromBlock(
    t,
    'clock-skew',
    new MemoryStore({ clock: realNow }), // the clock of the database is right
    {},
    Fastify({ logger })
  )
  const tokens = await login(app)
  t.equal(await getStatus(app, tokens), 200)
  t.equal((await refresh(app, tokens)).statusCode, 200)
  t.match(lines.join(''), /"source":"instance","ahead":(89|90)\d{3}.*fix NTP of this host/)
})

const waysOut: Readonly<
  Record<string, (t: Test, file: string, scope: object) => Promise<unknown>>
> = {
  code: async (t, _file, scope) => runBlock(t, 'everybody-out', { ...scope }),
  command: async (t, file) => runShell(t, 'everybody-out', { DATABASE_URL: `sqlite:${file}` })
}

for (const [name, logEverybodyOut] of Object.entries(waysOut)) {
  t.test(`log everybody out by ${name}: every session ends, and logins work`, async t => {
    const { store, file } = await openSqliteStore()
    t.teardown(() => {
      file.remove()
    })
    const [here, there] = [await startApp(t, store), await startApp(t, store)]
    const user = await login(here)
    t.equal(await getStatus(there, user), 200)
    await logEverybodyOut(t, file.path, { app: here })
    t.equal((await refresh(there, user)).statusCode, 401)
    const end = Date.now() + 3000

    while (await getStatus(there, user) === 200 && Date.now() < end) {
      await new Promise(resolve => {
        setTimeout(resolve, 50)
      })
    }

    t.equal(await getStatus(there, user), 401, 'within a poll')
    t.equal(
      await getStatus(await startApp(t, store), user),
      401,
      'at an instance that starts later'
    )
    t.equal(await getStatus(here, await login(here)), 200)
  })
}

t.test('a user asks why: the command names the reason', async t => {
  const { store, file } = await openSqliteStore()
  t.teardown(() => {
    file.remove()
  })
  const app = await startApp(t, store)
  const { access_token: token = '' } = await login(app)
  await app.tokenAuth.passwordChanged('42')
  const { sid } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  const env = { DATABASE_URL: `sqlite:${file.path}`, SESSION_ID: sid }
  t.match(await runShell(t, 'why-signed-out', env), /revoked .* \(password-changed\)/)
})
