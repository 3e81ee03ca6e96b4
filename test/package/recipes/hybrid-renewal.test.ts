import t from 'tap'
import { createClock, DAY, HOUR, MINUTE } from '../../helpers/clock.js'
import { losing, oldToken, risks, startRecipe, Storage } from './recipe.js'

const server = await startRecipe(t, 'hybrid-renewal')
/** Clock of the clients. */
const clock = createClock(Date.now())
const email = 'ann@example.org'

async function advance (by: number): Promise<void> {
  clock.advance(by)
  await server.advance(by)
}

interface User {
  id: number
  email: string
  first_name: string
  last_name: string
  email_verified: boolean
}

const ann: User = {
  id: 1,
  email,
  first_name: 'Ann',
  last_name: 'Lee',
  email_verified: true
}

/** The AuthContext of the web app, without React around it. */
class AuthContext {
  user: User | null = null
  readonly #storage: Storage
  readonly #fetch: typeof fetch

  constructor (storage = new Storage(), fetch_: typeof fetch = fetch) {
    this.#storage = storage
    this.#fetch = fetch_
  }

  get token (): string | null {
    return this.#storage.getItem('token')
  }

  /** Effect that runs when the page is loaded. */
  async mount (): Promise<void> {
    if (this.token === null) {
      return
    }

    const response = await this.authFetch('/api/me')

    if (response.ok) {
      this.user = await response.json() as User
    }
  }

  async login (email: string, password: string): Promise<number> {
    const response = await this.#fetch(`${server.url}/api/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ email, password })
    })

    if (!response.ok) {
      return response.status
    }

    const data = await response.json() as {
      access_token: string
      refresh_token: string
      user: User
    }
    this.#storage.setItem('token', data.access_token)
    this.#storage.setItem('refreshToken', data.refresh_token)
    this.user = data.user
    return 200
  }

  async authFetch (path: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.#send(path, init)

    if (response.status !== 401 || !await this.#refresh()) {
      return response
    }

    return this.#send(path, init)
  }

  async logout (): Promise<number> {
    const { status } = await this.#fetch(`${server.url}/api/logout`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.token}` }
    })
    this.#forget()
    return status
  }

  async #send (path: string, init: RequestInit): Promise<Response> {
    const response = await this.#fetch(server.url + path, {
      ...init,
      headers: { ...init.headers as object, Authorization: `Bearer ${this.token}` }
    })
    const renewed = response.headers.get('X-New-Token')

    if (renewed) {
      this.#storage.setItem('token', renewed)
    }

    return response
  }

  async #refresh (): Promise<boolean> {
    const response = await this.#fetch(`${server.url}/api/refresh`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${this.#storage.getItem('refreshToken')}` }
    })

    if (response.status === 401) {
      this.#forget()
    }

    if (!response.ok) {
      return false
    }

    this.#storage.setItem('token', (await response.json() as { access_token: string }).access_token)
    return true
  }

  #forget (): void {
    this.#storage.removeItem('token')
    this.#storage.removeItem('refreshToken')
    this.user = null
  }
}

/** TokenService of the phone. It reads `exp` and refreshes before the token expires. */
class TokenService {
  readonly asyncStorage = new Map<string, string>()

  async signIn (email: string, password: string): Promise<User> {
    const data = await this.#post(
      'login',
      { 'Content-Type': 'application/json' },
      JSON.stringify({ email, password })
    )
    this.asyncStorage.set('accessToken', data.access_token as string).set(
      'refreshToken',
      data.refresh_token as string
    )
    return data.user as User
  }

  async getValidToken (): Promise<string> {
    const token = this.asyncStorage.get('accessToken') ?? ''
    const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
      exp: number
    }

    if (exp * 1000 - clock() > 5 * MINUTE) {
      return token
    }

    const data = await this.#post('refresh', {
      Authorization: `Bearer ${this.asyncStorage.get('refreshToken')}`
    })
    this.asyncStorage.set('accessToken', data.access_token as string)
    return data.access_token as string
  }

  async get (path: string): Promise<{ status: number, renewed: string | null }> {
    const response = await fetch(server.url + path, {
      headers: { Authorization: `Bearer ${await this.getValidToken()}` }
    })
    const renewed = response.headers.get('x-new-token')

    if (renewed) {
      this.asyncStorage.set('accessToken', renewed)
    }

    return { status: response.status, renewed }
  }

  async #post (
    path: string,
    headers: Record<string, string>,
    body: string | null = null
  ): Promise<Record<string, unknown>> {
    const response = await fetch(`${server.url}/api/${path}`, { method: 'POST', headers, body })

    if (!response.ok) {
      throw new Error(String(response.status))
    }

    return await response.json() as Record<string, unknown>
  }
}

async function signedIn (
  fetch_?: typeof fetch
): Promise<{ context: AuthContext, storage: Storage }> {
  const storage = new Storage()
  const context = new AuthContext(storage, fetch_)

  if (await context.login(email, 'correct horse') !== 200) {
    throw new Error('the login failed')
  }

  return { context, storage }
}

t.test('a user is still signed in after a page reload', async t => {
  const { context, storage } = await signedIn()
  t.strictSame(context.user, ann)
  const page = new AuthContext(storage)
  await page.mount()
  t.strictSame(page.user, context.user)
  t.equal(await new AuthContext().login(email, 'wrong'), 401)
  t.equal(await new AuthContext().login('nobody@example.org', 'correct horse'), 401)
})

t.test('a token is renewed in its last two hours only', async t => {
  const { context } = await signedIn()
  const first = context.token
  await advance(21 * HOUR)
  t.equal((await context.authFetch('/api/notes')).headers.get('x-new-token'), null)
  await advance(HOUR + MINUTE)
  const [one, other] = await Promise.all([
    context.authFetch('/api/notes'),
    context.authFetch('/api/me')
  ])
  t.equal(one.headers.get('x-new-token'), other.headers.get('x-new-token'))
  t.equal(one.headers.get('access-control-expose-headers'), 'x-new-token')
  t.not(context.token, first)
  await advance(3 * HOUR)
  t.equal((await context.authFetch('/api/notes')).status, 200, 'the first token has expired')
})

t.test('a daily user stays signed in for 30 days with two tabs and a lost response', async t => {
  const lost = { path: '/api/refresh', times: 1 }
  const { context, storage } = await signedIn(losing(lost))
  const refreshToken = storage.getItem('refreshToken')
  await advance(DAY)
  await t.rejects(context.authFetch('/api/notes'), { message: 'Failed to fetch' })
  await advance(HOUR)
  const tabs = [context, new AuthContext(storage)]

  for (const { status } of await Promise.all(tabs.map(tab => tab.authFetch('/api/notes')))) {
    t.equal(status, 200)
  }

  for (let day = 2; day < 30; day++) {
    await advance(DAY)

    if ((await context.authFetch('/api/notes')).status !== 200) {
      t.fail(`signed out on day ${day}`)
    }
  }

  t.equal(storage.getItem('refreshToken'), refreshToken, 'unchanged')
  await advance(DAY)
  t.equal((await context.authFetch('/api/notes')).status, 401, 'the month is over')
  t.equal(context.user, null)
})

t.test('a phone refreshes before expiry with the refresh token as bearer token', async t => {
  const phone = new TokenService()
  t.strictSame(await phone.signIn(email, 'correct horse'), ann)
  const refreshToken = phone.asyncStorage.get('refreshToken')
  await advance(23 * HOUR)
  const { status, renewed } = await phone.get('/api/notes')
  t.equal(status, 200)
  t.equal(phone.asyncStorage.get('accessToken'), renewed)

  for (let i = 0; i < 3; i++) {
    await advance(2 * DAY)
    t.strictSame(await phone.get('/api/notes'), { status: 200, renewed: null })
  }

  t.equal(phone.asyncStorage.get('refreshToken'), refreshToken, 'unchanged')
})

t.test('a logout by access token revokes the refresh token, also after expiry', async t => {
  const { context, storage } = await signedIn()
  const { token: accessToken } = context
  const refreshToken = storage.getItem('refreshToken')
  t.equal(await context.logout(), 204)

  for (
    const [method, path, token] of [['GET', 'notes', accessToken], [
      'POST',
      'refresh',
      refreshToken
    ]] as const
  ) {
    const { status } = await fetch(`${server.url}/api/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}` }
    })
    t.equal(status, 401, path)
  }

  const { context: late, storage: lateStorage } = await signedIn()
  const token = lateStorage.getItem('refreshToken')
  await advance(2 * DAY)
  t.equal(await late.logout(), 204)
  const headers = { Authorization: `Bearer ${token}` }
  t.equal((await fetch(`${server.url}/api/refresh`, { method: 'POST', headers })).status, 401)
})

t.test('tokens of the old system lead to the login page', async t => {
  const storage = new Storage()

  for (const key of ['token', 'refreshToken']) {
    storage.setItem(key, oldToken)
  }

  const page = new AuthContext(storage)
  await page.mount()
  t.strictSame([page.user, page.token], [null, null])
})

t.test('a disabled user receives neither a renewed nor a refreshed token', async t => {
  const { context } = await signedIn()
  await advance(23 * HOUR)
  await server.change(email, { disabled: true })
  const response = await context.authFetch('/api/notes')
  t.equal(response.status, 200, 'until the access token expires')
  t.equal(response.headers.get('x-new-token'), null)
  await advance(2 * HOUR)
  t.equal((await context.authFetch('/api/notes')).status, 401)
  t.equal(context.user, null)
  t.equal(await context.login(email, 'correct horse'), 401)
})

t.test('the log contains each security warning once', async t => {
  t.strictSame(await server.close(), [risks.rotation, risks.lifetime])
})
