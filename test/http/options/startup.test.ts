import Fastify from 'fastify'
import t from 'tap'
import { optionsFromEnv, tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import { DAY } from '../../helpers/clock.js'
import { OTHER_SECRET, required } from '../../options/resolve.js'

t.test('an invalid option fails at startup', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(
    async () => {
      await app.register(tokenAuth, { ...required, accessToken: { lifetime: '15 minutes' } })
    },
    { name: 'TypeError', message: /"accessToken\.lifetime" must be a number of seconds/ }
  )
  t.notOk(app.hasDecorator('authenticate'))
})

t.test('a plugin without options fails at startup', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await t.rejects(async () => {
    await app.register(tokenAuth, {} as TokenAuthOptions)
  }, /"store" must be a TokenStore/)
})

t.test('the path of a cookie must cover the prefix of the scope', async t => {
  const start = async (path: string): Promise<void> => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(async scope => {
      await scope.register(tokenAuth, {
        ...required,
        sweep: false,
        refreshToken: { transport: 'cookie' },
        cookie: { path }
      })
    }, { prefix: '/api' })
    await app.ready()
  }

  await t.rejects(start('/auth'), {
    name: 'TypeError',
    message: /"cookie\.path" must cover the route "login" at "\/api\/auth\/login".*"\/api\/auth"/
  })
  await t.resolves(start('/api/auth'))
})

t.test('cookies are named after the registration and their attributes', async t => {
  const login = async (cookie: object, name = 'auth'): Promise<string[]> => {
    const { app } = await createTestApp({
      options: {
        name,
        throttle: {},
        refreshToken: { transport: 'cookie' },
        cookie: { accessToken: true, ...cookie }
      }
    })
    t.teardown(() => app.close())
    const { cookies } = await app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { 'x-token-transport': 'cookie' },
      payload: { username: 'ann', password: PASSWORD }
    })
    return cookies.map(({ name }) => name).sort()
  }

  t.strictSame(await login({}), ['__Host-auth-access', '__Host-auth-device', '__Host-auth-refresh'])
  t.strictSame(await login({ path: '/auth' }, 'staff'), [
    '__Host-staff-access',
    '__Secure-staff-device',
    '__Secure-staff-refresh'
  ])
  t.strictSame(await login({ secure: false }), ['auth-access', 'auth-device', 'auth-refresh'])
})

t.test('an app runs on options from the environment', async t => {
  const env = {
    SECRET_KEY: SECRET,
    REFRESH_SECRET_KEY: OTHER_SECRET,
    ALGORITHM: 'HS256',
    ACCESS_TOKEN_EXPIRE_MINUTES: '30',
    REFRESH_TOKEN_EXPIRE_DAYS: '45'
  }
  const { app, login, get, refresh, clock, store } = await createTestApp({
    options: optionsFromEnv(env)
  })
  t.teardown(() => app.close())
  const pair = await login()
  t.equal(pair.expires_in, 1800)
  const other = await createTestApp({
    store,
    clock,
    options: { secret: SECRET } as Partial<TokenAuthOptions>
  })
  t.teardown(() => other.app.close())
  t.equal((await other.get('/protected', pair.access_token)).statusCode, 200)
  t.equal(
    (await other.refresh(pair.refresh_token)).statusCode,
    401,
    'refresh tokens have a key of their own'
  )
  clock.advance(45 * DAY - 1)
  t.equal((await refresh(pair.refresh_token)).json().code, undefined)
  clock.advance(1)
  t.equal((await refresh(pair.refresh_token)).json().code, 'AUTH_REFRESH_EXPIRED')
  t.equal((await get('/protected', pair.access_token)).statusCode, 401)

  const without = await createTestApp({
    options: optionsFromEnv({ ...env, REFRESH_TOKEN_ENABLED: 'false' })
  })
  t.teardown(() => without.app.close())
  t.notOk('refresh_token' in await without.login())
})
