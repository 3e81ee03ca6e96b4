// An interceptor of axios that catches every 401, as many pages have it. Its refresh uses the same
// instance, so it also catches a 401 of its own refresh.

import axios from 'axios'
import type { AxiosInstance, InternalAxiosRequestConfig } from 'axios'
import t from 'tap'
import type { Test } from 'tap'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { startRecipe } from './recipe.js'
import type { StartedRecipe } from './recipe.js'

/** More refreshes than these are a loop. */
const MAX_REFRESHES = 20

interface Page {
  readonly http: AxiosInstance
  readonly tokens: Record<string, unknown>
  readonly refreshes: () => number
  /** How often the page has shown its login. */
  readonly logins: () => number
}

async function openPage ({ url }: StartedRecipe): Promise<Page> {
  let refreshes = 0
  let logins = 0
  const http = axios.create({ baseURL: url })
  const credentials = { username: 'ann', password: 'correct horse' }
  const { data: tokens } = await http.post('/auth/login', credentials)

  http.interceptors.request.use((config: InternalAxiosRequestConfig) => {
    refreshes += config.url === '/auth/token/refresh' ? 1 : 0

    if (refreshes > MAX_REFRESHES) {
      throw new Error('the interceptor refreshes without end')
    }

    config.headers.set('authorization', `Bearer ${String(tokens.access_token)}`)
    return config
  })
  http.interceptors.response.use(null, async error => {
    const { config, response } = error

    if (response?.status !== 401) {
      throw error
    }

    try {
      const body = { refresh_token: tokens.refresh_token }
      Object.assign(tokens, (await http.post('/auth/token/refresh', body)).data)
    } catch (refused) {
      logins++
      throw refused
    }

    return http.request(config)
  })
  return { http, tokens, refreshes: () => refreshes, logins: () => logins }
}

async function getRefusal (request: Promise<unknown>): Promise<unknown> {
  return request.then(
    () => 'it succeeded',
    ({ response, message }) => response === undefined ? message : [response.status, response.data]
  )
}

async function start (t: Test): Promise<{ server: StartedRecipe, page: Page }> {
  const server = await startRecipe(t, 'token-refresh', { DATABASE_FILE: ':memory:' })
  return { server, page: await openPage(server) }
}

t.test('the interceptor refreshes an expired access token once', async t => {
  const { server, page } = await start(t)
  await server.advance(15 * MINUTE)
  t.equal((await page.http.get('/reports')).status, 200)
  t.strictSame([page.refreshes(), page.logins()], [1, 0])
})

t.test('the interceptor asks once and shows the login after the session expired', async t => {
  const { server, page } = await start(t)
  await server.advance(40 * DAY)
  t.strictSame(await getRefusal(page.http.get('/reports')), [400, { detail: 'Token expired' }])
  t.strictSame([page.refreshes(), page.logins()], [1, 1])
})

t.test('the interceptor shows the login for every other refused refresh', async t => {
  const { server, page } = await start(t)
  const refusals: Array<[string, string, () => Promise<unknown>]> = [
    ['a logout in another tab', 'Session was revoked', () =>
      fetch(`${server.url}/auth/logout`, {
        method: 'POST',
        body: new URLSearchParams({ refresh_token: String(page.tokens.refresh_token) })
      })],
    [
      'tokens of the old server',
      'Refresh token is invalid',
      async () => Object.assign(page.tokens, { access_token: 'a.b.c', refresh_token: 'a.b.c' })
    ],
    [
      'no token',
      'Refresh token is invalid',
      async () => Object.assign(page.tokens, { access_token: null, refresh_token: null })
    ]
  ]

  for (const [i, [name, detail, act]] of refusals.entries()) {
    await act()
    t.strictSame(await getRefusal(page.http.get('/reports')), [400, { detail }], name)
    t.strictSame([page.refreshes(), page.logins()], [i + 1, i + 1], name)
  }
})

t.test('a wrong password shows the login once', async t => {
  const { page } = await start(t)
  Object.assign(page.tokens, { access_token: null, refresh_token: null })
  const wrong = page.http.post('/auth/login', { username: 'ann', password: 'wrong' })
  t.match(await getRefusal(wrong), [400])
  t.strictSame([page.refreshes(), page.logins()], [1, 1])
})
