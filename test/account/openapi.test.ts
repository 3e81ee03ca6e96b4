import swagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { createAccountApp } from './account-app.js'

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly tags: string[]
  readonly security: object[]
  readonly requestBody?: { readonly content: Readonly<Record<string, object>> }
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}

t.test('every route of accountFlows is in the OpenAPI document with its errors', async t => {
  const { app } = await createAccountApp(t, {
    before: app => app.register(swagger, { openapi: {} })
  })
  const { paths = {} } = app.swagger() as unknown as {
    paths?: Readonly<Record<string, { readonly post?: Operation }>>
  }
  const read = (path: string): Operation => paths[`/auth/${path}`]?.post as Operation
  const codes = (path: string): string[] =>
    Object.values(read(path).responses)
      .flatMap(({ description }) => description.match(/AUTH_\w+/g) ?? [])
      .map(code => code.replace('AUTH_', ''))
  const oneTime = ['ONE_TIME_INVALID', 'ONE_TIME_EXPIRED', 'ONE_TIME_USED']
  const message = ['REQUEST_INVALID', 'TOO_MANY_ATTEMPTS', 'STORE_UNAVAILABLE']
  t.same(codes('password/forgot'), message)
  t.same(codes('sign-in/link'), message)
  t.same(codes('sign-in/code'), message)
  t.same(codes('email/verify'), ['REQUEST_INVALID', ...oneTime, 'STORE_UNAVAILABLE'])
  t.same(
    codes('password/reset').sort(),
    [
      'BUSY',
      ...oneTime,
      'PASSWORD_REJECTED',
      'REQUEST_INVALID',
      'STORE_UNAVAILABLE',
      'TOO_MANY_ATTEMPTS'
    ].sort()
  )
  t.ok(codes('password/change').includes('CREDENTIALS_REJECTED'))
  t.ok(codes('sign-in/redeem').includes('ORIGIN_REJECTED'))
  t.match(read('sign-in/redeem'), {
    operationId: 'authRedeemSignIn',
    summary: 'Log in with a link or a code',
    tags: ['auth'],
    security: [],
    requestBody: { content: { 'application/json': {}, 'application/x-www-form-urlencoded': {} } }
  })
  t.match(read('email/verification').security, [{ bearerAuth: [] }])
})

const info = { title: 'An app', version: '1.0.0' }
const formats: Readonly<Record<string, FastifyDynamicSwaggerOptions>> = {
  'Swagger 2.0': { swagger: { info } },
  'OpenAPI 3.0': { openapi: { openapi: '3.0.3', info } },
  'OpenAPI 3.1': { openapi: { openapi: '3.1.0', info } }
}

for (const [format, options] of Object.entries(formats)) {
  t.test(`the document with accountFlows is valid as ${format}`, async t => {
    const { app } = await createAccountApp(t, {
      before: app => app.register(swagger, options)
    })
    const document = JSON.parse(JSON.stringify(app.swagger()))
    const { valid, errors } = await new Validator().validate(document)
    t.same([valid, errors], [true, undefined])
  })
}
