import Fastify from 'fastify'
import t from 'tap'
import { accountFlows, defineAccountFlows } from '../../src/account/index.js'
import type { AccountOptions } from '../../src/account/index.js'
import { tokenAuth } from '../../src/index.js'
import { MemoryAttempts, MemoryStore } from '../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../helpers/app.js'
import { createAccountApp, EMAIL } from './account-app.js'

const find = (): null => null

const noop = (): void => {}

const complete: AccountOptions = {
  users: { findByEmail: find, markEmailVerified: noop, savePasswordHash: noop },
  send: { verifyEmail: noop, resetPassword: noop, signInLink: noop, signInCode: noop }
}
const start = (options: unknown, tokenOptions: object = { revocations: false }) =>
  createTestApp({
    options: tokenOptions,
    after: app => app.register(accountFlows, options as AccountOptions)
  })

t.test('invalid options fail at startup with the fix', async t => {
  const { users, send } = complete
  const cases: Array<[unknown, RegExp]> = [
    [{ send }, /"users" must be an object/],
    [{ users: {}, mail: {} }, /unknown option "mail"; valid options: users, send, routes/],
    [{ users: { ...users, find }, send }, /unknown option "users.find"/],
    [{ users: { findByEmail: 1 }, send }, /"users.findByEmail" must be a function/],
    [{ users, send: { verifyMail: noop } }, /unknown option "send.verifyMail"/],
    [{ users: {}, send: { verifyEmail: noop } }, /requires "users.markEmailVerified"; add/],
    [{ users: {}, send: { signInLink: noop } }, /requires "users.findByEmail"; add/],
    [{ users: { findByEmail: find }, send: { resetPassword: noop } }, /"users.savePasswordHash"/],
    [{ users: { findByEmail: find } }, /accountFlows has no route; set a callback of "send"/],
    [{ ...complete, codeLength: 4 }, /"codeLength" must be an integer from 6 to 8, not 4/],
    [{ ...complete, lifetimes: { signInCode: '5s' } }, /"lifetimes.signInCode" must be from 1m/],
    [{ ...complete, routes: { verify: '/x' } }, /unknown option "routes.verify"/],
    [{ ...complete, routes: { verifyEmail: 'x' } }, /"routes.verifyEmail" must be a path/],
    [{ ...complete, sendLimits: { account: 5 } }, /"sendLimits.account" must be an object/]
  ]

  for (const [options, message] of cases) {
    await t.rejects(start(options), { message })
  }
})

t.test('accountFlows requires tokenAuth and a shared attempt store', async t => {
  await t.rejects(async () => Fastify().register(accountFlows, complete), {
    message: /requires tokenAuth in the same scope or a parent; register it before/
  })

  for (const throttle of [false, {}, { attempts: new MemoryAttempts() }]) {
    await t.rejects(start(complete, { throttle }), {
      message: /accountFlows requires "throttle.attempts" to be a store that all instances share/
    })
  }

  await start({ users: { savePasswordHash: noop } }, {})
})

t.test('accountFlows is registered once, so that no sign-in misses a second factor', async t => {
  const { users } = complete
  const factors = { secondFactors: () => ['recovery' as const], useRecoveryCode: () => false }
  const parts: AccountOptions[] = [{ users: factors }, { users, send: { signInLink: noop } }]

  for (const isChild of [false, true]) {
    await t.rejects(
      createTestApp({
        options: { revocations: false },
        async after (app) {
          for (const part of parts) {
            if (isChild) {
              await app.register(async scope => {
                await scope.register(accountFlows, part)
              })
            } else {
              await app.register(accountFlows, part)
            }
          }
        }
      }),
      { message: /once for each registration/ }
    )
  }
})

t.test('a missing callback has no route, and routes can be moved or disabled', async t => {
  const paths = [
    '/auth/email/verification',
    '/auth/email/verify',
    '/auth/password/forgot',
    '/auth/password/reset',
    '/auth/password/change',
    '/auth/sign-in/link',
    '/auth/sign-in/code',
    '/auth/sign-in/redeem'
  ]

  const list = async (options: AccountOptions): Promise<string[]> => {
    const { app } = await start(options)
    t.teardown(() => app.close())
    return paths.filter(url => app.hasRoute({ method: 'POST', url }))
  }

  const { users, send = {} } = complete
  t.same(await list(complete), paths)
  t.same(
    await list({ users, send: { signInCode: noop } }),
    paths.slice(4, 5).concat(paths.slice(6))
  )
  t.same(await list({ users: { savePasswordHash: noop } }), ['/auth/password/change'])
  t.same(await list({ users, send, routes: { changePassword: false } }).then(all => all.length), 7)
  const { app } = await start({ ...complete, routes: { verifyEmail: '/verify' } })
  t.teardown(() => app.close())
  t.ok(app.hasRoute({ method: 'POST', url: '/auth/verify' }))
})

t.test('it may be registered in a child scope, and without await', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  void app.register(tokenAuth, {
    secret: SECRET,
    store: new MemoryStore(),
    users: { findByLogin: find, findById: find },
    revocations: false
  })
  void app.register(async scope => {
    await scope.register(accountFlows, complete)
  }, { prefix: '/v1' })
  await app.ready()
  const url = '/v1/auth/password/forgot'
  t.equal((await app.inject({ method: 'POST', url, payload: { email: 'x' } })).statusCode, 202)
})

t.test('protect leaves the public routes open and lists none of them', async t => {
  const { app, post } = await createAccountApp(t, { options: { protect: 'all' } })
  t.equal((await post('/auth/password/forgot', { email: EMAIL })).statusCode, 202)
  t.equal((await post('/auth/sign-in/redeem', { token: 'x' })).statusCode, 400)
  t.equal((await post('/auth/email/verification')).statusCode, 401)
  t.equal(
    (await post('/auth/password/change', {
      current_password: 'a',
      new_password: 'b'
    })).statusCode,
    401
  )
  t.same(app.tokenAuth.unprotectedRoutes(), [])
})

t.test('1,000 GET and HEAD requests of a link change nothing [67]', async t => {
  const { app, request, post, writes, users, events } = await createAccountApp(t)
  const [reset, link] = [
    await request('/auth/password/forgot', { email: EMAIL }),
    await request('/auth/sign-in/link', { email: EMAIL })
  ]
  const before = JSON.stringify([...users])
  const count = events.length

  for (let i = 0; i < 250; i++) {
    for (const method of ['GET', 'HEAD'] as const) {
      for (
        const url of [
          `/auth/password/reset?token=${reset.token}&password=long-enough`,
          `/auth/sign-in/redeem?token=${link.token}`
        ]
      ) {
        const { statusCode } = await app.inject({ method, url })

        if (statusCode !== 404) {
          t.fail(`${method} ${url}: ${statusCode}`)
        }
      }
    }
  }

  t.same([writes, JSON.stringify([...users]), events.length], [[], before, count])
  t.equal((await post('/auth/sign-in/redeem', { token: link.token })).statusCode, 200)
  const body = { token: reset.token, password: 'a long new password' }
  t.equal((await post('/auth/password/reset', body)).statusCode, 204)
})

t.test('defineAccountFlows infers the user and the type of the ID', async t => {
  const options = defineAccountFlows({
    users: {
      findByEmail: (email: string) => ({ id: 7, email, address: email }),
      savePasswordHash: (id: number, hash, replaced) => [id + 1, hash.length, replaced?.length]
    },
    send: { resetPassword: ({ user, token }) => [user.address.length, token.length] }
  })
  const { app } = await start(options)
  t.teardown(() => app.close())
  t.ok(app.accountFlows)
})
