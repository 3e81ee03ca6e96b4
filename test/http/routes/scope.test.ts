import { Ajv } from 'ajv'
import t from 'tap'
import * as schemas from '../../../src/http/schemas.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'

t.test('every schema is valid in strict mode', async t => {
  const { acceptedContent: taken, ...others } = schemas

  for (const [name, schema] of Object.entries(others)) {
    const ajv = new Ajv({ strict: true, formats: { 'date-time': true } })
    t.ok(ajv.validateSchema(schema), `${name}: ${ajv.errorsText(ajv.errors)}`)
    t.doesNotThrow(() => ajv.compile(schema), name)
  }

  t.notOk(
    new Ajv({ logger: false }).validateSchema({ type: 'text' }),
    'the yardstick refuses what is none'
  )
})

t.test('responses match their schemas exactly', async t => {
  const { app, post, login, get } = await createTestApp()
  t.teardown(() => app.close())
  const strict = (schema: { readonly properties: object }): object => ({
    ...schema,
    additionalProperties: false
  })
  const { sessions } = schemas.sessionListResponse.properties
  const list = strict({
    ...schemas.sessionListResponse,
    properties: { sessions: { ...sessions, items: strict(sessions.items) } }
  })
  const tokens = await login()
  const refreshed = await post('/auth/refresh', { refresh_token: tokens.refresh_token })
  const listed = await get('/auth/sessions', tokens.access_token)
  const answers: Array<[string, object, unknown]> = [
    ['login', strict(schemas.tokenResponse), tokens],
    ['refresh', strict(schemas.tokenResponse), refreshed.json()],
    ['sessions', list, listed.json()]
  ]

  for (const [name, schema, answer] of answers) {
    const ajv = new Ajv({ formats: { 'date-time': true } })
    t.ok(ajv.validate(schema, answer), `${name}: ${ajv.errorsText(ajv.errors)}`)
    t.notOk(
      ajv.validate(schema, { ...answer as object, more: 1 }),
      `${name}: the yardstick refuses what is more`
    )
  }
})

t.test('each route compiles its schema once, at its first request', async t => {
  let validators = 0
  const { compile } = Ajv.prototype
  Ajv.prototype.compile = function (this: Ajv, ...args: Parameters<typeof compile>) {
    validators++
    return compile.apply(this, args)
  } as typeof compile
  t.teardown(() => {
    Ajv.prototype.compile = compile
  })

  const { app, post, login } = await createTestApp()
  t.teardown(() => app.close())
  t.equal(validators, 0, 'the start')

  for (let i = 0; i < 2; i++) {
    await login()
  }

  t.equal(validators, 1, 'logins')
  t.equal((await post('/auth/logout')).statusCode, 401, 'without a body')
  t.equal(validators, 2, 'a logout')

  const other = await createTestApp()
  t.teardown(() => other.app.close())
  await other.login()
  t.equal(validators, 3, 'another app has its own')
})

t.test('a response of a hook of the app is sent unchanged', async t => {
  const answer = { token_type: 'Bearer', expires_in: 1, user: { id: 'u' }, more: 'than that' }
  const { app, post } = await createTestApp({
    before: app => {
      app.setSerializerCompiler(() => () => 'by the app')
      app.addHook('onRequest', async (request, reply) => {
        if (request.url === '/auth/login') {
          return reply.send(answer)
        }
      })
    }
  })
  t.teardown(() => app.close())
  const response = await post('/auth/login', { username: 'ann', password: PASSWORD })
  t.strictSame(response.json(), answer)
})
