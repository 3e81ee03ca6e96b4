import t from 'tap'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { signIn } from 'fastify-token-auth/testing'
import { buildApp } from '../app.js'
import { openDatabase } from '../database.js'
import type { AppDatabase, Role } from '../database.js'
import { readSettings } from '../settings.js'

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

/** Adds a user without a password. `signIn` needs none, and to hash one takes 30 ms. */
async function addUser (db: AppDatabase, username: string, role: Role = 'member'): Promise<number> {
  const user = { username, role, passwordHash: '-' }
  const { id } = await db.insertInto('users').values(user).returning('id').executeTakeFirstOrThrow()
  return id
}

t.test('a user signs up and logs in', async t => {
  const { app } = await createApp(t)
  const signUp = async (username: string, password: string) =>
    (await app.inject({ method: 'POST', url: '/sign-up', body: { username, password } })).json()

  t.strictSame(await signUp('ann', password), { id: 1, username: 'ann', role: 'member' })
  t.match(await signUp('ann', password), { statusCode: 409, message: 'Username is taken' })
  t.match(await signUp('bob', 'short'), { statusCode: 400, code: 'AUTH_PASSWORD_REJECTED' })
  t.match(await signUp('B o b', password), { statusCode: 400, code: 'FST_ERR_VALIDATION' })

  const body = { username: 'Ann', password }
  const login = await app.inject({ method: 'POST', url: '/auth/login', body })
  t.strictSame(login.json().user, { id: 1, username: 'ann', role: 'member' })
})

t.test('only the page, the OpenAPI document and the probe need no access token', async t => {
  const { app } = await createApp(t)
  t.strictSame(app.tokenAuth.unprotectedRoutes(), [])

  for (const url of ['/', '/page.js', '/fastify-token-auth.js', '/readyz']) {
    t.equal((await app.inject(url)).statusCode, 200, url)
  }

  const { paths } = (await app.inject('/openapi.json')).json()
  t.match(paths, { '/auth/login': {}, '/sign-up': { post: { security: [] } }, '/users': {} })
  t.equal((await app.inject('/users')).statusCode, 401)
  t.equal((await app.inject({ method: 'PUT', url: '/password' })).statusCode, 401)
  t.equal((await app.inject({ method: 'PUT', url: '/users/1/role' })).statusCode, 401)
})

t.test('only an admin lists users', async t => {
  const { app, db } = await createApp(t)
  const ann = await signIn(app, await addUser(db, 'ann', 'admin'))
  const bob = await signIn(app, await addUser(db, 'bob'))

  t.equal((await app.inject({ url: '/users', headers: bob.headers })).statusCode, 403)
  const response = await app.inject({ url: '/users', headers: ann.headers })
  t.strictSame(response.json(), [
    { id: 1, username: 'ann', role: 'admin' },
    { id: 2, username: 'bob', role: 'member' }
  ])
})

t.test('only an admin changes a role, which signs the user out', async t => {
  const { app, db } = await createApp(t)
  const ann = await signIn(app, await addUser(db, 'ann', 'admin'))
  const id = await addUser(db, 'bob')
  const bob = await signIn(app, id)

  const old = { authenticatedAt: Date.now() - 6 * 60_000 }

  const changeRole = async ({ headers }: typeof bob, role: string, userId = id) => {
    const url = `/users/${userId}/role`
    return (await app.inject({ method: 'PUT', url, headers, body: { role } })).statusCode
  }

  t.equal(await changeRole(bob, 'admin'), 403)
  t.equal(await changeRole(await signIn(app, 1, old), 'admin'), 403)
  t.equal(await changeRole(ann, 'owner'), 400)
  t.equal(await changeRole(ann, 'admin', 404), 404)
  t.equal(await changeRole(ann, 'admin'), 204)
  t.equal(await changeRole(bob, 'admin'), 401)
  t.equal(await changeRole(await signIn(app, id), 'admin'), 204, 'bob is an admin')
})

t.test('a changed password requires a recent login, and signs out other devices', async t => {
  const { app, db } = await createApp(t)
  const id = await addUser(db, 'ann')
  const old = await signIn(app, id, { authenticatedAt: Date.now() - 6 * 60_000 })
  const [phone, laptop] = [await signIn(app, id), await signIn(app, id)]

  const changePassword = async ({ headers }: typeof phone) => {
    const body = { password }
    return (await app.inject({ method: 'PUT', url: '/password', headers, body })).statusCode
  }

  t.equal(await changePassword(old), 403)
  t.equal(await changePassword(phone), 204)
  t.equal(await changePassword(laptop), 401)
  t.equal(await changePassword(phone), 204)
  const body = { username: 'ann', password }
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', body })).statusCode, 200)
})

t.test('an address may sign up 10 times per hour', async t => {
  const { app } = await createApp(t)
  const signUp = async () => (await app.inject({ method: 'POST', url: '/sign-up' })).statusCode

  for (let i = 0; i < 10; i++) {
    t.equal(await signUp(), 400)
  }

  t.equal(await signUp(), 429)
})

t.test('pages of the origins in the settings may call the app', async t => {
  const { app } = await createApp(t)
  const getAllowedOrigin = async (origin: string) =>
    (await app.inject({ url: '/auth/me', headers: { origin } }))
      .headers['access-control-allow-origin']

  t.equal(await getAllowedOrigin('https://app.example.org'), 'https://app.example.org')
  t.equal(await getAllowedOrigin('https://evil.example'), undefined)
})

t.test('a missing secret is named', async t => {
  t.throws(() => readSettings({}), /"SECRET_KEY" must be/)
})
