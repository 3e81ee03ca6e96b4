import { PassThrough } from 'node:stream'
import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

const renewing = {
  accessToken: { lifetime: '15m', renewWithin: '5m' },
  revocations: false
} as const

interface Subject extends TestApp {
  /** Number of calls of the store and the user callbacks. */
  readonly asked: { find: number, findById: number, others: string[] }
}

export async function open (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<Subject> {
  const asked = { find: 0, findById: 0, others: [] as string[] }
  const store = new Proxy<TokenStore>(given.store ?? new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      if (verb === 'find') {
        asked.find++
      } else {
        asked.others.push(verb)
      }

      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test: TestApp = await createTestApp({
    ...given,
    store,
    options: {
      ...renewing,
      users: {
        findByLogin: login => [...test.users.values()].find(user => user.username === login),
        findById: id => {
          asked.findById++
          return test.users.get(id)
        },
        claims: user => ({ role: test.users.get(String(user.id))?.role })
      },
      ...options
    }
  })
  t.teardown(() => test.app.close())
  return { ...test, asked }
}

export function getNewToken ({ headers }: LightMyRequestResponse): string | undefined {
  return headers['x-new-token'] as string | undefined
}

export function decodeClaims (token: string | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString() || '{}')
}

/** Asserts that a response has no trace of a renewal. */
export function assertNotRenewed (
  t: Test,
  response: LightMyRequestResponse,
  statusCode = 200,
  about = ''
): void {
  const {
    'x-new-token': token,
    'cache-control': caching,
    'access-control-expose-headers': exposed
  } = response.headers
  t.strictSame([response.statusCode, token, caching, exposed], [
    statusCode,
    undefined,
    undefined,
    undefined
  ], about)
  t.equal(response.headers['set-cookie'], undefined)
}

export const endings: TestAppOptions = {
  after: app => {
    const guarded = { onRequest: app.authenticate }
    app.get(
      '/cached',
      guarded,
      (_request, reply) => reply.header('cache-control', 'public, max-age=60').send('x')
    )
    app.get('/stream', guarded, (_request, reply) => {
      const stream = new PassThrough()
      stream.end('streamed')
      return reply.send(stream)
    })
    app.get('/fails', guarded, () => {
      throw new Error('failed')
    })
    app.get('/rejects', guarded, async () => {
      throw Object.assign(new Error('teapot'), { statusCode: 418 })
    })
    app.get('/absent', guarded, (_request, reply) => reply.callNotFound())
    app.get('/moved', guarded, (_request, reply) => reply.redirect('/elsewhere'))
    app.get('/nothing', guarded, (_request, reply) => reply.code(204).send())
    app.get(
      '/exposing',
      guarded,
      (_request, reply) =>
        reply.header('access-control-expose-headers', ['ETag', 'X-Total']).send('x')
    )
    app.register(async child => {
      child.get('/child', guarded, () => 'child')
    })
  }
}
