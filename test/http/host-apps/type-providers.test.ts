import { generateKeyPairSync } from 'node:crypto'
import swagger from '@fastify/swagger'
import { Type, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import {
  jsonSchemaTransform,
  jsonSchemaTransformObject,
  serializerCompiler,
  validatorCompiler
} from 'fastify-type-provider-zod'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import t from 'tap'
import { z } from 'zod'
import type { TokenAuthOptions } from '../../../src/index.js'
import { expectWorkingRoutes, orders, start } from './host-app.js'

const options: Partial<TokenAuthOptions> = {
  keys: [generateKeyPairSync('ed25519').privateKey],
  issuer: 'https://auth.example.org',
  audience: 'api',
  oauth: { clients: [{ clientId: 'phone' }] }
}

interface Provider {
  /** Registers @fastify/swagger and adds the compilers of the provider. */
  readonly prepare: (app: FastifyInstance) => Promise<void>
  /** Adds `POST /own`, which takes and returns `{ count: number }`. */
  readonly addRoute: (app: FastifyInstance) => void
}

const providers: Readonly<Record<string, Provider>> = {
  'fastify-type-provider-zod': {
    async prepare (app) {
      app.setValidatorCompiler(validatorCompiler)
      app.setSerializerCompiler(serializerCompiler)
      await app.register(swagger, {
        openapi: {},
        transform: jsonSchemaTransform,
        transformObject: jsonSchemaTransformObject
      })
    },
    addRoute (app) {
      const count = z.object({ count: z.number() })
      app.withTypeProvider<ZodTypeProvider>().post('/own', {
        schema: { body: count, response: { 200: count } }
      }, request => ({ count: request.body.count + 1 }))
    }
  },
  '@fastify/type-provider-typebox': {
    async prepare (app) {
      app.setValidatorCompiler(TypeBoxValidatorCompiler)
      await app.register(swagger, { openapi: {} })
    },
    addRoute (app) {
      const count = Type.Object({ count: Type.Number() })
      app.withTypeProvider<TypeBoxTypeProvider>().post('/own', {
        schema: { body: count, response: { 200: count } }
      }, request => ({ count: request.body.count + 1 }))
    }
  }
}

for (const [name, { prepare, addRoute }] of Object.entries(providers)) {
  for (const order of orders) {
    t.test(`an app with the compilers of ${name}, set ${order} the plugin`, async t => {
      const test = await start(t, {
        options,
        before: async app => {
          if (order === 'before') {
            await prepare(app)
          }
        },
        after: async app => {
          if (order === 'after') {
            await prepare(app)
          }

          addRoute(app)
        }
      })
      await expectWorkingRoutes(t, test)
      t.strictSame((await test.post('/own', { count: 1 })).json(), { count: 2 })
      t.equal((await test.post('/own', { count: 'one' })).statusCode, 400)
      t.match((await test.post('/auth/login', { username: 'ann' })).json(), {
        statusCode: 400,
        code: 'AUTH_REQUEST_INVALID',
        error: 'Bad Request',
        message: /password/
      })
      t.equal((await test.get('/.well-known/jwks.json')).json().keys.length, 1)
      t.match((await test.get('/.well-known/oauth-authorization-server/')).statusCode, 404)
      t.match((await test.get('/.well-known/oauth-authorization-server')).json(), { issuer: /h/ })
    })
  }

  t.test(`the document of an app with ${name} has its routes and those of the plugin`, async t => {
    const { app } = await start(t, { options, before: prepare, after: addRoute })
    const { paths } = app.swagger() as unknown as {
      paths: Record<string, Record<string, object>>
    }
    const count = { type: 'object', properties: { count: { type: 'number' } } }
    t.match(paths['/own']?.post, {
      requestBody: { content: { 'application/json': { schema: count } } },
      responses: { 200: { content: { 'application/json': { schema: count } } } }
    })
    t.match(paths['/auth/login']?.post, {
      tags: ['auth'],
      requestBody: { content: { 'application/json': { schema: { required: ['password'] } } } },
      responses: { 401: {} }
    })
    t.match(paths['/auth/token']?.post, { summary: /OAuth client/ })
    t.match(paths['/auth/me']?.get, { security: [{ bearerAuth: [] }] })
  })

  t.test(`openapi.hide works in an app with ${name}`, async t => {
    const { app } = await start(t, {
      options: { ...options, openapi: { hide: true } },
      before: prepare,
      after: addRoute
    })
    const { paths } = app.swagger() as unknown as { paths: Record<string, object> }
    t.strictSame(Object.keys(paths).filter(path => /auth|well-known/.test(path)), [])
    t.ok(paths['/own'])
  })
}
