import t from 'tap'
import { DAY, MINUTE, SECOND } from '../../helpers/clock.js'
import { losing, oldToken, startRecipe, Storage } from './recipe.js'

const server = await startRecipe(t, 'rotating-pair')
const auth = `${server.url}/api/v1/auth`

interface Options {
  method?: string
  headers?: Record<string, string>
  body?: string
}

/** The wrapper of one tab. */
function openTab (localStorage = new Storage(), fetch_: typeof fetch = fetch) {
  let refreshing: Promise<boolean> | null = null
  let atLogin = false

  const post = (path: string, body: object): Promise<Response> =>
    fetch_(`${auth}${path}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body)
    })

  async function keep (response: Response): Promise<void> {
    const { access_token: access, refresh_token: refresh } = await response.json() as Record<
      string,
      string
    >

    if (access === undefined || refresh === undefined) {
      throw new Error('an answer without a pair')
    }

    localStorage.setItem('access_token', access)
    localStorage.setItem('refresh_token', refresh)
  }

  function signOut (): void {
    localStorage.removeItem('access_token')
    localStorage.removeItem('refresh_token')
    atLogin = true
  }

  async function login (username: string, password: string, device?: string): Promise<number> {
    const response = await post('/login', { username, password, device })

    if (response.ok) {
      await keep(response)
    }

    return response.status
  }

  async function refreshTokens (): Promise<boolean> {
    const token = localStorage.getItem('refresh_token')
    const response = token === null ? null : await post('/refresh', { refresh_token: token })

    if (response === null) {
      signOut()
      return false
    }

    if (response.ok) {
      await keep(response)
    } else if (response.status === 401) {
      signOut()
    }

    return response.ok
  }

  async function send (path: string, options: Options): Promise<Response> {
    return fetch_(`${server.url}${path}`, {
      ...options,
      headers: {
        'Content-Type': 'application/json',
        ...options.headers,
        Authorization: `Bearer ${localStorage.getItem('access_token')}`
      }
    })
  }

  async function api (path: string, options: Options = {}): Promise<Response> {
    const response = await send(path, options)

    if (response.status !== 401) {
      return response
    }

    refreshing ??= refreshTokens().finally(() => {
      refreshing = null
    })
    return await refreshing ? send(path, options) : response
  }

  async function logout (everywhere = false): Promise<number> {
    const body = JSON.stringify({ refresh_token: localStorage.getItem('refresh_token') })
    const { status } = await api(`/api/v1/auth/logout${everywhere ? '/all' : ''}`, {
      method: 'POST',
      body
    })
    signOut()
    return status
  }

  return { login, api, refreshTokens, logout, localStorage, isAtLogin: () => atLogin }
}

async function signedIn (device?: string): Promise<ReturnType<typeof openTab>> {
  const tab = openTab()

  if (await tab.login('ann', 'correct horse', device) !== 200) {
    throw new Error('the login failed')
  }

  return tab
}

t.test('a page that is open for hours receives a new pair at each refresh', async t => {
  const tab = await signedIn()

  for (let i = 0; i < 3; i++) {
    const [access, refresh] = [
      tab.localStorage.getItem('access_token'),
      tab.localStorage.getItem('refresh_token')
    ]
    await server.advance(30 * MINUTE)
    const response = await tab.api('/api/v1/orders')
    t.equal(response.status, 200)
    t.strictSame(await response.json(), { userId: '1', orders: [] })
    t.not(tab.localStorage.getItem('access_token'), access)
    t.not(tab.localStorage.getItem('refresh_token'), refresh)
  }
})

t.test('five concurrent requests succeed in one tab and in two', async t => {
  const tab = await signedIn()
  const other = openTab(tab.localStorage)
  await server.advance(30 * MINUTE)
  const pages = [tab, other, tab, other, tab].map(tab => tab.api('/api/v1/orders'))

  for (const { status } of await Promise.all(pages)) {
    t.equal(status, 200)
  }

  await server.advance(30 * MINUTE)
  t.equal((await other.api('/api/v1/orders')).status, 200)
  t.equal((await tab.api('/api/v1/orders')).status, 200)
})

t.test('two tabs with separate copies of a pair stay signed in', async t => {
  const tab = await signedIn()
  const copy = new Storage()

  for (const key of ['access_token', 'refresh_token']) {
    copy.setItem(key, tab.localStorage.getItem(key) ?? '')
  }

  const other = openTab(copy)
  await server.advance(30 * MINUTE)
  t.equal((await tab.api('/api/v1/orders')).status, 200)
  await server.advance(9 * SECOND)
  t.equal((await other.api('/api/v1/orders')).status, 200)
  t.equal(copy.getItem('refresh_token'), tab.localStorage.getItem('refresh_token'))
})

t.test('a lost response signs no user out', async t => {
  const { localStorage } = await signedIn()
  const tab = openTab(localStorage, losing({ path: '/api/v1/auth/refresh', times: 1 }))
  await server.advance(30 * MINUTE)
  await t.rejects(tab.api('/api/v1/orders'), { message: 'Failed to fetch' })
  await server.advance(MINUTE)
  t.equal((await tab.api('/api/v1/orders')).status, 200)
  t.notOk(tab.isAtLogin())
})

t.test('a copied pair revokes the session after both clients have used it', async t => {
  const [tab, thief] = [await signedIn(), openTab()]

  for (const key of ['access_token', 'refresh_token']) {
    thief.localStorage.setItem(key, tab.localStorage.getItem(key) ?? '')
  }

  await thief.refreshTokens()
  t.equal((await thief.api('/api/v1/orders')).status, 200)
  await server.advance(30 * MINUTE)
  t.equal((await tab.api('/api/v1/orders')).status, 401)
  t.ok(tab.isAtLogin())
  t.equal((await thief.api('/api/v1/orders')).status, 401)
})

t.test('the session list shows device and address, and logouts shorten it', async t => {
  const [laptop, phone] = [await signedIn('laptop'), await signedIn('phone')]

  const rows = async (): Promise<Array<Record<string, unknown>>> => {
    const response = await phone.api('/api/v1/auth/sessions')
    return (await response.json() as { sessions: Array<Record<string, unknown>> }).sessions
  }

  const [mine, ...others] = (await rows()).sort((a, b) => Number(b.current) - Number(a.current))
  t.match(mine, { current: true, device: 'phone', ip: '127.0.0.1', user_agent: 'node' })
  t.ok(others.some(({ device }) => device === 'laptop'))

  const before = laptop.localStorage.getItem('access_token') ?? ''
  t.equal(await laptop.logout(), 204)
  t.notOk((await rows()).some(({ device }) => device === 'laptop'))
  const late = await fetch(`${server.url}/api/v1/orders`, {
    headers: { authorization: `Bearer ${before}` }
  })
  t.equal(late.status, 401)

  const tablet = await signedIn('tablet')
  await server.advance(30 * MINUTE)
  t.equal(await phone.logout(true), 204, 'the wrapper refreshes first')
  t.equal((await tablet.api('/api/v1/orders')).status, 401)
  t.ok(tablet.isAtLogin())
})

t.test('a logout in one tab signs out the other tab', async t => {
  const tab = await signedIn()
  const other = openTab(tab.localStorage)
  t.equal(await tab.logout(), 204)
  t.equal((await other.api('/api/v1/orders')).status, 401)
  t.ok(other.isAtLogin())
})

t.test('tokens of the old system lead to the login page', async t => {
  const tab = openTab()

  for (const key of ['access_token', 'refresh_token']) {
    tab.localStorage.setItem(key, oldToken)
  }

  t.equal((await tab.api('/api/v1/orders')).status, 401)
  t.ok(tab.isAtLogin())
  tab.localStorage.setItem('refresh_token', oldToken)
  t.equal(await tab.logout(), 204)
})

t.test('an invalid password and a disabled user are rejected', async t => {
  t.equal(await openTab().login('ann', 'wrong'), 401)
  t.equal(await openTab().login('nobody', 'correct horse'), 401)
  const tab = await signedIn()
  await server.change('ann', { disabled: true })
  t.equal(await openTab().login('ann', 'correct horse'), 401)
  await server.advance(30 * MINUTE)
  t.equal((await tab.api('/api/v1/orders')).status, 401)
  t.ok(tab.isAtLogin())
  await server.change('ann', { disabled: false })
})

t.test('logout/all accepts the refresh token alone', async t => {
  const [laptop, phone] = [await signedIn('laptop'), await signedIn('phone')]
  const response = await fetch(`${auth}/logout/all`, {
    method: 'POST',
    body: new URLSearchParams({ refresh_token: laptop.localStorage.getItem('refresh_token') ?? '' })
  })
  t.equal(response.status, 204)
  t.equal((await phone.api('/api/v1/orders')).status, 401)
  t.ok(phone.isAtLogin())
  await server.advance(SECOND)
})

t.test('a session expires after a week without use and is deleted', async t => {
  const tab = await signedIn()
  await server.advance(7 * DAY)
  t.equal((await tab.api('/api/v1/orders')).status, 401)
  t.ok(tab.isAtLogin())
  await server.advance(DAY)
  t.ok(await server.sweep() > 0)
  t.equal(await server.sweep(), 0)
})

t.test('the log contains the reuse, and no security warning', async t => {
  t.strictSame(await server.close(), ['revoked a session because its refresh token was reused'])
})
