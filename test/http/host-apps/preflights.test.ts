import cors from '@fastify/cors'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { authenticate, tokenAuth } from '../../../src/index.js'
import { getOptions, loginAt, startEmpty } from './host-app.js'

const ORIGIN = 'https://page.example.org'

async function registerCors (app: FastifyInstance): Promise<void> {
  await app.register(cors, { origin: [ORIGIN], methods: ['GET', 'POST', 'DELETE'] })
}

function addRoutes (app: FastifyInstance): void {
  app.get('/orders', () => 'orders')
  app.all('/any', () => 'any')
}

const sendPreflight = (app: FastifyInstance, url: string): Promise<LightMyRequestResponse> =>
  app.inject({
    method: 'OPTIONS',
    url,
    headers: {
      origin: ORIGIN,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization'
    }
  })
const urls = ['/orders', '/any', '/auth/me', '/auth/login', '/unknown']

t.test('@fastify/cors before a global hook answers preflights', async t => {
  const app = startEmpty(t)
  await registerCors(app)
  await app.register(tokenAuth, getOptions())
  app.addHook('onRequest', authenticate)
  addRoutes(app)

  for (const url of urls) {
    const response = await sendPreflight(app, url)
    t.equal(response.statusCode, 204, url)
    t.equal(response.headers['access-control-allow-origin'], ORIGIN, url)
  }

  const rejected = await app.inject({ url: '/orders', headers: { origin: ORIGIN } })
  t.equal(rejected.statusCode, 401)
  t.equal(rejected.headers['access-control-allow-origin'], ORIGIN, 'the page can read the 401')
  const { access_token: token } = await loginAt(app, '/auth')
  const headers = { origin: ORIGIN, authorization: `Bearer ${token}` }
  t.equal((await app.inject({ url: '/orders', headers })).body, 'orders')
})

t.test('@fastify/cors after a global hook: preflights are rejected with the fix', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, getOptions())
  app.addHook('onRequest', app.authenticate)
  await registerCors(app)
  addRoutes(app)

  for (const url of urls.filter(url => !url.startsWith('/auth/'))) {
    const response = await sendPreflight(app, url)
    t.match(response.json(), {
      statusCode: 401,
      code: 'AUTH_ACCESS_MISSING',
      message: 'Access token is missing: a preflight has no token; register @fastify/cors before ' +
        'the hook that authenticates'
    }, url)
  }

  const rejected = await app.inject({ url: '/orders', headers: { origin: ORIGIN } })
  t.equal(rejected.json().message, 'Access token is missing')
  t.equal(
    rejected.headers['access-control-allow-origin'],
    undefined,
    'answering preflights would not suffice: the page cannot read this 401'
  )
})

t.test('the headers of a preflight open no handler of the app', async t => {
  const app = startEmpty(t)
  await app.register(tokenAuth, getOptions())
  app.addHook('onRequest', authenticate)
  addRoutes(app)
  app.options('/own', () => 'own')

  for (const url of ['/any', '/own', '/unknown']) {
    t.equal((await sendPreflight(app, url)).statusCode, 401, url)
  }
})
