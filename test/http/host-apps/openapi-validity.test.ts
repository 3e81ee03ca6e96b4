import { generateKeyPairSync } from 'node:crypto'
import swagger from '@fastify/swagger'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { createTestApp } from '../../helpers/app.js'

const info = { title: 'An app', version: '1.0.0' }

const formats: Record<string, FastifyDynamicSwaggerOptions> = {
  'Swagger 2.0': { swagger: { info } },
  'OpenAPI 3.0': { openapi: { openapi: '3.0.3', info } },
  'OpenAPI 3.1': { openapi: { openapi: '3.1.0', info } }
}

const settings: Record<string, Partial<TokenAuthOptions>> = {
  defaults: {},
  everything: {
    keys: [generateKeyPairSync('ed25519').privateKey],
    issuer: 'https://auth.example.org',
    audience: 'api',
    oauth: { clients: [{ clientId: 'phone' }] },
    dpop: true,
    throttle: {},
    refreshToken: { transport: 'both' },
    cookie: { accessToken: true }
  },
  'cookies only': { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } }
}

t.test('every format declares the members that may be null', async t => {
  const expected: Record<string, object> = {
    'Swagger 2.0': { type: 'string', 'x-nullable': true },
    'OpenAPI 3.0': { type: 'string', nullable: true },
    'OpenAPI 3.1': { type: ['string', 'null'] }
  }

  for (const [format, options] of Object.entries(formats)) {
    const { app } = await createTestApp({
      before: async app => {
        await app.register(swagger, options)
      }
    })
    t.teardown(() => app.close())
    const document = JSON.stringify(app.swagger())
    const [, device = ''] = /"device":(\{.*?\})/.exec(document) ?? []
    t.match(JSON.parse(device), expected[format], format)
    t.equal(document.includes('"nullable"'), format === 'OpenAPI 3.0')
  }
})

for (const [format, options] of Object.entries(formats)) {
  for (const [name, given] of Object.entries(settings)) {
    t.test(`the document is valid as ${format} with ${name}`, async t => {
      const { app } = await createTestApp({
        before: async app => {
          await app.register(swagger, options)
        },
        options: given
      })
      t.teardown(() => app.close())
      const validator = new Validator()
      const { valid, errors } = await validator.validate({ ...app.swagger() })
      t.strictSame([valid, errors], [true, undefined])
      t.equal(validator.version, format.split(' ')[1])
    })
  }
}
