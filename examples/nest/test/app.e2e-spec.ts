import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { Controller, Get } from '@nestjs/common'
import type { ModuleMetadata } from '@nestjs/common'
import { APP_GUARD } from '@nestjs/core'
import { FastifyAdapter } from '@nestjs/platform-fastify'
import type { NestFastifyApplication } from '@nestjs/platform-fastify'
import { Test } from '@nestjs/testing'
import { signIn } from 'fastify-token-auth/testing'
import type { SignedInSession, SignInOptions } from 'fastify-token-auth/testing'
import { AppModule } from '../src/app.module.js'
import { AuthGuard } from '../src/auth/auth.guard.js'
import { AuthService } from '../src/auth/auth.service.js'
import { CurrentAuth, Public, Roles } from '../src/auth/decorators.js'
import { UsersController } from '../src/users/users.controller.js'
import { UsersService } from '../src/users/users.service.js'
import type { User } from '../src/users/users.service.js'

process.env.AUTH_SECRET = 'k3Jd8sLq0Zx7Vb2Nm5Tg9Ry4Wp1Hc6Uf'

@Controller('extra')
class ExtraController {
  @Get('undecorated')
  showUndecorated (): string {
    return 'protected by the global guard'
  }

  @Public()
  @Roles('admin')
  @Get('contradiction')
  showContradiction (): string {
    return 'never public'
  }

  @Public()
  @Get('without-user')
  showWithoutUser (@CurrentAuth() auth: unknown): unknown {
    return auth
  }
}

async function createApp (
  t: TestContext,
  metadata: ModuleMetadata = { imports: [AppModule], controllers: [ExtraController] },
  users?: Partial<UsersService>
): Promise<NestFastifyApplication> {
  const builder = Test.createTestingModule(metadata)

  if (users !== undefined) {
    builder.overrideProvider(UsersService).useValue(users)
  }

  const module = await builder.compile()
  const app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter(), {
    logger: false
  })
  await app.init()
  t.after(() => app.close())
  return app
}

/** Adds a user and signs them in, without a password. */
async function signInAs (
  app: NestFastifyApplication,
  role: User['role'],
  options?: SignInOptions
): Promise<SignedInSession> {
  const user = { id: `id-${role}`, username: role, role, passwordHash: null }
  app.get(UsersService).add(user)
  return signIn(app.getHttpAdapter().getInstance(), user.id, options)
}

const protectedRoutes = [
  ['GET', '/users/me'],
  ['GET', '/users'],
  ['DELETE', '/users/1/sessions'],
  ['GET', '/extra/undecorated'],
  ['GET', '/extra/contradiction']
] as const

for (const [method, url] of protectedRoutes) {
  test(`${method} ${url} responds with 401 without a token`, async t => {
    const app = await createApp(t)
    const response = await app.inject({ method, url })
    assert.equal(response.statusCode, 401)
    assert.deepEqual(response.json(), {
      statusCode: 401,
      code: 'AUTH_ACCESS_MISSING',
      error: 'Unauthorized',
      message: 'Access token is missing'
    })
    assert.equal(response.headers['x-auth-error'], 'AUTH_ACCESS_MISSING')
    assert.equal(response.headers['www-authenticate'], 'Bearer realm="auth"')
  })
}

test('a token that is not valid is rejected', async t => {
  const app = await createApp(t)
  const headers = { authorization: 'Bearer x.y.z' }
  const response = await app.inject({ url: '/users/me', headers })
  assert.equal(response.statusCode, 401)
  assert.equal(response.json().code, 'AUTH_ACCESS_INVALID')
})

test('a user who signs up logs in with the password', async t => {
  const app = await createApp(t)
  const payload = { username: 'ann', password: 'correct horse' }
  const signUp = await app.inject({ method: 'POST', url: '/users', payload })
  assert.equal(signUp.statusCode, 201)
  assert.equal((await app.inject({ method: 'POST', url: '/users', payload })).statusCode, 409)
  const login = await app.inject({ method: 'POST', url: '/auth/login', payload })
  const headers = { authorization: `Bearer ${login.json().access_token}` }
  const response = await app.inject({ url: '/users/me', headers })
  assert.deepEqual(response.json(), { ...signUp.json(), role: 'admin' })
})

test('a password that is too short is rejected', async t => {
  const app = await createApp(t)
  const payload = { username: 'ann', password: 'short' }
  const response = await app.inject({ method: 'POST', url: '/users', payload })
  assert.equal(response.statusCode, 400)
  assert.equal(response.json().code, 'AUTH_PASSWORD_REJECTED')
})

test('@CurrentAuth() is the user of the token', async t => {
  const app = await createApp(t)
  const { userId, headers } = await signInAs(app, 'member')
  const response = await app.inject({ url: '/users/me', headers })
  assert.deepEqual(response.json(), { id: userId, role: 'member' })
})

test('@CurrentAuth() fails on a public route', async t => {
  const app = await createApp(t)
  assert.equal((await app.inject('/extra/without-user')).statusCode, 500)
})

test('@Roles() responds with 403 to other roles', async t => {
  const app = await createApp(t)
  const admin = await signInAs(app, 'admin')
  const member = await signInAs(app, 'member')

  for (
    const { method, url, allowed } of [
      { method: 'GET', url: '/users', allowed: 200 },
      { method: 'DELETE', url: '/users/1/sessions', allowed: 204 }
    ] as const
  ) {
    const rejected = await app.inject({ method, url, headers: member.headers })
    assert.equal(rejected.statusCode, 403)
    assert.equal(rejected.json().code, 'AUTH_CLAIMS_INSUFFICIENT')
    const accepted = await app.inject({ method, url, headers: admin.headers })
    assert.equal(accepted.statusCode, allowed)
  }
})

test('@Fresh() responds with 403 after an old login', async t => {
  const app = await createApp(t)
  const { headers } = await signInAs(app, 'admin', { authenticatedAt: Date.now() - 600_000 })
  const response = await app.inject({ method: 'DELETE', url: '/users/1/sessions', headers })
  assert.equal(response.statusCode, 403)
  assert.equal(response.json().code, 'AUTH_REAUTHENTICATION_REQUIRED')
})

test('an admin signs a user out', async t => {
  const app = await createApp(t)
  const admin = await signInAs(app, 'admin')
  const member = await signInAs(app, 'member')
  const url = `/users/${member.userId}/sessions`
  await app.inject({ method: 'DELETE', url, headers: admin.headers })
  const response = await app.inject({ url: '/users/me', headers: member.headers })
  assert.equal(response.statusCode, 401)
  assert.equal(response.json().code, 'AUTH_SESSION_REVOKED')
})

test('routes of the plugin send their codes', async t => {
  const app = await createApp(t)
  const payload = { username: 'ann', password: 'wrong' }
  const response = await app.inject({ method: 'POST', url: '/auth/login', payload })
  assert.equal(response.statusCode, 401)
  assert.equal(response.json().code, 'AUTH_CREDENTIALS_REJECTED')
})

test('a service of users that fails results in 503 without its message', async t => {
  const app = await createApp(t, undefined, {
    findByLogin () {
      throw new Error('connection of the database was lost')
    }
  })
  const payload = { username: 'ann', password: 'correct horse' }
  const response = await app.inject({ method: 'POST', url: '/auth/login', payload })
  assert.equal(response.statusCode, 503)
  assert.equal(response.json().code, 'AUTH_STORE_UNAVAILABLE')
  assert.equal(response.headers['retry-after'], '1')
  assert.doesNotMatch(response.body, /database/)
})

test('Nest sends the right status without the filter', async t => {
  const app = await createApp(t, {
    controllers: [UsersController],
    providers: [AuthService, UsersService, { provide: APP_GUARD, useClass: AuthGuard }]
  })
  const response = await app.inject('/users/me')
  assert.equal(response.statusCode, 401)
  assert.deepEqual(response.json(), { statusCode: 401, message: 'Access token is missing' })
})

test('the guard rejects every request if the plugin is not registered', async t => {
  const app = await createApp(t, {
    controllers: [ExtraController],
    providers: [{ provide: APP_GUARD, useClass: AuthGuard }]
  })
  assert.equal((await app.inject('/extra/undecorated')).statusCode, 500)
})
