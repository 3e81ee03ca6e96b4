import fastifyAuth from '@fastify/auth'
import t from 'tap'
import type { FastifyInstance } from 'fastify'
import type { ClaimRequirements } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { HOUR, MINUTE, SECOND } from '../../helpers/clock.js'

// This app does not augment `AuthClaims`. The one in test/package/augment.test.ts does.
const demanding = (claims: object): ClaimRequirements => claims

async function open (
  after: (app: FastifyInstance) => void,
  given: Partial<TestAppOptions> = {}
): Promise<TestApp> {
  const test = await createTestApp({
    ...given,
    options: {
      users: {
        findByLogin: login => ({ ...test.users.get(`u-${login}`), id: `u-${login}` }),
        findById: id => test.users.get(id),
        claims: ({ id }) =>
          id === 'u-ann' ? { role: 'admin', groups: ['staff', 'night'] } : { role: 'member' }
      },
      ...given.options
    },
    after
  })
  t.teardown(() => test.app.close())
  return test
}

t.test('requireFresh counts from the login, not from the last refresh', async t => {
  const { clock, login, get, refresh } = await open(app => {
    app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  })
  let tokens = await login()
  t.equal((await get('/pay', tokens.access_token)).statusCode, 200)
  clock.advance(5 * MINUTE)
  t.equal((await get('/pay', tokens.access_token)).statusCode, 200, 'to the second')
  clock.advance(SECOND)
  tokens = (await refresh(tokens.refresh_token)).json()
  const late = await get('/pay', tokens.access_token)
  t.match(late.json(), { statusCode: 403, code: 'AUTH_REAUTHENTICATION_REQUIRED' })
  t.match(
    late.headers['www-authenticate'],
    /^Bearer realm="auth", error="insufficient_user_authentication", error_description="/
  )
  t.equal((await get('/protected', tokens.access_token)).statusCode, 200)
  t.equal((await get('/pay', (await login()).access_token)).statusCode, 200)
})

t.test('requireFresh rejects a login in the future', async t => {
  const { clock, login, get } = await open(app => {
    app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
  }, { options: { accessToken: { lifetime: '3h' } } })
  clock.advance(HOUR)
  const { access_token: token } = await login()
  clock.advance(-59 * SECOND)
  t.equal((await get('/pay', token)).statusCode, 200)
  clock.advance(-2 * SECOND)
  t.equal((await get('/pay', token)).json().code, 'AUTH_ACCESS_INVALID')
})

t.test('requireClaims accepts a value, an alternative or a member of a list', async t => {
  const { login, get } = await open(app => {
    const demands = {
      admin: { role: 'admin' },
      either: { role: ['admin', 'member'] },
      staff: { groups: 'staff' },
      day: { groups: 'day' },
      any: { groups: ['day', 'night'] },
      both: { role: 'admin', groups: 'night' },
      neither: { role: 'admin', groups: 'day' }
    }

    for (const [name, demand] of Object.entries(demands)) {
      app.get(
        `/${name}`,
        { onRequest: [app.authenticate, app.requireClaims(demanding(demand))] },
        () => name
      )
    }
  })
  const ann = (await login('ann')).access_token
  const bob = (await login('bob')).access_token

  const outcomes = async (token: string): Promise<string[]> => {
    const names = ['admin', 'either', 'staff', 'day', 'any', 'both', 'neither']
    const answers = await Promise.all(names.map(name => get(`/${name}`, token)))

    for (const answer of answers.filter(({ statusCode }) => statusCode !== 200)) {
      t.match(answer.json(), { statusCode: 403, code: 'AUTH_CLAIMS_INSUFFICIENT' })
      t.match(answer.headers['www-authenticate'], /error="insufficient_scope"/)
    }

    return names.filter((_, i) => answers[i]?.statusCode === 200)
  }

  t.strictSame(await outcomes(ann), ['admin', 'either', 'staff', 'any', 'both'])
  t.strictSame(await outcomes(bob), ['either'])
})

t.test('a guard without authenticate rejects every request', async t => {
  const { app, login, get } = await open(app => {
    app.get('/pay', { onRequest: app.requireFresh('5m') }, () => 'paid')
    app.get('/admin', { onRequest: app.requireClaims(demanding({ role: 'admin' })) }, () => 'admin')
  })
  const { access_token: token } = await login()

  for (const url of ['/pay', '/admin']) {
    t.equal((await get(url, token)).json().code, 'AUTH_ACCESS_MISSING')
  }

  for (const maxAge of ['soon', 0, -1]) {
    t.throws(() => app.requireFresh(maxAge), TypeError)
  }

  for (const demands of [{}, { role: [] }, { role: undefined }]) {
    t.throws(() => app.requireClaims(demanding(demands)), TypeError)
  }
})

t.test('requireClaims ignores inherited properties of the claims', async t => {
  const { login, get } = await open(app => {
    const demands = JSON.parse('{"constructor":"x","toString":"y"}')
    app.get('/odd', { onRequest: [app.authenticate, app.requireClaims(demands)] }, () => 'odd')
  })
  t.equal((await get('/odd', (await login()).access_token)).json().code, 'AUTH_CLAIMS_INSUFFICIENT')
})

t.test('guards work as functions of @fastify/auth', async t => {
  const { login, get } = await open(app => {
    const guard = app.auth([[
      app.authenticate,
      app.requireClaims(demanding({ role: 'admin' })),
      app.requireFresh('5m')
    ]])
    app.get('/admin', { onRequest: guard }, () => 'admin')
  }, { before: app => app.register(fastifyAuth) })
  t.equal((await get('/admin', (await login('ann')).access_token)).statusCode, 200)
  t.equal((await get('/admin', (await login('bob')).access_token)).statusCode, 403)
})

t.test('refreshes keep auth_time and amr of the login', async t => {
  const { app, clock, login, get, post } = await open(app => {
    app.post(
      '/magic',
      request => app.tokenAuth.openSession('u-ann', request, { amr: ['otp', 'swk'] })
    )
  })
  const start = clock()
  const byPassword = await login()
  t.match((await get('/protected', byPassword.access_token)).json(), {
    authenticatedAt: start,
    amr: ['pwd']
  })
  const elsewhere = (await post('/magic')).json()
  clock.advance(20 * MINUTE)

  for (let i = 0; i < 2; i++) {
    elsewhere.refresh_token = (await post('/auth/refresh', elsewhere)).json().refresh_token
    clock.advance(MINUTE)
  }

  const { access_token: token } = (await post('/auth/refresh', elsewhere)).json()
  t.match((await get('/protected', token)).json(), { authenticatedAt: start, amr: ['otp', 'swk'] })
  await app.close()
})
