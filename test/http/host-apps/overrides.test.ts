import type { FastifyError, FastifyInstance, LightMyRequestResponse, RouteOptions } from 'fastify'
import t from 'tap'
import { TokenAuthError } from '../../../src/index.js'
import { PASSWORD } from '../../helpers/app.js'
import { expectWorkingRoutes, orders, start } from './host-app.js'

for (const order of orders) {
  t.test(`a request.user decorator of the app ${order} the plugin is unchanged`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.decorateRequest('user', '')
        app.addHook('preHandler', async request => {
          request.user = 'mine'
        })
        app.get('/own', request => request.user)
      }
    })
    await expectWorkingRoutes(t, test)
    t.equal((await test.get('/own')).body, 'mine')
  })

  t.test(`a JSON parser ${order} the plugin applies to the app's routes only`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addContentTypeParser(
          'application/json',
          { parseAs: 'buffer' },
          (_request, body, done) => {
            done(null, body)
          }
        )
        app.post('/own', request => ({ isBuffer: Buffer.isBuffer(request.body) }))
      }
    })
    await expectWorkingRoutes(t, test)
    t.strictSame((await test.post('/own', { a: 1 })).json(), { isBuffer: true })
  })

  t.test(`a catch-all parser ${order} the plugin applies to the app's routes only`, async t => {
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
          done(null, body)
        })
        app.post('/own', request => ({ isBuffer: Buffer.isBuffer(request.body) }))
      }
    })
    await expectWorkingRoutes(t, test)
    const own = { 'content-type': 'application/x-own' }
    t.strictSame((await test.post('/own', Buffer.from('hello'), own)).json(), { isBuffer: true })
    const login = await test.post(
      '/auth/login',
      Buffer.from(JSON.stringify({ username: 'ann', password: PASSWORD })),
      own
    )
    t.equal(login.statusCode, 415)
  })

  t.test(`schema compilers ${order} the plugin never get a schema of the plugin`, async t => {
    interface OwnSchema {
      readonly takes: string
      readonly prints: string
    }

    const own = (schema: unknown): OwnSchema => {
      if (!Object.hasOwn(schema as object, 'takes')) {
        throw new Error('this is no schema of mine')
      }

      return schema as OwnSchema
    }

    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.setValidatorCompiler(({ schema }) => {
          const { takes } = own(schema)
          return value => value === takes ? { value } : { error: new Error('not taken') }
        })
        app.setSerializerCompiler(({ schema }) => {
          const { prints } = own(schema)
          return () => JSON.stringify(prints)
        })
        const schema = { takes: 'this', prints: 'that' }
        app.post('/own', { schema: { body: schema, response: { 200: schema } } }, () => ({}))
      }
    })
    await expectWorkingRoutes(t, test)
    const send = (word: string): Promise<LightMyRequestResponse> =>
      test.post('/own', Buffer.from(JSON.stringify(word)), { 'content-type': 'application/json' })
    t.equal((await send('this')).body, '"that"')
    t.equal((await send('else')).statusCode, 400)
    t.equal(
      (await test.post('/auth/login', { username: 'ann' })).json().code,
      'AUTH_REQUEST_INVALID'
    )
  })

  t.test(`hooks of the app ${order} the plugin run for all routes`, async t => {
    const ran: string[] = []
    const test = await start(t, {
      [order]: (app: FastifyInstance) => {
        app.addHook('preHandler', async request => {
          ran.push(`preHandler ${request.url}`)
        })
        app.addHook('preSerialization', async (request, _reply, payload) => {
          ran.push(`preSerialization ${request.url}`)
          return { ...payload as object }
        })
        app.addHook('onSend', async (request, reply, payload) => {
          ran.push(`onSend ${request.url}`)
          reply.header('x-own', 'yes')
          return payload
        })
        app.get('/own', () => ({ a: 1 }))
      }
    })
    await expectWorkingRoutes(t, test)
    t.ok(ran.includes('onSend /auth/login'), 'they run for the routes of the plugin too')
    ran.length = 0
    const response = await test.get('/own')
    t.strictSame(response.json(), { a: 1 })
    t.equal(response.headers['x-own'], 'yes')
    t.strictSame(ran, ['preHandler /own', 'preSerialization /own', 'onSend /own'])
  })
}

t.test('an error handler of the app receives TokenAuthError unchanged', async t => {
  const handled: unknown[] = []
  const test = await start(t, {
    fastify: { schemaErrorFormatter: () => new Error('in words of my own') },
    before: app => {
      app.setErrorHandler<FastifyError>((error, _request, reply) => {
        handled.push(error)
        return reply.code(error.statusCode ?? 500).send({ mine: error.code })
      })
      app.post('/own', { schema: { body: { type: 'object', required: ['a'] } } }, () => ({}))
    }
  })

  const lastHandled = (): TokenAuthError => {
    const error = handled.at(-1)

    if (!(error instanceof TokenAuthError)) {
      throw new Error('the handler got no TokenAuthError')
    }

    return error
  }

  const refusals = {
    AUTH_CREDENTIALS_REJECTED: () =>
      test.post('/auth/login', { username: 'ann', password: 'wrong' }),
    AUTH_REFRESH_INVALID: () => test.refresh('no token'),
    AUTH_REFRESH_MISSING: () => test.post('/auth/logout'),
    AUTH_ACCESS_MISSING: () => test.get('/protected'),
    AUTH_ACCESS_INVALID: () => test.get('/auth/me', 'no token')
  }

  for (const [code, send] of Object.entries(refusals)) {
    const response = await send()
    t.strictSame(response.json(), { mine: code })
    t.match(lastHandled(), { code, statusCode: 401 })
    t.match(response.headers['www-authenticate'], /^Bearer realm="auth"/)
  }

  const malformed = await test.post('/auth/login', { username: 'ann' })
  t.equal(malformed.statusCode, 400)
  t.match(lastHandled(), { code: 'AUTH_REQUEST_INVALID', statusCode: 400 })
  t.equal(malformed.headers['cache-control'], 'no-store')

  await test.post('/own', {})
  t.match(handled.at(-1), { message: 'in words of my own' })
})

t.test('a reply serializer of the app applies to the app\'s routes only', async t => {
  const test = await start(t, {
    before: app => {
      app.setReplySerializer(payload => JSON.stringify({ mine: payload }))
      app.get('/own', () => ({ a: 1 }))
    }
  })
  t.strictSame((await test.get('/own')).json(), { mine: { a: 1 } })
  const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD })
  t.match(login.json(), { token_type: 'bearer' })
})

t.test('a preSerialization hook of the app does not change responses of the plugin', async t => {
  const test = await start(t, {
    before: app => {
      app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
      app.get('/own', () => ({ a: 1 }))
    }
  })
  t.strictSame((await test.get('/own')).json(), { data: { a: 1 } })
  const login = await test.post('/auth/login', { username: 'ann', password: PASSWORD })
  t.equal(login.statusCode, 200)
  t.match(login.json(), { token_type: 'bearer' })
})

t.test('type coercion of the app does not apply to ["a"] as a password', async t => {
  const { post } = await start(t, {
    fastify: { ajv: { customOptions: { coerceTypes: 'array' } } },
    after: app => {
      app.post('/own', {
        schema: { body: { type: 'object', properties: { password: { type: 'string' } } } }
      }, request => request.body)
    }
  })
  t.strictSame(
    (await post('/own', { password: [PASSWORD] })).json(),
    { password: PASSWORD },
    'the app itself coerces'
  )
  const refused = await post('/auth/login', { username: 'ann', password: [PASSWORD] })
  t.equal(refused.statusCode, 400)
  t.equal(refused.json().code, 'AUTH_REQUEST_INVALID')
  t.equal((await post('/auth/login', { username: ['ann'], password: PASSWORD })).statusCode, 400)
  t.equal((await post('/auth/refresh', { refresh_token: ['x'] })).statusCode, 400)
})

t.test('__proto__ in a body is rejected even if the app ignores prototype poisoning', async t => {
  const { post } = await start(t, {
    fastify: { onProtoPoisoning: 'ignore' },
    after: app => {
      app.post('/own', () => 'let through')
    }
  })
  const poisoned = Buffer.from(
    `{ "username": "ann", "password": "${PASSWORD}", "__proto__": { "device": "x" } }`
  )
  const json = { 'content-type': 'application/json' }
  t.equal((await post('/own', poisoned, json)).body, 'let through')
  t.equal((await post('/auth/login', poisoned, json)).json().code, 'AUTH_REQUEST_INVALID')
})

const changesToRoutes: Record<string, (route: RouteOptions) => void> = {
  'sets attachValidation': route => {
    route.attachValidation = true
  },
  'removes the schema': route => {
    delete route.schema
  }
}

for (const [name, change] of Object.entries(changesToRoutes)) {
  t.test(`an onRoute hook that ${name} lets no malformed body through`, async t => {
    const logins: unknown[] = []
    const test = await start(t, {
      before: app => {
        app.addHook('onRoute', change)
      },
      options: {
        users: {
          findByLogin (login) {
            logins.push(login)
            return null
          },
          findById: () => null
        }
      }
    })
    const password = PASSWORD
    const bodies: Array<[path: string, body: object | undefined]> = [
      ['/auth/login', undefined],
      ['/auth/login', []],
      ['/auth/login', { username: 'ann' }],
      ['/auth/login', { username: 'ann', password: '' }],
      ['/auth/login', { username: 'ann', password: 5 }],
      ['/auth/login', { username: 'ann', password: [password] }],
      ['/auth/login', { username: { $ne: null }, password }],
      ['/auth/login', { email: ['ann'], password }],
      ['/auth/login', { username: 'ann', password, device: { a: 1 } }],
      ['/auth/login', { username: 'ann', password, device_token: [1] }],
      ['/auth/refresh', { refresh_token: { a: 1 } }],
      ['/auth/logout', { refresh_token: 5 }]
    ]

    for (const [path, body] of bodies) {
      const response = await test.post(path, body)
      const title = `${path} ${JSON.stringify(body)}`
      t.match(response.json(), { statusCode: 400, code: 'AUTH_REQUEST_INVALID' }, title)
    }

    t.strictSame(logins, [])
  })
}

t.test('an onRoute hook that sets attachValidation leaves the routes unchanged', async t => {
  const test = await start(t, {
    before: app => {
      app.addHook('onRoute', route => {
        route.attachValidation = true
      })
    }
  })
  await expectWorkingRoutes(t, test)
  const long = { username: 'x'.repeat(321), password: PASSWORD }
  t.equal((await test.post('/auth/login', long)).json().code, 'AUTH_REQUEST_INVALID')
})
