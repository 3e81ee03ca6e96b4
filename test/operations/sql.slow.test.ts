import { randomBytes } from 'node:crypto'
import type { TokenAuthOptions } from '../../src/index.js'
import Database from 'libsql'
import mysql from 'mysql2/promise'
import pg from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import { MysqlStore } from '../../src/stores/mysql/index.js'
import { PostgresAttempts, PostgresStore } from '../../src/stores/postgres/index.js'
import { SqliteStore } from '../../src/stores/sqlite/index.js'
import type { TokenStore } from '../../src/stores/token-store.js'
import { whyNoMysql } from '../helpers/databases/mysql.js'
import { openMysql, openPostgres, openSqlite } from '../helpers/example-databases.js'
import { ann, blocks, findBlock, guide, login, refresh, runShell, startApp } from './guide.js'

type Row = Readonly<Record<string, unknown>>

interface Sql {
  readonly store: TokenStore & { migrate(): Promise<void> }
  query(text: string): Promise<readonly Row[]>
}

const engines: Readonly<Record<string, (t: Test) => Promise<Sql>>> = {
  async sqlite (t) {
    const { DATABASE_FILE: file = '' } = await openSqlite(t)
    const db = new Database(file)
    t.teardown(() => {
      db.close()
    })
    return { store: new SqliteStore(db), query: async text => db.prepare(text).all() as Row[] }
  },
  async postgres (t) {
    const { DATABASE_URL: connectionString } = await openPostgres(t)
    const pool = new pg.Pool({ ...(connectionString !== undefined && { connectionString }) })
    pool.on('error', () => {})
    t.teardown(() => pool.end())
    return { store: new PostgresStore(pool), query: async text => (await pool.query(text)).rows }
  },
  async mysql (t) {
    const { DATABASE_URL: url = '' } = await openMysql(t)
    const pool = mysql.createPool(url)
    t.teardown(() => pool.end())

    return {
      store: new MysqlStore(pool),
      query: async text => (await pool.query(text))[0] as Row[]
    }
  }
}

const noMysql = await whyNoMysql()

// Causes an end of a session, and returns the reason that the guide names for it.
const ends: Readonly<Record<string, (app: App, tokens: Tokens) => Promise<unknown>>> = {
  live: async () => {},
  logout: (app, { refresh_token: token }) =>
    app.inject({ method: 'POST', url: '/auth/logout', payload: { refresh_token: token } }),
  revoked: app => app.tokenAuth.revokeUser('42'),
  'password-changed': app => app.tokenAuth.passwordChanged('42'),
  'logout-all': (app, { access_token: token }) =>
    app.inject({
      method: 'POST',
      url: '/auth/logout/all',
      headers: { authorization: `Bearer ${token}` }
    }),
  'too-many': async app => {
    await login(app)
  },
  'user-gone': async (app, tokens) => {
    Object.assign(ann, { disabled: true })
    await refresh(app, tokens)
    Object.assign(ann, { disabled: false })
  },
  expired: async () => {
    await new Promise(resolve => {
      setTimeout(resolve, 2100)
    })
  }
}

const options: Readonly<Record<string, Partial<TokenAuthOptions>>> = {
  'too-many': { maxSessions: 1 },
  expired: { refreshToken: { lifetime: '1s', grace: 0 } }
}

type App = Awaited<ReturnType<typeof startApp>>
type Tokens = Awaited<ReturnType<typeof login>>

for (const [name, open] of Object.entries(engines)) {
  t.test(`the questions on ${name}`, {
    skip: name === 'mysql' && noMysql
  }, async t => {
    const { store, query } = await open(t)
    await store.migrate()

    const run = async (question: string, sessionId = ''): Promise<readonly Row[]> =>
      query(findBlock('sql', `${name} ${question}`).replace('SESSION_ID', sessionId))

    for (const [reason, end] of Object.entries(ends)) {
      const app = await startApp(t, store, options[reason])
      const tokens = await login(app)
      const id = readSessionId(tokens)
      await end(app, tokens)
      const [row] = await run('reason', id)
      t.match(row, { id, reason }, reason)
      t.ok(row?.ended, 'with a moment')
      t.match(guide, `| \`${reason}\` |`)
    }

    const app = await startApp(t, store)
    await app.tokenAuth.revokeUser('42')
    const kept = await login(app)
    await app.tokenAuth.revokeSession(readSessionId(await login(app)))
    const sessions = await run('sessions')
    t.equal(sessions.length, 11)
    t.equal(sessions[1]?.id, readSessionId(kept), 'newest first')
    t.match(sessions[0], { revoked_for: 'revoked', created: /./, last_used: /./ })
    t.equal(Number((await run('live'))[0]?.live), 1)
    const logouts = await run('logouts')
    t.match(logouts[0], { reason: 'revoked', session_id: sessions[0]?.id, user_id: '42' })
    t.ok(logouts.some(({ reason }) => reason === 'password-changed'))
    const growth = await run('growth')
    t.ok(growth.some(({ name }) => name === 'token_auth_sessions'))

    await store.revoke({ realm: 'auth' }, { at: Date.now(), reason: 'revoked' })
    t.match((await run('reason', readSessionId(kept)))[0], { reason: 'revoked' })
    t.equal(Number((await run('live'))[0]?.live), 0)
    t.match((await run('logouts'))[0], { user_id: null, session_id: null })
  })
}

t.test('every SQL block is one of these questions', async t => {
  const names = ['postgres', 'mysql', 'sqlite'].flatMap(engine =>
    ['sessions', 'reason', 'live', 'logouts', 'growth'].map(question => `${engine} ${question}`)
  )
  const found = blocks.filter(({ language }) => language === 'sql').map(({ name }) => name)
  t.strictSame(found, [...names, 'postgres grants'])
})

t.test('after the job has migrated, the app needs no right to create tables', async t => {
  const { DATABASE_URL: adminUrl = '' } = await openPostgres(t)
  const admin = new pg.Client({ connectionString: adminUrl })
  await admin.connect()
  const role = `app_${randomBytes(6).toString('hex')}`
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'test'`)
  t.teardown(async () => {
    await admin.query(`DROP OWNED BY ${role}`)
    await admin.query(`DROP ROLE ${role}`)
    await admin.end()
  })
  const url = Object.assign(new URL(adminUrl), { username: role, password: 'test' }).href
  await runShell(t, 'migrate', { ADMIN_DATABASE_URL: adminUrl })
  await t.rejects(runShell(t, 'check', { DATABASE_URL: url }), 'without the grants')
  await admin.query(findBlock('sql', 'postgres grants').replace('TO app;', `TO ${role};`))
  await runShell(t, 'check', { DATABASE_URL: url })

  const pool = new pg.Pool({ connectionString: url })
  pool.on('error', () => {})
  const store = new PostgresStore(pool)
  await store.migrate()
  await t.rejects(pool.query('CREATE TABLE t (n int)'))
  const app = await startApp(t, store, { throttle: { attempts: new PostgresAttempts(pool) } })
  const tokens = await login(app)
  t.equal((await refresh(app, tokens)).statusCode, 200)
  t.equal(await app.tokenAuth.revokeUser('42'), 1)
  t.equal(await app.tokenAuth.sweep(), 0)
  await app.close()
  await pool.end()
})

function readSessionId ({ access_token: token = '' }: Tokens): string {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).sid
}
