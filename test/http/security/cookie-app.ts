import type { LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { TokenAuthOptions } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createBreakableStore } from '../../helpers/broken-store.js'

export type Headers = Record<string, string>

export const REFRESH = '__Host-auth-refresh'

export const ACCESS = '__Host-auth-access'

export const own = { 'sec-fetch-site': 'same-origin' }

export const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.com' }

export const asCookie = { ...own, 'x-token-transport': 'cookie' }

export const credentials = { username: 'ann', password: PASSWORD }

export const withCookies = {
  refreshToken: { transport: 'both' },
  cookie: { accessToken: true },
  revocations: false
} as const satisfies Partial<TokenAuthOptions>

export async function open (t: Test, given: TestAppOptions = {}): Promise<TestApp> {
  const test = await createTestApp(given)
  t.teardown(() => test.app.close())
  return test
}

/** Logs in with cookies and returns the tokens by kind. */
export async function logInWithCookies (
  test: TestApp,
  headers: Headers = asCookie
): Promise<Record<'refresh' | 'access' | 'cookie', string>> {
  const { cookies } = await test.post('/auth/login', credentials, headers)
  const [refresh = '', access = ''] = cookies.map(({ value }) => value)
  return { refresh, access, cookie: `${REFRESH}=${refresh}; ${ACCESS}=${access}` }
}

export function decodeClaims (token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
}

type Answers = Array<readonly [about: string, LightMyRequestResponse]>

/** Collects responses of every status and route. */
export async function collectResponses (t: Test, given: TestAppOptions = {}): Promise<Answers> {
  const breakable = createBreakableStore(new MemoryStore())
  const test = await open(t, {
    ...given,
    store: breakable.store,
    options: { ...withCookies, ...given.options },
    async before (app) {
      await given.before?.(app)
      app.addHook('onRequest', async (request, reply) => {
        if (request.headers['x-flood'] !== undefined) {
          return reply.code(429).header('retry-after', '7').send({ error: 'too many' })
        }
      })
      app.addHook('preHandler', async ({ headers }) => {
        if (headers['x-crash'] !== undefined) {
          throw new Error('a bug of the app')
        }
      })
    }
  })
  const answers: Answers = []
  const { cookie } = await logInWithCookies(test)
  const { access_token: access, refresh_token: token } = await test.login('bob')
  const authorization = `Bearer ${access}`

  const ask = async (
    about: string,
    method: 'GET' | 'HEAD' | 'POST' | 'DELETE',
    url: string,
    headers: Headers = {},
    payload?: object | string
  ): Promise<void> => {
    answers.push([
      about,
      await test.app.inject({ method, url, headers, ...(payload !== undefined && { payload }) })
    ])
  }

  for (const url of ['/auth/login', '/auth/refresh', '/auth/logout']) {
    await ask('broken JSON', 'POST', url, { 'content-type': 'application/json' }, '{"a')
    await ask(
      'a megabyte',
      'POST',
      url,
      { 'content-type': 'application/json' },
      ' '.repeat(2 ** 20)
    )
    await ask('text', 'POST', url, { 'content-type': 'text/plain' }, 'x')
    await ask('from elsewhere', 'POST', url, { ...asCookie, ...foreign, cookie }, credentials)
    await ask('a flood', 'POST', url, { 'x-flood': '1' }, credentials)
    await ask('a crash', 'POST', url, { 'x-crash': '1' }, credentials)
  }

  for (const url of ['/auth/me', '/auth/sessions']) {
    for (const method of ['GET', 'HEAD'] as const) {
      await ask('read', method, url, { authorization })
      await ask('without a token', method, url)
      await ask('a wrong token', method, url, { authorization: 'Bearer x' })
    }

    await ask('a flood', 'GET', url, { 'x-flood': '1' })
  }

  await ask('a wrong password', 'POST', '/auth/login', {}, { ...credentials, password: 'x' })
  await ask('a login', 'POST', '/auth/login', asCookie, credentials)
  await ask('a refresh', 'POST', '/auth/refresh', { ...own, cookie })
  await ask('no refresh token', 'POST', '/auth/refresh')
  breakable.break('throws')

  for (const url of ['/auth/login', '/auth/refresh', '/auth/logout', '/auth/logout/all']) {
    await ask(
      'the store is down',
      'POST',
      url,
      { authorization },
      url === '/auth/login' ? credentials : { refresh_token: token }
    )
  }

  breakable.break(null)
  await ask('end one', 'DELETE', '/auth/sessions/x', { authorization })
  await ask('a logout', 'POST', '/auth/logout', { ...own, cookie })
  await ask('a logout of all', 'POST', '/auth/logout/all', { authorization })
  const statuses = new Set(answers.map(([, { statusCode }]) => statusCode))
  t.strictSame([...statuses].sort(), [200, 204, 400, 401, 403, 413, 415, 429, 500, 503])
  return answers.map(([about, response]) => [`${about}: ${response.statusCode}`, response])
}
