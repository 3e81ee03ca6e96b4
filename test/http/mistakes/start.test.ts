import Database from 'libsql'
import pg from 'pg'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import { MysqlAttempts, MysqlStore } from '../../../src/stores/mysql/index.js'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import { RedisAttempts, RedisStore } from '../../../src/stores/redis/index.js'
import { SqliteAttempts, SqliteStore } from '../../../src/stores/sqlite/index.js'
import { createLoggedApp, startWrongly, validOptions } from './logged-app.js'

const PASSWORD_OF_DATABASE = 'hunter2-of-the-database'
const DATABASE_URL = `postgres://app:${PASSWORD_OF_DATABASE}@127.0.0.1:1/app`

const pool = new pg.Pool({ connectionString: DATABASE_URL })
pool.on('error', () => {})
t.teardown(() => pool.end())

/** Mistakes in options, and the message that the developer sees. */
const mistakes: ReadonlyArray<readonly [mistake: string, options: object | undefined, RegExp]> = [
  ['no options', undefined, /"store" must be a TokenStore, .+, but is missing$/],
  ['no secret', { secret: undefined }, /"secret" must .+, but is missing; create one with `open/],
  ['a short secret', { secret: 'hunter2' }, /"secret" must .+, but is 7 bytes long; create one/],
  [
    'a placeholder as secret',
    { secret: 'change-me-change-me-change-me-change-me' },
    /"secret" must .+; create one with `openssl rand -base64 48`$/
  ],
  ['a pool as store', { store: pool }, /is a client of a database; pass new PostgresStore\(/],
  ['a file name as store', { store: './auth.db' }, /but is a string; create a client of the data/],
  ['a URL as store', { store: DATABASE_URL }, /but is a string; create a client of the database/],
  ['a class as store', { store: SqliteStore }, /for a class, write new SqliteStore\(\.\.\.\)$/],
  [
    'an unknown option',
    { accesToken: {} },
    /unknown option "accesToken"; valid options: .+ accessToken,/
  ],
  [
    'an unknown option of a group',
    { accessToken: { expiresIn: '1h' } },
    /unknown option "accessToken\.expiresIn"; valid options: lifetime, /
  ],
  [
    'a forgotten migrate()',
    { store: new SqliteStore(new Database(':memory:')) },
    /table "token_auth_sessions" is missing.+; run "await store\.migrate\(\)"$/
  ],
  [
    'a database that is unreachable at start',
    { store: new PostgresStore(pool) },
    /the store does not respond at startup \(Error ECONNREFUSED\); start the database, /
  ]
]

for (const [mistake, options, message] of mistakes) {
  t.test(`the start names ${mistake}`, async t => {
    const error = await startWrongly(options && { ...validOptions, ...options })
    t.match(error.message, message)
    t.notMatch(`${error.message} ${error.stack}`, PASSWORD_OF_DATABASE)
  })
}

t.test('a second registration is told how to register', async t => {
  const { app } = createLoggedApp()
  t.teardown(() => app.close())
  await app.register(tokenAuth, validOptions)
  await t.rejects(
    async () => app.register(tokenAuth, validOptions),
    /register each plugin in a scope of its own/
  )
})

t.test('a database that is unreachable at run time is a 503 with its cause in the log', async t => {
  const { app, log } = createLoggedApp()
  t.teardown(() => app.close())
  await app.register(tokenAuth, {
    ...validOptions,
    store: new PostgresStore(pool),
    startup: { storeDown: 'serve' }
  })
  await app.ready()
  const response = await app.inject({
    method: 'POST',
    url: '/auth/login',
    payload: { username: 'ann', password: 'correct horse battery staple' }
  })
  t.equal(response.statusCode, 503)
  t.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
  t.ok(log.some(line => JSON.stringify(line).includes('ECONNREFUSED')), 'the log has the cause')
  t.notMatch(JSON.stringify(log), PASSWORD_OF_DATABASE)
})

t.test('a store names a value that is no client of its database', async t => {
  const wrong = { end () {} }

  for (
    const [create, example] of [
      [(client: never) => new PostgresStore(client), 'new pg.Pool({ connectionString })'],
      [(client: never) => new PostgresAttempts(client), 'new pg.Pool({ connectionString })'],
      [(client: never) => new MysqlStore(client), 'mysql.createPool(url) of mysql2/promise'],
      [(client: never) => new MysqlAttempts(client), 'mysql.createPool(url) of mysql2/promise'],
      [(client: never) => new SqliteStore(client), 'new Database(file)'],
      [(client: never) => new SqliteAttempts(client), 'new Database(file)'],
      [(client: never) => new RedisStore(client), 'new Redis(url)'],
      [(client: never) => new RedisAttempts(client), 'new Redis(url)']
    ] as const
  ) {
    const message = 'fastify-token-auth: the store must get a client of its database, such as ' +
      `${example}, but the value `
    t.throws(() => create(DATABASE_URL as never), { message: `${message}is a string` })
    t.throws(() => create(undefined as never), { message: `${message}is missing` })
    t.throws(() => create(null as never), { message: `${message}is null` })
    t.match(getMessage(() => create(wrong as never)), /but the value has no method "\w+"/)
  }
})

function getMessage (work: () => unknown): string {
  try {
    work()
    return ''
  } catch (error) {
    return (error as Error).message
  }
}
