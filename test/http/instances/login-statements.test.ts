import t from 'tap'
import type { TokenResponse } from '../../../src/index.js'
import { PostgresAttempts, PostgresStore } from '../../../src/stores/postgres/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'

const server = await answers(POSTGRES_URL) ? null : await startPostgres()
const database = await createPostgresDatabase(server?.url ?? POSTGRES_URL)
t.teardown(() => database.remove().then(() => server?.stop()))

t.test('PostgreSQL gets at most 5 statements for a login and 1 for a refresh', async t => {
  const pool = database.connect()
  const statements: string[] = []
  const counting = {
    query (text: string, values: unknown[]) {
      statements.push(text)
      return pool.query(text, values)
    }
  }
  const { app, clock, post, refresh, get } = await createTestApp({
    store: new PostgresStore(counting),
    options: {
      revocations: false,
      maxSessions: 2,
      throttle: { attempts: new PostgresAttempts(counting) },
      refreshToken: { transport: 'both' }
    }
  })
  t.teardown(() => app.close())

  const login = async (
    given: object = {},
    headers: Record<string, string> = {}
  ): Promise<TokenResponse & { readonly cookie: string }> => {
    // So that the order of the sessions is known.
    clock.advance(1)
    statements.length = 0
    const payload = { username: 'ann', password: PASSWORD, ...given }
    const response = await post('/auth/login', payload, headers)
    t.equal(response.statusCode, 200)
    const cookie = response.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
    return { ...response.json<TokenResponse>(), cookie }
  }

  const first = await login()
  t.equal(statements.length, 4, 'from an unknown device')
  await login({ device_token: first.device_token })
  t.equal(statements.length, 4, 'from a known device')

  statements.length = 0
  t.equal((await get('/protected', first.access_token)).statusCode, 200)
  t.equal(statements.length, 0, 'a request')
  t.equal((await refresh(first.refresh_token)).statusCode, 200)
  t.equal(statements.length, 1, 'a refresh')

  await login()
  t.equal(statements.length, 5, 'a login that ends the oldest session')

  const asCookie = { 'x-token-transport': 'cookie', 'sec-fetch-site': 'same-origin' }
  const { cookie } = await login({}, asCookie)
  await login({}, { ...asCookie, cookie })
  t.equal(statements.length, 5, 'a login that replaces the session of the browser')
})
