import { randomBytes } from 'node:crypto'
import t from 'tap'
import { DAY, MINUTE } from '../../helpers/clock.js'
import { losing, oldToken, risks, startRecipe } from './recipe.js'

const secretKeys = (): Record<string, string> => ({
  SECRET_KEY: randomBytes(32).toString('hex'),
  REFRESH_SECRET_KEY: randomBytes(32).toString('hex'),
  ALGORITHM: 'HS256',
  ACCESS_TOKEN_EXPIRE_MINUTES: '30',
  REFRESH_TOKEN_EXPIRE_DAYS: '7'
})
const server = await startRecipe(t, 'form-login', secretKeys())

/** Client that does with `fetch` what a session of the Python library requests would do. */
class ApiClient {
  access = ''
  refresh = ''
  readonly #fetch: typeof fetch

  constructor (fetch_: typeof fetch = fetch) {
    this.#fetch = fetch_
  }

  async register (username: string, password: string, email?: string): Promise<number> {
    const r = await this.#fetch(`${server.url}/register`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username, email, password })
    })
    return r.status
  }

  async login (username: string, password: string): Promise<void> {
    // Form of OAuth2PasswordRequestForm.
    const form = {
      grant_type: 'password',
      username,
      password,
      scope: '',
      client_id: '',
      client_secret: ''
    }
    const r = await this.#fetch(`${server.url}/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' },
      body: new URLSearchParams(form).toString()
    })
    const data = await r.json() as Record<string, string>

    if (!r.ok) {
      throw new Error(`${r.status} ${data.detail}`)
    }

    if (data.token_type !== 'bearer') {
      throw new Error('not a bearer token')
    }

    this.access = data.access_token ?? ''
    this.refresh = data.refresh_token ?? ''
  }

  async renew (): Promise<Record<string, unknown>> {
    const r = await this.#fetch(`${server.url}/refresh`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ refresh_token: this.refresh })
    })
    const data = await r.json() as Record<string, unknown>

    if (!r.ok) {
      throw new Error(`${r.status} ${String(data.detail)}`)
    }

    this.access = data.access_token as string
    return data
  }

  async protected (
    token = this.access
  ): Promise<{ status: number, body: unknown, challenge: string | null }> {
    const r = await this.#fetch(`${server.url}/protected`, {
      headers: { Authorization: `Bearer ${token}` }
    })
    return { status: r.status, body: await r.json(), challenge: r.headers.get('www-authenticate') }
  }
}

const ann = ['ann', 'correct horse'] as const
const hello = { message: 'Hello, ann' }

t.test('registration rejects a name that is taken', async t => {
  const client = new ApiClient()
  t.equal(await client.register(...ann), 201)
  t.equal(await client.register(...ann), 409)
  t.equal(await client.register('bob', 'correct horse'), 201)
  t.equal(await client.register('cyd', 'short'), 400)
})

t.test('a user logs in with the registered email, and `sub` is the user name', async t => {
  const client = new ApiClient()
  t.equal(await client.register('eve', 'correct horse', 'Eve@Example.org'), 201)
  t.equal(await client.register('eva', 'correct horse', 'eve@example.org'), 409, 'taken')
  t.equal(await client.register('eve@example.org', 'correct horse'), 400, 'no name of a user')

  for (const login of ['eve', 'eve@example.org', 'EVE@example.org']) {
    await client.login(login, 'correct horse')
    const [, claims = ''] = client.access.split('.')
    t.match(JSON.parse(Buffer.from(claims, 'base64url').toString()), { sub: 'eve' })
  }

  t.match(await client.protected(), { status: 200, body: { message: 'Hello, eve' } })
})

t.test('a client keeps one refresh token from login on', async t => {
  const client = new ApiClient()
  await client.login(...ann)
  t.match(await client.protected(), { status: 200, body: hello })
  await server.advance(30 * MINUTE)
  t.match(await client.protected(), {
    status: 401,
    body: { detail: 'Access token has expired' },
    challenge: /^Bearer .*invalid_token/
  })
  const first = client.access
  const answer = await client.renew()
  t.not(client.access, first)
  t.match(answer, {
    message: 'Token refreshed successfully',
    token_type: 'bearer',
    expires_in: 1800
  })
  t.notOk('refresh_token' in answer)
  t.match(await client.protected(), { status: 200, body: hello })
  await server.advance(29 * MINUTE)
  await client.renew()
  t.match(await client.protected(), { status: 200, body: hello })
})

t.test('a refresh token works after a lost response and in two programs', async t => {
  const client = new ApiClient(losing({ path: '/refresh', times: 1 }))
  await client.login(...ann)
  await t.rejects(client.renew(), { message: 'Failed to fetch' })
  await server.advance(MINUTE)
  await client.renew()
  const other = new ApiClient()
  other.refresh = client.refresh
  await Promise.all([client.renew(), other.renew(), other.renew()])
  t.equal((await client.protected()).status, 200)
  t.equal((await other.protected()).status, 200)
})

t.test('the refresh token expires a fixed time after the login', async t => {
  const client = new ApiClient()
  await client.login(...ann)
  await server.advance(6 * DAY)
  await client.renew()
  await server.advance(DAY)
  await t.rejects(client.renew(), { message: '401 Refresh token has expired' })
})

t.test('a rejection has its reason in `detail`', async t => {
  const client = new ApiClient()

  for (const [name, password] of [['ann', 'wrong'], ['nobody', 'correct horse']] as const) {
    await t.rejects(client.login(name, password), {
      message: '401 User name or password is incorrect'
    })
  }

  await client.login(...ann)
  t.match(await client.protected(''), { status: 401, body: { detail: /.+/ } })
  t.match(await client.protected(client.refresh), {
    status: 401,
    body: { detail: 'Access token is invalid' }
  }, 'another key')
  const crossed = new ApiClient()
  crossed.refresh = client.access
  await t.rejects(crossed.renew(), { message: '401 Refresh token is invalid' })
  const malformed = await fetch(`${server.url}/login`, {
    method: 'POST',
    body: new URLSearchParams({ username: 'ann' })
  })
  t.equal(malformed.status, 400)
  t.match(await malformed.json(), { detail: /password/ })
})

t.test('tokens of the old system are rejected', async t => {
  const client = new ApiClient()
  client.access = client.refresh = oldToken
  t.match(await client.protected(), { status: 401, body: { detail: 'Access token is invalid' } })
  await t.rejects(client.renew(), { message: '401 Refresh token is invalid' })
})

t.test('a disabled user is rejected at the next refresh', async t => {
  const client = new ApiClient()
  await client.login('bob', 'correct horse')
  await server.change('bob', { disabled: true })
  await t.rejects(client.renew(), { message: '401 Session was revoked' })
  await t.rejects(client.login('bob', 'correct horse'), {
    message: '401 User name or password is incorrect'
  })
  t.match(await client.protected(), { status: 401, body: { detail: 'Session was revoked' } })
})

t.test('a logout revokes both tokens', async t => {
  const client = new ApiClient()
  await client.login(...ann)
  const authorization = `Bearer ${client.access}`
  t.equal(
    (await fetch(`${server.url}/logout`, { method: 'POST', headers: { authorization } })).status,
    204
  )
  t.equal((await client.protected()).status, 401)
  await t.rejects(client.renew(), { message: '401 Session was revoked' })
})

t.test('the log contains each security warning once', async t => {
  t.strictSame(await server.close(), [risks.rotation])
})

t.test('an access token lifetime of a day adds a security warning', async t => {
  const server = await startRecipe(t, 'form-login', {
    ...secretKeys(),
    ACCESS_TOKEN_EXPIRE_MINUTES: '1440'
  })
  t.strictSame(await server.close(), [risks.rotation, risks.lifetime])
})

t.test('without refresh tokens, a login returns an access token only', async t => {
  const { url, close } = await startRecipe(t, 'form-login', {
    ...secretKeys(),
    REFRESH_TOKEN_ENABLED: 'false'
  })
  const body = JSON.stringify({ username: 'ann', password: 'correct horse' })
  await fetch(`${url}/register`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body
  })
  const login = await fetch(`${url}/login`, {
    method: 'POST',
    body: new URLSearchParams({ username: 'ann', password: ann[1] })
  })
  const answer = await login.json() as object
  t.ok('access_token' in answer)
  t.notOk('refresh_token' in answer)
  t.equal((await fetch(`${url}/refresh`, { method: 'POST' })).status, 404)
  t.strictSame(await close(), [])
})
