import { generateKeyPairSync } from 'node:crypto'
import swagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'

type Transform = NonNullable<FastifyDynamicSwaggerOptions['transform']>

interface Operation {
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> }
  readonly parameters?: object[]
  readonly responses: Record<
    string,
    { readonly content?: Record<string, { readonly schema: object }> }
  >
  readonly security?: object[]
}

type Operations = Record<string, Operation>

const signed: Partial<TokenAuthOptions> = {
  keys: [generateKeyPairSync('ed25519').privateKey],
  issuer: 'https://auth.example.org',
  audience: 'api'
}

/** Operations by `method path`. */
async function getDocument (
  options: Partial<TokenAuthOptions> = {},
  transform?: Transform
): Promise<Operations> {
  const before = async (app: FastifyInstance): Promise<void> => {
    await app.register(swagger, {
      openapi: { openapi: '3.1.0' },
      ...(transform && { transform })
    })
  }

  const { app } = await createTestApp({ before, options })
  t.teardown(() => app.close())
  const { paths } = app.swagger() as unknown as { paths: Record<string, Record<string, Operation>> }

  return Object.fromEntries(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation])
    )
  )
}

const getBody = ({ requestBody }: Operation): object | undefined =>
  requestBody?.content['application/json']?.schema
const getResponses = ({ responses }: Operation): object =>
  Object.fromEntries(
    Object.entries(responses)
      .filter(([status]) => status.startsWith('2'))
      .map(([status, { content }]) => [status, content?.['application/json']?.schema ?? null])
  )

const token = {
  type: 'object',
  properties: { access_token: {}, refresh_token: {}, token_type: {}, expires_in: {}, user: {} }
}
const refreshToken = { properties: { refresh_token: { type: ['string', 'null'] } } }
const session = {
  id: {},
  current: {},
  device: {},
  ip: {},
  user_agent: {},
  created_at: {},
  last_used_at: {},
  expires_at: {}
}
const routes: Readonly<Record<string, { readonly takes?: object, readonly gives: object }>> = {
  'post /auth/login': {
    takes: {
      required: ['password'],
      properties: { username: {}, email: {}, password: {}, device: {}, remember_me: {} }
    },
    gives: { 200: token }
  },
  'post /auth/refresh': { takes: refreshToken, gives: { 200: token } },
  'post /auth/elevate': {
    takes: { required: ['password'], properties: { password: {}, device_token: {} } },
    gives: { 200: token }
  },
  'post /auth/logout': { takes: refreshToken, gives: { 204: null } },
  'post /auth/logout/all': { takes: refreshToken, gives: { 204: null } },
  'get /auth/sessions': {
    gives: {
      200: {
        properties: { sessions: { type: 'array', items: { type: 'object', properties: session } } }
      }
    }
  },
  'delete /auth/sessions': { gives: { 204: null } },
  'delete /auth/sessions/{id}': { gives: { 204: null } },
  'get /auth/me': { gives: { 200: { type: 'object' } } }
}
const open = [
  'post /auth/login',
  'post /auth/refresh',
  'post /auth/logout',
  'get /.well-known/jwks.json'
]

t.test('the document has every route with its request and responses', async t => {
  const document = await getDocument()
  t.strictSame(
    Object.keys(document).sort(),
    [...Object.keys(routes), 'get /protected'].sort(),
    'these, and the app\'s own'
  )

  for (const [name, { takes, gives }] of Object.entries(routes)) {
    const operation = document[name] as Operation

    if (takes === undefined) {
      t.equal(operation.requestBody, undefined, `${name} takes no body`)
    } else {
      t.match(getBody(operation), takes, `${name}: its body`)
    }

    const form = operation.requestBody?.content['application/x-www-form-urlencoded']?.schema
    t.strictSame(form, getBody(operation), `${name}: as a form, too`)
    const answers = getResponses(operation)
    t.strictSame(Object.keys(answers), Object.keys(gives), `${name}: its statuses, refusals aside`)
    t.match(answers, gives, `${name}: its answer`)
  }

  t.match(document['delete /auth/sessions/{id}']?.parameters, [{
    in: 'path',
    name: 'id',
    required: true
  }])
})

t.test('the document follows renamed, disabled and added routes', async t => {
  const document = await getDocument({
    prefix: '/api/v1',
    routes: { login: '/token', me: false, otherSessions: false },
    ...signed
  })
  t.strictSame(Object.keys(document).sort(), [
    'delete /api/v1/sessions/{id}',
    'get /.well-known/jwks.json',
    'get /api/v1/sessions',
    'get /protected',
    'post /api/v1/elevate',
    'post /api/v1/logout',
    'post /api/v1/logout/all',
    'post /api/v1/refresh',
    'post /api/v1/token'
  ])
})

t.test('the document marks routes that require an access token', async t => {
  const document = await getDocument(signed)

  for (const [name, { security }] of Object.entries(document)) {
    const inBody = name === 'post /auth/logout/all' ? [{}] : []
    const expected = open.includes(name) ? [] : [{ bearerAuth: [] }, ...inBody]
    t.strictSame(security, name === 'get /protected' ? undefined : expected, name)
  }
})

t.test('a transform of the app gets its own routes only', async t => {
  const urls: string[] = []
  const document = await getDocument(signed, ({ schema, url }) => {
    urls.push(url)
    return { schema, url: `/v1${url}` }
  })
  t.strictSame(urls, ['/protected'])
  t.ok(document['get /v1/protected'])
  t.ok(document['post /auth/login'])
})

t.test('response schemas do not change responses', async t => {
  const { app, login, refresh } = await createTestApp({
    before: async app => {
      await app.register(swagger)
    }
  })
  t.teardown(() => app.close())
  t.equal((await refresh((await login()).refresh_token)).statusCode, 200)
  t.equal(
    (await app.inject({ method: 'POST', url: '/auth/refresh' })).statusCode,
    401,
    'also without a body'
  )
  t.equal(
    (await app.inject({
      method: 'POST',
      url: '/auth/login',
      payload: { username: 'ann', password: null }
    })).statusCode,
    400
  )
})
