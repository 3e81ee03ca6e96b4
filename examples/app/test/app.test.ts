import t from 'tap'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../app.js'
import { openDatabase } from '../database.js'
import type { AppDatabase, Role } from '../database.js'
import { readSettings } from '../settings.js'

type Headers = Record<string, string>

const password = 'correct horse'
const settings = readSettings({
  SECRET_KEY: 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf',
  DATABASE_FILE: ':memory:',
  ORIGINS: 'https://app.example.org',
  LOG_LEVEL: 'silent'
})

async function createApp (t: Test): Promise<{ app: FastifyInstance, db: AppDatabase }> {
  const db = await openDatabase(':memory:')
  const app = await buildApp(settings, db)
  t.teardown(() => app.close())
  await app.ready()
  return { app, db }
}

/** Adds a user without a usable password, because hashing one takes 30 ms. */
async function addUser (db: AppDatabase, username: string, role: Role = 'member'): Promise<string> {
  const user = { id: username, username, role, passwordHash: '-' }
  const { id } = await db.insertInto('users').values(user).returning('id').executeTakeFirstOrThrow()
  return id
}

async function signIn (app: FastifyInstance, userId: string): Promise<Headers> {
  const { access_token: token } = await app.tokenAuth.openSession(userId, {
    ip: '127.0.0.1',
    headers: {},
    raw: { headers: {} }
  } as never)
  return { authorization: `Bearer ${token}` }
}

t.test('a user signs up, logs in and is a member', async t => {
  const { app } = await createApp(t)
  const credentials = { username: 'ann', password }
  const signUp = (body: object) => app.inject({ method: 'POST', url: '/sign-up', body })
  t.match((await signUp(credentials)).json(), { username: 'ann', role: 'member' })
  t.match((await signUp(credentials)).json(), { statusCode: 409, message: 'Username is taken' })
  t.match((await signUp({ username: 'bob', password: 'short' })).json(), { statusCode: 400 })
  t.match((await signUp({ username: 'B o b', password })).json(), { statusCode: 400 })

  const login = await app.inject({
    method: 'POST',
    url: '/auth/login',
    body: { ...credentials, username: 'Ann' }
  })
  t.match(login.json(), { user: { username: 'ann', role: 'member' } })
})

t.test('every route of the app requires an access token', async t => {
  const { app } = await createApp(t)

  const routes = [
    { method: 'GET', url: '/users' },
    { method: 'PUT', url: '/users/1/role' },
    { method: 'PUT', url: '/password' }
  ] as const

  for (const route of routes) {
    t.equal((await app.inject(route)).statusCode, 401)
  }
})

t.test('only an admin lists users and changes roles', async t => {
  const { app, db } = await createApp(t)
  const ann = await signIn(app, await addUser(db, 'ann', 'admin'))
  const bobId = await addUser(db, 'bob')
  const bob = await signIn(app, bobId)
  const changeRole = (headers: Headers, role: string, id = bobId) =>
    app.inject({ method: 'PUT', url: `/users/${id}/role`, headers, body: { role } })

  t.equal((await app.inject({ url: '/users', headers: bob })).statusCode, 403)
  t.equal((await changeRole(bob, 'admin')).statusCode, 403)
  t.equal((await changeRole(ann, 'owner')).statusCode, 400)
  t.equal((await changeRole(ann, 'admin', '404')).statusCode, 404)
  t.equal((await changeRole(ann, 'admin')).statusCode, 204)
  t.equal((await app.inject({ url: '/users', headers: bob })).statusCode, 401)

  const bobAgain = await signIn(app, bobId)
  const users = await app.inject({ url: '/users', headers: bobAgain })
  t.match(users.json(), [{ username: 'ann', role: 'admin' }, { username: 'bob', role: 'admin' }])
  t.notMatch(users.body, 'password')
})

t.test('a changed password signs out the other devices', async t => {
  const { app, db } = await createApp(t)
  const id = await addUser(db, 'ann')
  const [phone, laptop] = [await signIn(app, id), await signIn(app, id)]
  const changePassword = (headers: Headers) =>
    app.inject({ method: 'PUT', url: '/password', headers, body: { password } })

  t.equal((await changePassword(phone)).statusCode, 204)
  t.equal((await changePassword(laptop)).statusCode, 401)
  const body = { username: 'ann', password }
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', body })).statusCode, 200)
})

t.test('the eleventh sign-up of an address within an hour is rejected', async t => {
  const { app } = await createApp(t)
  const signUp = async () => (await app.inject({ method: 'POST', url: '/sign-up' })).statusCode

  for (let i = 0; i < 10; i++) {
    t.equal(await signUp(), 400)
  }

  t.equal(await signUp(), 429)
})

t.test('pages of the origins in the settings may call the app', async t => {
  const { app } = await createApp(t)
  const getAllowed = async (origin: string) =>
    (await app.inject({ url: '/auth/me', headers: { origin } })).headers[
      'access-control-allow-origin'
    ]
  t.equal(await getAllowed('https://app.example.org'), 'https://app.example.org')
  t.equal(await getAllowed('https://evil.example'), undefined)
})

t.test('the page, its modules and the OpenAPI document are public', async t => {
  const { app } = await createApp(t)
  const get = async (url: string) => app.inject({ url })
  t.match((await get('/')).body, '<script type="module" src="page.js">')
  t.equal((await get('/page.js')).statusCode, 200)
  t.equal((await get('/fastify-token-auth/client/index.js')).statusCode, 200)
  t.equal((await get('/fastify-token-auth/plugin.js')).statusCode, 404, 'code of the server')
  t.equal((await get('/readyz')).statusCode, 200)
  t.match((await get('/openapi.json')).json().paths, { '/users': {}, '/auth/login': {} })
})

t.test('a missing secret is named', async t => {
  t.throws(() => readSettings({}), /"SECRET_KEY" must be/)
})
