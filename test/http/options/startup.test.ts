import Fastify from 'fastify'
import t from 'tap'
import { optionsFromEnv, StoreSetupError, tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp, PASSWORD, SECRET } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { MemoryAttempts, MemoryStore } from '../../../src/stores/memory/index.js'
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

t.test('a store that lacks a table fails the startup with the fix', async t => {
  const missing = new StoreSetupError(['table "x" is missing'], 'run "await store.migrate()"')
  const check = (): Promise<never> => Promise.reject(missing)
  const incomplete = [
    { store: Object.assign(new MemoryStore(), { check }) },
    { throttle: { attempts: Object.assign(new MemoryAttempts(), { check }) } },
    { dpop: { replays: Object.assign(new MemoryAttempts(), { check }) } }
  ]

  for (const given of incomplete) {
    const app = Fastify()
    await app.register(tokenAuth, { ...required, sweep: false, ...given })
    await t.rejects(async () => app.ready(), {
      message: 'table "x" is missing; run "await store.migrate()"'
    })
    await app.close()
  }
})

t.test('a store that does not respond fails the startup by default', async t => {
  const { store, break: breakStore } = createBreakableStore(new MemoryStore())
  breakStore('hangs')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tokenAuth, { ...required, sweep: false, store, storeTimeout: '20ms' })
  await t.rejects(async () => app.ready(), /the store does not respond at startup/)
})

t.test('"serve" starts without a store, and serves requests when it is there', async t => {
  for (const revocations of [{}, false] as const) {
    const breakable = createBreakableStore(new MemoryStore())
    const first = await createTestApp({ store: breakable.store, options: { revocations } })
    const { access_token: access } = await first.login()
    await first.app.close()
    breakable.break('throws')
    const { app, get, login, clock } = await createTestApp({
      store: breakable.store,
      clock: first.clock,
      options: { revocations, startup: { storeDown: 'serve' } }
    })
    t.teardown(() => app.close())
    t.equal((await get('/protected', access)).statusCode, 503, 'no request without revocations')
    await t.rejects(login())
    breakable.break(null)

    for (let i = 0; i < 200 && (await get('/protected', access)).statusCode === 503; i++) {
      await new Promise(resolve => {
        setTimeout(resolve, 10)
      })
    }

    t.equal((await get('/protected', access)).statusCode, 200)
    t.ok((await login()).access_token)
    t.ok(clock())
  }
})

t.test('"wait" requires a long timeout of Fastify', async t => {
  const startup = { storeDown: 'wait', maxWait: '20s' } as const

  const register = async (pluginTimeout: number): Promise<void> => {
    const app = Fastify({ pluginTimeout })
    t.teardown(() => app.close())
    await app.register(tokenAuth, { ...required, sweep: false, startup })
  }

  await t.rejects(register(10_000), {
    name: 'TypeError',
    message: /create the app with Fastify\(\{ pluginTimeout: 30000 \}\)/
  })
  await t.resolves(register(30_000))
  await t.resolves(register(0))
})
