// These tests simulate a browser that logs in with examples/oauth2-login and its test provider.

import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { findFreePort } from '../../examples/shared/free-port.js'
import { startExample } from '../helpers/example-process.js'

interface User {
  readonly id: string
  disabled: boolean
}

// Loaded by URL, because the examples have the types of the built package.
const { buildApp } = await import(
  new URL('../../examples/oauth2-login/server.ts', import.meta.url).href
) as {
  buildApp(users: Map<string, User>, env: NodeJS.ProcessEnv): Promise<FastifyInstance>
}

const [appPort, providerPort] = [await findFreePort(), await findFreePort()]
const origin = `http://127.0.0.1:${appPort}`
const provider = `http://127.0.0.1:${providerPort}`
const CLIENT_SECRET = 'secret-of-this-test'

const users = new Map<string, User>()
await startExample(t, 'oauth2-login/provider.ts', {
  PORT: String(providerPort),
  CLIENT_SECRET,
  REDIRECT_URI: `${origin}/login/callback`
})
const app = await buildApp(users, { ORIGIN: origin, PROVIDER: provider, CLIENT_SECRET })
app.log.level = 'silent'
t.teardown(() => app.close())
await app.listen({ host: '127.0.0.1', port: appPort })

interface Browser {
  /** Cookies of the app, by name. */
  readonly cookies: Map<string, string>
  send(method: string, url: string, headers?: Record<string, string>): Promise<Response>
  /**
   * Starts a login, and selects a user at the provider.
   *
   * @returns The callback URL that the provider redirects to.
   */
  startLogin(name: string): Promise<URL>
  signIn(name: string): Promise<Response>
  refresh(): Promise<
    { status: number, body: { access_token: string, refresh_token?: string, code?: string } }
  >
}

function openBrowser (): Browser {
  const cookies = new Map<string, string>()

  const send: Browser['send'] = async (method, url, headers = {}) => {
    const isOwn = url.startsWith(`${origin}/`)
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: { ...(isOwn && cookie !== '' && { cookie }), ...headers }
    })

    for (const line of isOwn ? response.headers.getSetCookie() : []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      cookies.delete(name)

      if (value !== '') {
        cookies.set(name, value)
      }
    }

    return response
  }

  const startLogin: Browser['startLogin'] = async name => {
    const authorizeUrl = (await send('GET', `${origin}/login`)).headers.get('location') ?? ''
    const page = await (await send('GET', authorizeUrl)).text()
    const [, link = ''] = new RegExp(`href="([^"]+)">Continue as ${name}<`).exec(page) ?? []

    return new URL(
      (await send('GET', provider + link.replaceAll('&amp;', '&'))).headers.get('location') ?? ''
    )
  }

  return {
    cookies,
    send,
    startLogin,
    signIn: async name => send('GET', (await startLogin(name)).href),
    async refresh () {
      const response = await send('POST', `${origin}/auth/refresh`, {
        'sec-fetch-site': 'same-origin'
      })
      return { status: response.status, body: await response.json() as { access_token: string } }
    }
  }
}

async function whoami (
  token: string
): Promise<{ status: number, body: { userId: string, amr: string[] } }> {
  const response = await fetch(`${origin}/whoami`, {
    headers: { authorization: `Bearer ${token}` }
  })

  return {
    status: response.status,
    body: await response.json() as { userId: string, amr: string[] }
  }
}

t.test('the callback opens a session with the method "fed"', async t => {
  const browser = openBrowser()
  const toProvider = new URL(
    (await browser.send('GET', `${origin}/login`)).headers.get('location') ?? ''
  )
  t.equal(toProvider.origin + toProvider.pathname, `${provider}/authorize`)
  t.match(Object.fromEntries(toProvider.searchParams), {
    response_type: 'code',
    client_id: 'example',
    redirect_uri: `${origin}/login/callback`,
    code_challenge_method: 'S256',
    code_challenge: /^[\w-]{43}$/,
    state: /^[\w-]{22}$/
  })
  t.strictSame([...browser.cookies.keys()].sort(), [
    '__Host-oauth2-code-verifier',
    '__Host-oauth2-redirect-state'
  ])

  const callback = await browser.signIn('ann')
  t.strictSame([
    callback.status,
    callback.headers.get('location'),
    callback.headers.get('cache-control')
  ], [
    302,
    '/',
    'no-store'
  ])
  t.match(
    callback.headers.getSetCookie().find(line => line.startsWith('__Host-auth-refresh=')),
    /; Path=\/; HttpOnly; Secure; SameSite=Strict$/
  )
  t.strictSame(
    [...browser.cookies.keys()],
    ['__Host-auth-refresh'],
    'the cookies of state and verifier are deleted'
  )
  t.match(await (await browser.send('GET', `${origin}/`)).text(), '/auth/refresh')

  const first = await browser.refresh()
  t.equal(first.status, 200)
  t.notOk(first.body.refresh_token)
  const { status, body } = await whoami(first.body.access_token)
  t.equal(status, 200)
  t.match(body, { userId: users.get(`${provider} ann`)?.id, amr: ['fed'] })
  const refreshToken = browser.cookies.get('__Host-auth-refresh')
  const second = await browser.refresh()
  t.equal((await whoami(second.body.access_token)).status, 200)
  t.equal(browser.cookies.get('__Host-auth-refresh'), refreshToken, 'the grace period keeps it')

  t.equal(
    (await browser.send('POST', `${origin}/auth/logout`, { 'sec-fetch-site': 'same-origin' }))
      .status,
    204
  )
  t.equal(browser.cookies.size, 0)
  t.equal((await whoami(second.body.access_token)).status, 401)
  browser.cookies.set('__Host-auth-refresh', refreshToken ?? '')
  t.equal((await browser.refresh()).body.code, 'AUTH_REFRESH_REVOKED')
})

t.test('a subject of the provider is the same user at each login', async t => {
  const ids: string[] = []

  for (const name of ['ann', 'bob', 'ann']) {
    const browser = openBrowser()
    await browser.signIn(name)
    ids.push((await whoami((await browser.refresh()).body.access_token)).body.userId)
  }

  t.equal(ids[0], ids[2])
  t.not(ids[0], ids[1])
  t.strictSame([...users.keys()], [`${provider} ann`, `${provider} bob`])
})

t.test('the callback rejects logins that this browser did not start', async t => {
  async function assertRejected (name: string, browser: Browser, url: URL): Promise<void> {
    const response = await browser.send('GET', url.href)
    t.equal(response.status, 401, name)
    t.strictSame([...browser.cookies.keys()], [], name)
  }

  const otherBrowser = openBrowser()
  await assertRejected('another browser', otherBrowser, await openBrowser().startLogin('ann'))

  const browser = openBrowser()
  const wrongState = await browser.startLogin('ann')
  wrongState.searchParams.set('state', 'another')
  await assertRejected('another state', browser, wrongState)
  const noState = await browser.startLogin('ann')
  noState.searchParams.delete('state')
  await assertRejected('no state', browser, noState)

  const valid = await browser.startLogin('ann')
  const injected = await otherBrowser.startLogin('bob')
  injected.searchParams.set('code', valid.searchParams.get('code') ?? '')
  await assertRejected(
    'the code of another browser',
    otherBrowser,
    injected
  )
  await assertRejected('a code that was presented before', browser, valid)

  const guessed = await browser.startLogin('ann')
  guessed.searchParams.set('code', 'guessed')
  await assertRejected('a code that the provider did not issue', browser, guessed)
  await assertRejected(
    'a user that the provider rejects',
    browser,
    await browser.startLogin('nobody')
  )

  const twice = await browser.startLogin('ann')
  const cookies = new Map(browser.cookies)
  t.equal((await browser.send('GET', twice.href)).status, 302)
  browser.cookies.clear()

  for (const [name, value] of cookies) {
    browser.cookies.set(name, value)
  }

  await assertRejected('a callback that was used before', browser, twice)
})

t.test('a disabled user is signed out and cannot log in', async t => {
  const browser = openBrowser()
  await browser.signIn('bob')
  const bob = users.get(`${provider} bob`) as User
  bob.disabled = true
  const refreshed = await browser.refresh()
  t.strictSame([refreshed.status, refreshed.body.code], [401, 'AUTH_REFRESH_REVOKED'])
  browser.cookies.clear()
  const callback = await browser.signIn('bob')
  t.strictSame([callback.status, (await callback.json() as { code: string }).code], [
    401,
    'AUTH_CREDENTIALS_REJECTED'
  ])
  t.notOk(browser.cookies.has('__Host-auth-refresh'))
  bob.disabled = false
  t.equal((await browser.signIn('bob')).status, 302)
})

t.test('oauth2-login/server.ts starts as its README says', async t => {
  const port = await findFreePort()
  await startExample(t, 'oauth2-login/server.ts', {
    PORT: String(port),
    ORIGIN: `http://127.0.0.1:${port}`,
    PROVIDER: provider
  })
  const response = await fetch(`http://127.0.0.1:${port}/login`, { redirect: 'manual' })
  t.ok(response.headers.get('location')?.startsWith(`${provider}/authorize?`))
})
