import cors from '@fastify/cors'
import t from 'tap'
import { exposedHeaders } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import { asCookie, credentials, magic, open } from './browser.js'

const HEADER = 'x-token-transport'

for (const transport of ['cookie', 'both'] as const) {
  t.test(`transport "${transport}" names the cookie in a header of the response`, async t => {
    const browser = await open(t, { refreshToken: { transport } }, magic)
    const login = await browser.send('POST', '/auth/login', credentials, asCookie)
    t.equal(login.headers[HEADER], 'cookie')
    t.equal(login.headers['access-control-expose-headers'], HEADER)
    browser.test.clock.advance(60_000)
    t.equal((await browser.refresh()).headers[HEADER], 'cookie')
    const opened = await browser.send('POST', '/magic', {}, asCookie)
    t.equal(opened.headers[HEADER], 'cookie', 'openSession')
  })
}

t.test('a response without a refresh cookie has no such header', async t => {
  const { test } = await open(t, { refreshToken: { transport: 'both' } }, magic)
  const login = await test.post('/auth/login', credentials)
  const { refresh_token: token } = login.json()
  const responses = [
    login,
    await test.post('/auth/refresh', { refresh_token: token }),
    await test.post('/magic', { reply: false }),
    await test.post('/auth/login', { ...credentials, password: 'wrong' }),
    await test.post('/auth/logout', { refresh_token: token })
  ]

  for (const { headers } of responses) {
    t.equal(headers[HEADER], undefined)
  }
})

t.test('a refresh that changes no cookie has no such header', async t => {
  const browser = await open(t, { rotation: false })
  t.equal((await browser.logIn()).headers[HEADER], 'cookie')
  t.equal((await browser.refresh()).headers[HEADER], undefined)
})

t.test('the header joins those that @fastify/cors exposes', async t => {
  const origin = 'https://app.example.org'

  for (const names of [['ETag'], exposedHeaders]) {
    const { test } = await open(t, { cookie: { origins: [origin] } }, {
      before: app => app.register(cors, { origin, credentials: true, exposedHeaders: names })
    })
    const { headers } = await test.post('/auth/login', credentials, { origin })
    const exposed = String(headers['access-control-expose-headers']).toLowerCase().split(', ')
    t.equal(exposed.filter(name => name === HEADER).length, 1)
    t.ok(exposed.includes(String(names[0]).toLowerCase()))
  }
})

t.test('openSession works with a reply that can only set headers', async t => {
  const { test } = await open(t)
  const headers: Record<string, string> = {}
  const reply = {
    header (name: string, value: string) {
      headers[name] = value
    }
  }
  await test.app.tokenAuth.openSession('u-ann', { ip: '::1', headers: {} }, { reply })
  t.equal(headers[HEADER], 'cookie')
  t.notOk('access-control-expose-headers' in headers, 'would replace the list of the app')
})

t.test('a server without refresh tokens sends `X-Token-Transport: none`', async t => {
  const { app, post } = await createTestApp({ options: { refreshToken: false } })
  t.teardown(() => app.close())

  for (const headers of [asCookie, {}]) {
    const login = await post('/auth/login', credentials, headers)
    t.equal(login.headers[HEADER], 'none')
    t.equal(login.headers['access-control-expose-headers'], HEADER)
  }
})
