import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD, PASSWORD_HASH, SECRET } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'

export const orders = ['before', 'after'] as const

export const form = { 'content-type': 'application/x-www-form-urlencoded' }

const ann = { id: 'u-ann', username: 'ann', passwordHash: PASSWORD_HASH }

export async function start (t: Test, given: TestAppOptions): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

export function startEmpty (t: Test): FastifyInstance {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

export function getOptions (given: Partial<TokenAuthOptions> = {}): TokenAuthOptions {
  return {
    secret: SECRET,
    store: new MemoryStore(),
    users: {
      findByLogin: login => login === ann.username ? ann : null,
      findById: id => id === ann.id ? ann : null
    },
    sweep: false,
    ...given
  }
}

export function bearer (token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` }
}

export async function expectWorkingRoutes (
  t: Test,
  { login, get, refresh, post }: TestApp
): Promise<void> {
  const first = await login()
  t.equal((await get('/protected', first.access_token)).json().userId, 'u-ann')
  t.equal((await get('/protected')).json().code, 'AUTH_ACCESS_MISSING')
  const second = (await refresh(first.refresh_token)).json<TokenResponse>()
  t.equal((await get('/auth/me', second.access_token)).json().username, 'ann')
  t.equal((await get('/auth/sessions', second.access_token)).json().sessions.length, 1)
  const byForm = await post(
    '/auth/login',
    Buffer.from(`username=ann&password=${encodeURIComponent(PASSWORD)}`),
    form
  )
  t.equal(byForm.json().token_type, 'bearer')
  const logout = await post('/auth/logout', { refresh_token: second.refresh_token })
  t.equal(logout.statusCode, 204)
  t.equal((await get('/protected', second.access_token)).json().code, 'AUTH_SESSION_REVOKED')
}

export async function loginAt (
  app: FastifyInstance,
  prefix: string
): Promise<Required<TokenResponse>> {
  const response = await app.inject({
    method: 'POST',
    url: `${prefix}/login`,
    payload: { username: 'ann', password: PASSWORD }
  })

  if (response.statusCode !== 200) {
    throw new Error(`login at ${prefix} failed: ${response.body}`)
  }

  return response.json()
}

export async function getStatus (
  app: FastifyInstance,
  url: string,
  token?: string
): Promise<number> {
  const response = await app.inject({ url, headers: token === undefined ? {} : bearer(token) })
  return response.statusCode
}
