import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

export interface ElevateApp extends TestApp {
  /** Names of the calls of the store since the last `calls.length = 0`. */
  readonly calls: string[]
  elevate(token?: string, body?: object): Promise<LightMyRequestResponse>
}

/** Starts an app with the routes `/pay`, `/sign` (a security key) and `/passkey`. */
export async function open (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<ElevateApp> {
  const calls: string[] = []
  const store = new Proxy<TokenStore>(given.store ?? new MemoryStore(), {
    get: (target, verb: keyof TokenStore) => (...args: unknown[]): unknown => {
      calls.push(verb)
      return Reflect.apply(Reflect.get(target, verb), target, args)
    }
  })
  const test = await createTestApp({
    ...given,
    store,
    options: { revocations: false, ...options },
    async after (app) {
      app.get('/pay', { onRequest: [app.authenticate, app.requireFresh('5m')] }, () => 'paid')
      app.get('/sign', {
        onRequest: [app.authenticate, app.requireFresh('5m', { amr: ['hwk', 'swk'] })]
      }, () => 'signed')
      app.post<{ Body: { amr: string[], reply?: boolean } | null }>('/passkey', {
        onRequest: [app.authenticate]
      }, (request, reply) => {
        const { amr = ['hwk'], reply: hasReply = true } = request.body ?? {}
        return app.tokenAuth.elevate(request, { amr, ...(hasReply && { reply }) })
      })
      await given.after?.(app)
    }
  })
  t.teardown(() => test.app.close())

  return {
    ...test,
    calls,
    elevate: (token, body = { password: PASSWORD }) =>
      test.post(
        '/auth/elevate',
        body,
        token === undefined ? {} : { authorization: `Bearer ${token}` }
      )
  }
}

export function decode (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}
