import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import * as jose from 'jose'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, REALM } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'
import type { BreakableStore } from '../../helpers/broken-store.js'
import { DpopClient } from '../../helpers/dpop.js'
import type { ProofRequest } from '../../helpers/dpop.js'

export const credentials = { username: 'ann', password: PASSWORD }

export const oauth = {
  issuer: 'https://auth.test',
  audience: 'api',
  oauth: { clients: [{ clientId: 'phone' }] }
}

export interface World extends TestApp {
  readonly breakable: BreakableStore
  readonly holder: DpopClient
  readonly row: () => Promise<unknown>
  readonly names: () => string[]
}

export async function start (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  given: TestAppOptions = {}
): Promise<World> {
  const breakable = createBreakableStore(given.store ?? new MemoryStore())
  const test = await createTestApp({
    ...given,
    store: breakable.store,
    options: { dpop: true, ...options }
  })
  t.teardown(() => test.app.close())

  return {
    ...test,
    breakable,
    holder: new DpopClient(test.app),
    row: async () => (await test.store.list(REALM, 'u-ann', { now: 0, limit: 1 }))[0],
    names: () => test.events.map(({ name }) => name)
  }
}

export async function signIn (
  holder: DpopClient,
  sent: ProofRequest = {}
): Promise<TokenResponse & { readonly refresh_token: string }> {
  const response = await holder.send('POST', '/auth/login', { body: credentials, ...sent })

  if (response.statusCode !== 200) {
    throw new Error(response.body)
  }

  return response.json()
}

export const refresh = async (holder: DpopClient, token: string): Promise<LightMyRequestResponse> =>
  holder.send('POST', '/auth/refresh', { body: { refresh_token: token } })

export const decodeClaims = (token: string): jose.JWTPayload & { cnf?: { jkt: string } } =>
  jose.decodeJwt(token)

export function assertRejected (
  t: Test,
  response: LightMyRequestResponse,
  code: string,
  name: string
): void {
  t.strictSame([response.statusCode, response.json().code], [401, code], name)
}
