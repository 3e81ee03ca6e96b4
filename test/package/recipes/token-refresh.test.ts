import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { createSecret, losing, oldToken, startRecipe } from './recipe.js'
import type { StartedRecipe } from './recipe.js'

const folder = mkdtempSync(join(tmpdir(), 'token-auth-recipe-'))
t.teardown(() => {
  rmSync(folder, { recursive: true })
})
const database = { ...createSecret(), DATABASE_FILE: join(folder, 'app.db') }
const start = (): Promise<StartedRecipe> => startRecipe(t, 'token-refresh', database)
let server = await start()

interface Config {
  url: string
  method?: string
  data?: object
  headers?: Record<string, string>
  _retry?: boolean
}

interface Answer {
  status: number
  data: Record<string, unknown>
}

/** Part of axios: sends and receives JSON, and rejects with `{ config, response }` from 300 on. */
async function axios (config: Config, fetch_: typeof fetch): Promise<Answer> {
  const { url, method = 'GET', data, headers = {} } = config
  const r = await fetch_(server.url + url, {
    method,
    headers: {
      Accept: 'application/json, text/plain, */*',
      ...headers,
      ...(data && { 'Content-Type': 'application/json' })
    },
    ...(data && { body: JSON.stringify(data) })
  })
  const text = await r.text()
  const response = { status: r.status, data: text === '' ? {} : JSON.parse(text) }

  if (!r.ok) {
    throw Object.assign(new Error(`Request failed with status code ${r.status}`), {
      config,
      response
    })
  }

  return response
}

/** The client's api.js. */
class Api {
  tokens: Record<string, unknown> = {}
  isRefreshing = false
  signedOut = false
  failedQueue: Array<{ resolve: () => void, reject: (error: unknown) => void }> = []
  readonly #fetch: typeof fetch

  constructor (fetch_: typeof fetch = fetch) {
    this.#fetch = fetch_
  }

  async login (username: string, password: string): Promise<Answer> {
    const answer = await axios(
      { url: '/auth/login', method: 'POST', data: { username, password } },
      this.#fetch
    )
    this.tokens = answer.data
    return answer
  }

  async request (config: Config): Promise<Answer> {
    const headers = {
      ...config.headers,
      Authorization: `Bearer ${String(this.tokens.access_token)}`
    }
    return axios({ ...config, headers }, this.#fetch).catch(error => this.#onError(error))
  }

  // The refresh uses the same instance, so its interceptor adds the expired access token.
  refresh (): Promise<Answer> {
    const data = { refresh_token: this.tokens.refresh_token }
    return this.request({ url: '/auth/token/refresh', method: 'POST', data, _retry: true })
  }

  async #onError (error: { config: Config, response?: Answer }): Promise<Answer> {
    const { config: original, response } = error

    if (
      response?.status !== 401 || response.data.detail !== 'Token expired' ||
      original._retry === true
    ) {
      throw error
    }

    original._retry = true

    if (this.isRefreshing) {
      return new Promise<void>((resolve, reject) => {
        this.failedQueue.push({ resolve, reject })
      })
        .then(() => this.request(original))
    }

    this.isRefreshing = true

    try {
      const { data } = await this.refresh()
      this.tokens = data

      for (const { resolve } of this.failedQueue) {
        resolve()
      }
    } catch (refreshError) {
      for (const { reject } of this.failedQueue) {
        reject(refreshError)
      }

      if ((refreshError as { response?: Answer }).response?.status === 400) {
        this.signedOut = true
      }

      throw refreshError
    } finally {
      this.failedQueue = []
      this.isRefreshing = false
    }

    return this.request(original)
  }
}

async function signedIn (fetch_?: typeof fetch): Promise<Api> {
  const api = new Api(fetch_)
  await api.login('ann', 'correct horse')
  return api
}

/** Returns the status and `detail` of a rejected request. */
function refusal (request: Promise<Answer>): Promise<string> {
  return request.then(
    () => 'it was answered',
    ({ response }: { response?: Answer }) => `${response?.status} ${String(response?.data.detail)}`
  )
}

const reports = { url: '/reports' }

t.test('a login accepts and replaces a bcrypt hash', async t => {
  const before = await signedIn()
  t.match(before.tokens, {
    token_type: 'bearer',
    expires_in: 900,
    user: { id: '1', username: 'ann' }
  })
  t.match((await server.change('ann', {})).hashedPassword, /^\$argon2id\$/)
  const after = await signedIn()
  t.match(await after.request(reports), { status: 200, data: { userId: '1' } })
  t.equal(await refusal(new Api().login('ann', 'wrong')), '401 User name or password is incorrect')
})

t.test('the interceptor rotates once for four requests with an expired token', async t => {
  const api = await signedIn()
  const { refresh_token: first } = api.tokens
  const { rotated } = await readCounters(server)
  await server.advance(900 * SECOND)
  const headers = { Authorization: `Bearer ${String(api.tokens.access_token)}` }
  t.equal(await refusal(axios({ ...reports, headers }, fetch)), '401 Token expired')
  const answers = await Promise.all([1, 2, 3, 4].map(() => api.request(reports)))

  for (const { status } of answers) {
    t.equal(status, 200)
  }

  t.equal(
    (await readCounters(server)).rotated,
    rotated + 1,
    'whoever heard of its 401 later was given the same token'
  )
  t.not(api.tokens.refresh_token, first)
  t.equal(api.tokens.expires_in, 900)
})

t.test('two tabs receive the same successor', async t => {
  const [tab, other] = [await signedIn(), new Api()]
  other.tokens = tab.tokens
  await server.advance(15 * MINUTE)
  const answers = await Promise.all([tab.request(reports), other.request(reports)])

  for (const { status } of answers) {
    t.equal(status, 200)
  }

  t.equal(tab.tokens.refresh_token, other.tokens.refresh_token)
})

t.test('a session survives a lost response and a restart of the server', async t => {
  const api = await signedIn(losing({ path: '/auth/token/refresh', times: 1 }))
  await server.advance(15 * MINUTE)
  await t.rejects(api.request(reports), { message: 'Failed to fetch' })
  t.notOk(api.signedOut)
  await server.advance(MINUTE)
  t.equal((await api.request(reports)).status, 200)

  const counters = await readCounters(server)
  t.ok(counters.rotated > 0)
  t.ok(counters.replayed + counters.kept > 0, 'of the two tabs receive the same successor')
  t.strictSame([counters.recovered, counters.reused], [1, 0])

  const time = 3 * 15 * MINUTE + MINUTE
  t.strictSame(await server.close(), [], 'no risk, and no warning')
  server = await start()
  await server.advance(time + 15 * MINUTE)
  t.equal((await api.request(reports)).status, 200)
})

t.test('a session expires after 30 days without use, with the same detail', async t => {
  const [idle, user] = [await signedIn(), await signedIn()]
  await server.advance(29 * DAY)
  t.equal((await idle.request(reports)).status, 200)
  await server.advance(DAY)
  t.equal(await refusal(user.request(reports)), '400 Token expired')
  t.ok(user.signedOut)
})

t.test('a stolen token is detected and counted', async t => {
  const api = await signedIn()
  const thief = new Api()
  thief.tokens = api.tokens
  await server.advance(15 * MINUTE)
  await api.request(reports)
  await server.advance(MINUTE)
  t.equal(
    await refusal(thief.refresh()),
    '400 Refresh token was reused and its session was revoked'
  )
  t.equal((await readCounters(server)).reused, 1)
  t.equal(await refusal(api.request(reports)), '400 Session was revoked')
  t.ok(api.signedOut)
})

t.test('an inactive user is rejected', async t => {
  t.equal(
    await refusal(new Api().login('bob', 'correct horse')),
    '401 User name or password is incorrect'
  )
  const api = await signedIn()
  await server.change('ann', { isActive: false })
  await server.advance(15 * MINUTE)
  t.equal(await refusal(api.request(reports)), '400 Session was revoked')
  t.ok(api.signedOut)
  await server.change('ann', { isActive: true })
})

t.test('a logout revokes the session', async t => {
  const api = await signedIn()
  const { refresh_token: token } = api.tokens
  t.equal(
    (await api.request({ url: '/auth/logout', method: 'POST', data: { refresh_token: token } }))
      .status,
    204
  )
  t.equal(await refusal(api.request(reports)), '400 Session was revoked')
  t.ok(api.signedOut)
})

t.test('tokens of the old system lead to the login page', async t => {
  const api = new Api()
  api.tokens = { access_token: oldToken, refresh_token: oldToken }
  t.equal(await refusal(api.request(reports)), '400 Refresh token is invalid')
  t.ok(api.signedOut)
})

t.test('the log contains no security warning', async t => {
  t.strictSame(await server.close(), [])
})

type Counters = Record<'rotated' | 'kept' | 'replayed' | 'recovered' | 'reused', number>

async function readCounters ({ url }: StartedRecipe): Promise<Counters> {
  const text = await (await fetch(`${url}/metrics`)).text()

  return Object.fromEntries([...text.matchAll(/^auth_refreshes_total\{result="(\w+)"\} (\d+)$/gm)]
    .map(([, result, count]) => [result, Number(count)])) as Counters
}
