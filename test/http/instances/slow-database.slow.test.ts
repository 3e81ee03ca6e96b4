import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { PostgresStore } from '../../../src/stores/postgres/index.js'
import { SECRET } from '../../helpers/app.js'
import { SECOND } from '../../helpers/clock.js'
import {
  answers,
  createPostgresDatabase,
  POSTGRES_URL,
  startPostgres
} from '../../helpers/databases/postgres.js'

interface Instance {
  readonly app: FastifyInstance
  readonly reported: string[]
}

t.test('nobody is signed out while a row is locked for 8 s', async t => {
  const { instances: [one, two], query } = await startInstances(t)
  const first = await login(one)
  await sleep(10)
  const client = await query.connect()
  await client.query('BEGIN')
  await client.query('SELECT id FROM token_auth_sessions FOR UPDATE')
  const answers = Promise.all([refresh(one, first), refresh(two, first)])
  await sleep(8 * SECOND)
  await client.query('COMMIT')
  client.release()
  t.strictSame((await answers).map(({ status }) => status), [503, 503], 'both have given up')

  // One of the two has rotated in the meantime, or neither has.
  for (const instance of [two, one]) {
    const retried = await refresh(instance, first)
    t.equal(retried.status, 200, 'the retry of a tab')
    await use(instance, retried.access)
  }

  await sleep(6 * SECOND)
  t.equal((await refresh(two, first)).status, 200, 'a tab that retries late')
  t.strictSame([...one.reported, ...two.reported], [])
})

t.test('nobody is signed out by user callbacks that take 4 s each', async t => {
  const slowly = async <T>(value: T): Promise<T> => {
    await sleep(4 * SECOND)
    return value
  }

  const { instances: [one, two] } = await startInstances(t, {
    findByLogin: () => null,
    findById: id => slowly({ id }),
    claims: () => slowly({ role: 'user' }),
    present: user => slowly({ id: user.id })
  })
  const first = await login(one)
  const [a, b] = await Promise.all([refresh(one, first), refresh(two, first)])
  t.strictSame([a.status, b.status], [200, 200])
  t.equal(a.token, b.token, 'both tabs get the same token')
  const [c, d] = await Promise.all([
    refresh(two, a.token),
    sleep(2 * SECOND).then(() => refresh(one, a.token))
  ])
  t.strictSame([c.status, d.status], [200, 200])
  t.strictSame([...one.reported, ...two.reported], [])
})

async function startInstances (
  t: Test,
  users: TokenAuthOptions['users'] = { findByLogin: () => null, findById: id => ({ id }) }
) {
  const server = await answers(POSTGRES_URL) ? null : await startPostgres()
  const database = await createPostgresDatabase(server?.url ?? POSTGRES_URL)
  t.teardown(() => database.remove().then(() => server?.stop()))
  const instances = await Promise.all([0, 1].map(() => startInstance(t, users, database)))
  return { instances: instances as [Instance, Instance], query: database.connect({ max: 2 }) }
}

async function startInstance (
  t: Test,
  users: TokenAuthOptions['users'],
  database: Awaited<ReturnType<typeof createPostgresDatabase>>
): Promise<Instance> {
  const app = Fastify()
  const reported: string[] = []

  const report = (name: string) => () => {
    reported.push(name)
  }

  await app.register(tokenAuth, {
    secret: SECRET,
    store: new PostgresStore(database.connect({ max: 4 })),
    users,
    throttle: false,
    on: {
      reuse: report('reuse'),
      'suspicious-replay': report('suspicious-replay'),
      'session-missing': report('session-missing')
    }
  })
  app.post('/login', async request => app.tokenAuth.openSession('ann', request))
  await app.ready()
  t.teardown(() => app.close())
  return { app, reported }
}

async function login ({ app }: Instance): Promise<string> {
  return (await app.inject({ method: 'POST', url: '/login' })).json<{ refresh_token: string }>()
    .refresh_token
}

async function refresh (
  { app }: Instance,
  token: string
): Promise<{ readonly status: number, readonly token: string, readonly access: string }> {
  const response = await app.inject({
    method: 'POST',
    url: '/auth/refresh',
    payload: { refresh_token: token }
  })
  const body = response.json<{ refresh_token?: string, access_token?: string }>()
  const { refresh_token: next = '', access_token: access = '' } = body
  return { status: response.statusCode, token: next, access }
}

async function use ({ app }: Instance, access: string): Promise<void> {
  await app.inject({ url: '/auth/me', headers: { authorization: `Bearer ${access}` } })
}
