import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { authenticate, tokenAuth } from '../../../src/index.js'
import { root } from '../../helpers/consumer.js'
import { getOptions, getStatus, loginAt, startEmpty } from './host-app.js'

const publicPaths = ['/', '/index.html', '/docs', '/docs/json', '/docs/static/swagger-ui.css']

async function addPublicPlugins (app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, { routePrefix: '/docs' })
  await app.register(fastifyStatic, { root: join(root, 'examples/layouts/scopes/public') })
}

async function addApi (app: FastifyInstance): Promise<void> {
  await app.register(async api => {
    api.addHook('onRequest', authenticate)
    api.get('/orders', request => request.auth?.userId)
  }, { prefix: '/api' })
}

for (const order of ['before', 'after'] as const) {
  t.test(`files and documentation, added ${order} a protected scope, stay public`, async t => {
    const app = startEmpty(t)
    await app.register(swagger, { openapi: {} })
    await app.register(tokenAuth, getOptions())

    if (order === 'before') {
      await addPublicPlugins(app)
      await addApi(app)
    } else {
      await addApi(app)
      await addPublicPlugins(app)
    }

    for (const path of publicPaths) {
      t.equal(await getStatus(app, path), 200, path)
    }

    t.equal(await getStatus(app, '/api/orders'), 401)
    const { access_token: token } = await loginAt(app, '/auth')
    t.equal(await getStatus(app, '/api/orders', token), 200)
  })
}

t.test('a hook of the whole app rejects files and documentation without a token', async t => {
  const app = startEmpty(t)
  await app.register(swagger, { openapi: {} })
  await app.register(tokenAuth, getOptions())
  app.addHook('onRequest', authenticate)
  await addPublicPlugins(app)

  for (const path of publicPaths) {
    t.equal(await getStatus(app, path), 401, path)
  }

  const { access_token: token } = await loginAt(app, '/auth')
  t.equal(await getStatus(app, '/docs', token), 200)
})
