import { generateKeyPairSync } from 'node:crypto'
import swagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import Fastify from 'fastify'
import type { FastifyInstance, FastifySchema } from 'fastify'
import t from 'tap'
import { tokenAuth } from '../../../src/index.js'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'
import { getOptions, startEmpty } from './host-app.js'

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly tags?: string[]
  readonly security?: Array<Record<string, string[]>>
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> }
  readonly responses: Record<
    string,
    {
      readonly description: string
      readonly headers?: object
      readonly content?: Record<string, { readonly schema: Schema }>
    }
  >
}

interface Schema {
  readonly required?: string[]
  readonly properties: Record<string, object>
}

interface Document {
  readonly operations: Record<string, Operation>
  readonly schemes: Record<string, object>
}

const everything: Partial<TokenAuthOptions> = {
  keys: [generateKeyPairSync('ed25519').privateKey],
  issuer: 'https://auth.example.org',
  audience: 'api',
  oauth: {
    clients: [{ clientId: 'phone' }, {
      clientId: 'orders',
      clientSecret: 'Zp3Tn8Wq5Kv1Ls6Yc0Rm4Hb9Jd2Gx7Fa',
      sync: true
    }]
  },
  dpop: true,
  throttle: {},
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true }
}

function readDocument (app: FastifyInstance): Document {
  const { paths = {}, components } = app.swagger() as unknown as {
    paths?: Record<string, Record<string, Operation>>
    components: { securitySchemes?: Record<string, object> }
  }
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation])
  )

  return {
    operations: Object.fromEntries(operations),
    schemes: components.securitySchemes ?? {}
  }
}

async function getDocument (
  options: Partial<TokenAuthOptions> = {},
  given: FastifyDynamicSwaggerOptions = {}
): Promise<Document> {
  const { app } = await createTestApp({
    before: async app => {
      await app.register(swagger, { openapi: {}, ...given })
    },
    options
  })
  t.teardown(() => app.close())
  return readDocument(app)
}

t.test('every operation has a tag, a summary and an id of its own', async t => {
  const { operations } = await getDocument(everything)
  const { 'get /protected': own, ...ours } = operations
  t.equal(own?.summary, undefined)
  t.equal(Object.keys(ours).length, 15)

  for (const [name, { tags, summary }] of Object.entries(ours)) {
    t.strictSame(tags, ['auth'], name)
    t.match(summary, /^[A-Z]/, name)
  }

  const ids = Object.values(ours).map(({ operationId }) => operationId)
  t.equal(new Set(ids).size, 15)
  t.match(ours['post /auth/login'], { operationId: 'authLogin', summary: 'Log in with a password' })
})

t.test('security names schemes that the document defines', async t => {
  const { operations, schemes } = await getDocument(everything)
  t.strictSame(operations['get /auth/me']?.security, [
    { bearerAuth: [] },
    { dpopAuth: [] },
    { cookieAuth: [] }
  ])
  t.strictSame(operations['post /auth/login']?.security, [])
  t.strictSame(operations['post /auth/token']?.security, [{ clientAuth: [] }, {}])
  t.strictSame(schemes, {
    bearerAuth: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
    dpopAuth: { type: 'http', scheme: 'DPoP' },
    cookieAuth: { type: 'apiKey', in: 'cookie', name: '__Host-auth-access' },
    clientAuth: { type: 'http', scheme: 'basic' }
  })
  t.strictSame(Object.keys((await getDocument()).schemes), ['bearerAuth'])
})

t.test('a scheme that the app defines stays', async t => {
  const own = { type: 'http', scheme: 'bearer', description: 'mine' } as const
  const securitySchemes = Object.freeze({ bearer: own })
  const { operations, schemes } = await getDocument(
    { openapi: { securityScheme: 'bearer' } },
    { openapi: { components: { securitySchemes } } }
  )
  t.strictSame(operations['get /auth/me']?.security, [{ bearer: [] }])
  t.strictSame(schemes, { bearer: own })
})

t.test('every operation documents its errors', async t => {
  const { operations } = await getDocument(everything)
  const { responses } = operations['post /auth/login'] as Operation
  t.strictSame(Object.keys(responses), ['200', '400', '401', '403', '429', '503'])
  t.match(responses['401'], {
    description: /`AUTH_CREDENTIALS_REJECTED`: User name or password is incorrect\. .+`AUTH_DPOP/,
    headers: { 'www-authenticate': {}, 'x-auth-error': {} },
    content: {
      'application/json': {
        schema: { properties: { statusCode: {}, code: {}, error: {}, message: {} } }
      }
    }
  })
  t.match(responses['429'], { headers: { 'retry-after': { schema: { type: 'integer' } } } })
  t.match(operations['post /auth/token'], {
    responses: {
      400: {
        content: { 'application/json': { schema: { properties: { error_description: {} } } } }
      }
    }
  })
  const { 'get /protected': _own, ...ours } = operations

  for (const [name, { responses, security }] of Object.entries(ours)) {
    const isPublicData = name.startsWith('get /.well-known')
    t.equal(responses['503'] === undefined, isPublicData, name)
    t.notOk(Object.values(responses).some(({ description }) => description.startsWith('Default')))
    t.equal(security?.length === 0 || responses['401'] !== undefined, true, name)
  }
})

t.test('the document has no errors of features that are off', async t => {
  const { operations } = await getDocument({ refreshToken: { transport: 'body' } })
  const text = JSON.stringify(operations)

  for (const part of ['DPOP', 'ORIGIN', 'CLIENT', 'CLAIMS', 'TOO_MANY', 'X-Token-Transport']) {
    t.notMatch(text, new RegExp(part), part)
  }

  const cookies = await getDocument({ refreshToken: { transport: 'cookie' } })
  t.match(cookies.operations['post /auth/login']?.responses['403']?.description, /ORIGIN/)
  t.match(cookies.operations['post /auth/login']?.description, /HttpOnly cookie/)
  t.equal(cookies.operations['delete /auth/sessions']?.responses['403'], undefined)
})

t.test('bodies of OAuth clients are in the document, and are not checked by schemas', async t => {
  const { operations } = await getDocument(everything)
  const { requestBody } = operations['post /auth/token'] as Operation
  t.strictSame(Object.keys(requestBody?.content ?? {}), ['application/x-www-form-urlencoded'])
  t.match(requestBody?.content['application/x-www-form-urlencoded']?.schema, {
    required: ['grant_type', 'refresh_token']
  })
  const getLoginMembers = ({ operations }: Document): string[] =>
    Object.keys(
      operations['post /auth/login']?.requestBody?.content['application/json']?.schema
        .properties ?? {}
    )
  t.ok(getLoginMembers({ operations, schemes: {} }).includes('client_id'))
  t.notOk(getLoginMembers(await getDocument()).includes('client_id'))

  const { app } = await createTestApp({ options: everything })
  t.teardown(() => app.close())
  const response = await app.inject({ method: 'POST', url: '/auth/token' })
  t.strictSame(response.json(), {
    error: 'invalid_request',
    error_description: 'Request is malformed'
  })
})

t.test('openapi.hide hides the routes of the plugin only', async t => {
  const { operations, schemes } = await getDocument({ ...everything, openapi: { hide: true } })
  t.strictSame(Object.keys(operations), ['get /protected'])
  t.strictSame(schemes, {})
})

t.test('openapi.tags replaces the tag', async t => {
  const { operations } = await getDocument({ openapi: { tags: ['Sign-in', 'v1'] } })
  t.strictSame(operations['post /auth/login']?.tags, ['Sign-in', 'v1'])
  t.strictSame(
    Object.keys((await getDocument({ openapi: { tags: [] } }, { hideUntagged: true })).operations),
    [],
    'no tag at all, for hideUntagged'
  )
})

t.test('two registrations have tags, ids and schemes of their own', async t => {
  const app = startEmpty(t)
  await app.register(swagger, { openapi: {} })
  await app.register(async scope => {
    await scope.register(tokenAuth, getOptions())
  })
  await app.register(async scope => {
    await scope.register(tokenAuth, getOptions({ name: 'staff', prefix: '/staff' }))
  })
  await app.ready()
  const { operations, schemes } = readDocument(app)
  const ids = Object.values(operations).map(({ operationId }) => operationId)
  t.equal(new Set(ids).size, ids.length)
  t.match(operations['get /staff/me'], {
    tags: ['staff'],
    operationId: 'staffGetUser',
    security: [{ 'staff-bearerAuth': [] }]
  })
  t.strictSame(Object.keys(schemes).sort(), ['bearerAuth', 'staff-bearerAuth'])
})

t.test('an onRoute hook that removes the schema does not break the document', async t => {
  const app = startEmpty(t)
  await app.register(swagger, { openapi: {} })
  app.addHook('onRoute', route => {
    delete route.schema
  })
  await app.register(tokenAuth, getOptions())
  await app.ready()
  t.match(readDocument(app).operations['get /auth/me'], { security: [{ bearerAuth: [] }] })
})

t.test('Swagger 2.0 has security definitions', async t => {
  const app = startEmpty(t)
  await app.register(swagger, { swagger: {} })
  await app.register(tokenAuth, getOptions())
  await app.ready()
  t.match(app.swagger(), {
    securityDefinitions: { bearerAuth: { type: 'apiKey', in: 'header', name: 'authorization' } },
    paths: { '/auth/me': { get: { security: [{ bearerAuth: [] }], responses: { 401: {} } } } }
  })
})

t.test('the strict mode of Ajv accepts every schema', async t => {
  const schemas: FastifySchema[] = []
  const { app } = await createTestApp({
    before: app => {
      app.addHook('onRoute', ({ schema }) => {
        schemas.push(schema ?? {})
      })
    },
    options: everything
  })
  t.teardown(() => app.close())
  t.ok(schemas.length > 8)
  const strict = Fastify({ ajv: { customOptions: { strict: true } } })
  t.teardown(() => strict.close())
  schemas.forEach(({ body, response }, i) => {
    strict.post(`/${i}`, { schema: { ...(body !== undefined && { body }) } }, () => null)
    Object.values(response ?? {}).forEach((schema, j) => {
      strict.post(`/${i}/${j}`, { schema: { body: schema } }, () => null)
    })
  })
  await t.resolves(Promise.resolve(strict.ready()))
})

t.test('invalid options of openapi throw', async t => {
  const invalid: Array<[options: object, message: RegExp]> = [
    [{ hide: 'yes' }, /"openapi\.hide" must be true or false, not "yes"/],
    [{ tags: 'auth' }, /"openapi\.tags" must be an array of non-empty strings/],
    [{ securityScheme: 'my scheme' }, /"openapi\.securityScheme" must consist of letters/],
    [{ tag: 'auth' }, /unknown option "openapi\.tag"; valid options: hide, tags, securityScheme/]
  ]

  for (const [openapi, message] of invalid) {
    const app = startEmpty(t)
    await t.rejects(
      Promise.resolve(app.register(tokenAuth, getOptions({ openapi: openapi as object }))),
      { name: 'TypeError', message }
    )
  }
})
