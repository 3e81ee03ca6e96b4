import t from 'tap'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import { MINUTE } from '../../helpers/clock.js'
import {
  asCookie,
  collectResponses,
  credentials,
  foreign,
  logInWithCookies,
  open,
  own,
  REFRESH,
  withCookies
} from './cookie-app.js'

for (const fault of ['throws', 'hangs'] as const) {
  t.test(`a store that ${fault} neither authenticates nor changes cookies [17, 23]`, async t => {
    const breakable = createBreakableStore(new MemoryStore())
    const test = await open(t, {
      store: breakable.store,
      options: { ...withCookies, storeTimeout: '30ms' }
    })
    const { cookie } = await logInWithCookies(test)
    breakable.break(fault)
    const requests = [
      ['POST', '/auth/login'],
      ['POST', '/auth/refresh'],
      ['POST', '/auth/logout'],
      ['POST', '/auth/logout/all'],
      ['GET', '/auth/sessions'],
      ['DELETE', '/auth/sessions/x']
    ] as const

    for (const [method, url] of requests) {
      const payload = url === '/auth/login' ? { payload: credentials } : {}
      const { statusCode, headers } = await test.app.inject({
        method,
        url,
        headers: { ...asCookie, cookie },
        ...payload
      })
      t.equal(statusCode, 503, url)
      t.match(headers, {
        'retry-after': /^\d+$/,
        'set-cookie': undefined,
        'clear-site-data': undefined
      }, url)
    }

    breakable.break(null)
    t.equal((await test.post('/auth/refresh', undefined, { ...own, cookie })).statusCode, 200)
  })
}

t.test('a failed callback after a correct password opens no session [17]', async t => {
  for (const callback of ['claims', 'present'] as const) {
    const test = await open(t, {
      options: {
        ...withCookies,
        users: {
          findByLogin: async () => test.users.get('u-ann'),
          findById: async id => test.users.get(id),
          [callback]: async () => {
            throw new Error('the directory is down')
          }
        }
      }
    })

    for (const headers of [{}, asCookie]) {
      const response = await test.post('/auth/login', credentials, headers)
      t.strictSame(
        [response.statusCode, response.headers['set-cookie']],
        [503, undefined],
        callback
      )
      t.notMatch(response.body, 'directory')
    }

    t.equal((await test.app.tokenAuth.listSessions('u-ann')).length, 0)
  }
})

t.test('a logout from another site without its cookie revokes nothing [25]', async t => {
  for (const transport of ['cookie', 'both'] as const) {
    const test = await open(t, {
      options: { refreshToken: { transport }, cookie: { accessToken: true, clearSiteData: true } }
    })
    const { cookie } = await logInWithCookies(test)
    const [session] = await test.app.tokenAuth.listSessions('u-ann')
    const form = 'application/x-www-form-urlencoded'

    for (
      const payload of [
        '',
        'refresh_token=',
        `refresh_token=${session?.id}`,
        'refresh_token=a.b.c',
        `sid=${session?.id}`,
        'username=ann'
      ]
    ) {
      for (
        const headers of [foreign, { ...foreign, 'sec-fetch-site': 'same-site' }, {
          origin: 'null'
        }, {}]
      ) {
        const response = await test.post('/auth/logout', payload as unknown as object, {
          ...headers,
          'content-type': form
        })
        const { 'set-cookie': set, 'clear-site-data': clear } = response.headers
        t.strictSame(
          [set, clear],
          [undefined, undefined],
          `${transport} ${payload} ${response.statusCode}`
        )
      }
    }

    for (const forged of [session?.id, `${session?.id}.${session?.id}.x`]) {
      await test.post('/auth/logout', undefined, { ...own, cookie: `${REFRESH}=${forged}` })
    }

    t.equal((await test.post('/auth/refresh', undefined, { ...own, cookie })).statusCode, 200)
  }
})

t.test('only logout sends Clear-Site-Data, if the option is set [26]', async t => {
  for (const clearSiteData of [false, true]) {
    const cleared =
      (await collectResponses(t, { options: { cookie: { accessToken: true, clearSiteData } } }))
        .filter(([, { headers }]) => headers['clear-site-data'] !== undefined)
    t.strictSame(
      cleared.map(([about]) => about),
      clearSiteData ? ['a logout: 204', 'a logout of all: 204'] : []
    )

    for (const [, { headers }] of cleared) {
      t.equal(headers['clear-site-data'], '"cache", "cookies", "storage"')
    }
  }
})

t.test('a revocation by the app is effective immediately for every transport [27]', async t => {
  const test = await open(t, {
    options: { ...withCookies, accessToken: { lifetime: '10m', renewWithin: '5m' } }
  })
  const { tokenAuth } = test.app
  const one = await test.login()
  const { cookie } = await logInWithCookies(test)
  const bob = await test.login('bob')
  const { sessionId } = (await test.get('/protected', one.access_token)).json()
  t.equal(await tokenAuth.revokeSession(sessionId), true)
  t.equal(await tokenAuth.revokeSession(sessionId), false, 'the session was already revoked')
  t.equal((await test.get('/protected', one.access_token)).json().code, 'AUTH_SESSION_REVOKED')
  t.equal((await test.refresh(one.refresh_token)).json().code, 'AUTH_REFRESH_REVOKED')
  t.equal(
    (await test.app.inject({ url: '/protected', headers: { cookie } })).statusCode,
    200,
    'the other lives'
  )

  test.clock.advance(7 * MINUTE)
  const ann = test.users.get('u-ann')

  if (ann) {
    ann.disabled = true
  }

  t.equal(await tokenAuth.revokeUser('u-ann'), 1)
  const response = await test.app.inject({ url: '/protected', headers: { cookie } })
  t.strictSame([response.json().code, response.headers['set-cookie']], [
    'AUTH_SESSION_REVOKED',
    undefined
  ])
  t.equal(
    (await test.post('/auth/refresh', undefined, { ...own, cookie })).json().code,
    'AUTH_REFRESH_REVOKED'
  )
  t.equal((await test.post('/auth/login', credentials)).json().code, 'AUTH_CREDENTIALS_REJECTED')
  t.equal((await test.get('/protected', bob.access_token)).statusCode, 200)
})
