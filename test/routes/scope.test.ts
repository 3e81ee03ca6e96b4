// The schemas are constants: they are held against the schema of schemas here, so that no app has to when it starts; and what is
// made of them is made by the first request that needs it, once.

import { createRequire } from 'node:module'
import { Ajv } from 'ajv'
import t from 'tap'
import * as schemas from '../../src/routes/schemas.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'

const require = createRequire(import.meta.url)

t.test('each schema is sound, and says nothing that would be passed over', async t => {
  const { taken, ...others } = schemas
  for (const [name, schema] of Object.entries(others)) {
    const ajv = new Ajv({ allowUnionTypes: true, strict: true })
    t.ok(ajv.validateSchema(schema), `${name}: ${ajv.errorsText(ajv.errors)}`)
    t.doesNotThrow(() => ajv.compile(schema), name)
  }
  t.notOk(new Ajv({ logger: false }).validateSchema({ type: 'text' }), 'the yardstick refuses what is none')
})

t.test('a start compiles nothing; a route what it needs, when it does, once', async t => {
  const counts = { validators: 0, serializers: 0 }
  const { compile } = Ajv.prototype
  Ajv.prototype.compile = function (this: Ajv, ...args: Parameters<typeof compile>) {
    counts.validators++
    return compile.apply(this, args)
  } as typeof compile
  const serializers = require('fast-json-stringify') as { default: (schema: object) => unknown }
  const build = serializers.default
  serializers.default = schema => {
    counts.serializers++
    return build(schema)
  }
  t.teardown(() => {
    Ajv.prototype.compile = compile
    serializers.default = build
  })

  const { app, post, login, get } = await createTestApp()
  t.teardown(() => app.close())
  t.strictSame(counts, { validators: 0, serializers: 0 }, 'the start')
  await post('/auth/login', { username: 'ann', password: 'a wrong one' })
  t.strictSame(counts, { validators: 1, serializers: 0 }, 'a login that is refused')
  for (let i = 0; i < 2; i++) await login()
  t.strictSame(counts, { validators: 1, serializers: 1 }, 'logins')
  const { access_token: token } = await login('bob')
  for (let i = 0; i < 2; i++) t.equal((await get('/auth/sessions', token)).statusCode, 200)
  t.strictSame(counts, { validators: 1, serializers: 2 }, 'lists')
  t.equal((await post('/auth/logout')).statusCode, 401, 'without a body')
  t.strictSame(counts, { validators: 2, serializers: 2 }, 'a logout')

  const other = await createTestApp()
  t.teardown(() => other.app.close())
  await other.login()
  t.strictSame(counts, { validators: 3, serializers: 3 }, 'another app has its own')
})

t.test('an answer of a hook of the app\'s is cut to the schema, as ours are', async t => {
  const { app, post } = await createTestApp({
    before: app => {
      app.addHook('onRequest', async (request, reply) => {
        if (request.url === '/auth/login') return reply.send({ token_type: 'Bearer', expires_in: 1, user: { id: 'u' }, more: 'than that' })
      })
    }
  })
  t.teardown(() => app.close())
  for (let i = 0; i < 2; i++) {
    const response = await post('/auth/login', { username: 'ann', password: PASSWORD })
    t.strictSame(response.json(), { token_type: 'Bearer', expires_in: 1, user: { id: 'u' } })
  }
})
