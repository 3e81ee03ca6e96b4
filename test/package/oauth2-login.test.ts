// examples/oauth2-login: the whole dance between a browser, the app and a provider of its own, and what must not come of it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { freePort } from '../../examples/shared/free-port.js'
import { childEnv } from '../helpers/child-env.js'
import { root } from '../helpers/consumer.js'

interface Person {
  readonly id: string
  disabled: boolean
}

// By its address, since its types are those of the package as it was built.
const { buildApp } = await import(
  new URL('../../examples/oauth2-login/index.ts', import.meta.url).href
) as {
  buildApp(people: Map<string, Person>, env: NodeJS.ProcessEnv): Promise<FastifyInstance>
}

/** Starts an example in a process of its own, and waits until it says that it listens. */
async function start (t: Test, file: string, env: Record<string, string>): Promise<void> {
  const child = spawn(process.execPath, ['--import', 'tsx', `examples/oauth2-login/${file}`], {
    cwd: root,
    env: childEnv(env),
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await ended
  })

  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('listen')) {
      return
    }
  }

  throw new Error(`${file} did not start`)
}

const [appPort, providerPort] = [await freePort(), await freePort()]
const origin = `http://127.0.0.1:${appPort}`
const provider = `http://127.0.0.1:${providerPort}`
const CLIENT_SECRET = 'of-this-test-alone'

const people = new Map<string, Person>()
await start(t, 'provider.ts', {
  PORT: String(providerPort),
  CLIENT_SECRET,
  REDIRECT_URI: `${origin}/login/callback`
})
const app = await buildApp(people, { ORIGIN: origin, PROVIDER: provider, CLIENT_SECRET })
app.log.level = 'silent'
t.teardown(() => app.close())
await app.listen({ host: '127.0.0.1', port: appPort })

interface Browser {
  /** Of the app. */
  readonly cookies: Map<string, string>
  send(method: string, url: string, headers?: Record<string, string>): Promise<Response>
  /** Asks the app for a login, and goes on at the provider under that name: where it sends the browser then. */
  begin(name: string): Promise<URL>
  signIn(name: string): Promise<Response>
  refresh(): Promise<
    { status: number, body: { access_token: string, refresh_token?: string, code?: string } }
  >
}

function open (): Browser {
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

  const begin: Browser['begin'] = async name => {
    const there = (await send('GET', `${origin}/login`)).headers.get('location') ?? ''
    const page = await (await send('GET', there)).text()
    const [, link = ''] = new RegExp(`href="([^"]+)">Go on as ${name}<`).exec(page) ?? []

    return new URL(
      (await send('GET', provider + link.replaceAll('&amp;', '&'))).headers.get('location') ?? ''
    )
  }

  return {
    cookies,
    send,
    begin,
    signIn: async name => send('GET', (await begin(name)).href),
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

t.test('who has gone to the provider and back is signed in, by a session of the app that says how it began', async t => {
  const browser = open()
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

  const back = await browser.signIn('ann')
  t.strictSame([back.status, back.headers.get('location'), back.headers.get('cache-control')], [
    302,
    '/',
    'no-store'
  ])
  t.match(
    back.headers.getSetCookie().find(line => line.startsWith('__Host-auth-refresh=')),
    /; Path=\/; HttpOnly; Secure; SameSite=Strict$/
  )
  t.strictSame([...browser.cookies.keys()], ['__Host-auth-refresh'], 'state and verifier are gone')
  t.match(await (await browser.send('GET', `${origin}/`)).text(), '/auth/refresh')

  const first = await browser.refresh()
  t.equal(first.status, 200)
  t.notOk(first.body.refresh_token)
  const { status, body } = await whoami(first.body.access_token)
  t.equal(status, 200)
  t.match(body, { userId: people.get(`${provider} ann`)?.id, amr: ['fed'] })
  const held = browser.cookies.get('__Host-auth-refresh')
  const second = await browser.refresh()
  t.equal((await whoami(second.body.access_token)).status, 200)
  t.equal(browser.cookies.get('__Host-auth-refresh'), held, 'a moment later it is the same')

  t.equal(
    (await browser.send('POST', `${origin}/auth/logout`, { 'sec-fetch-site': 'same-origin' }))
      .status,
    204
  )
  t.equal(browser.cookies.size, 0)
  t.equal((await whoami(second.body.access_token)).status, 401)
  browser.cookies.set('__Host-auth-refresh', held ?? '')
  t.equal((await browser.refresh()).body.code, 'AUTH_REFRESH_REVOKED')
})

t.test('the same person is the same user, and another one is another', async t => {
  const ids: string[] = []

  for (const name of ['ann', 'bob', 'ann']) {
    const browser = open()
    await browser.signIn(name)
    ids.push((await whoami((await browser.refresh()).body.access_token)).body.userId)
  }

  t.equal(ids[0], ids[2])
  t.not(ids[0], ids[1])
  t.strictSame([...people.keys()], [`${provider} ann`, `${provider} bob`])
})

t.test('a callback that this browser has not begun, or not with this code, signs nobody in', async t => {
  async function isRefused (name: string, browser: Browser, url: URL): Promise<void> {
    const response = await browser.send('GET', url.href)
    t.equal(response.status, 401, name)
    t.strictSame([...browser.cookies.keys()], [], name)
  }

  const stranger = open()
  await isRefused('another browser', stranger, await open().begin('ann'))

  const browser = open()
  const wrongState = await browser.begin('ann')
  wrongState.searchParams.set('state', 'another')
  await isRefused('another state', browser, wrongState)
  const noState = await browser.begin('ann')
  noState.searchParams.delete('state')
  await isRefused('no state', browser, noState)

  const good = await browser.begin('ann')
  const injected = await stranger.begin('bob')
  injected.searchParams.set('code', good.searchParams.get('code') ?? '')
  await isRefused(
    'the code of another browser, for which this one has no verifier',
    stranger,
    injected
  )
  await isRefused('a code that was tried before', browser, good)

  const guessed = await browser.begin('ann')
  guessed.searchParams.set('code', 'guessed')
  await isRefused('a code that the provider has not given', browser, guessed)
  await isRefused('who was refused there', browser, await browser.begin('nobody'))

  const twice = await browser.begin('ann')
  const held = new Map(browser.cookies)
  t.equal((await browser.send('GET', twice.href)).status, 302, 'on which the rest rests')
  browser.cookies.clear()

  for (const [name, value] of held) {
    browser.cookies.set(name, value)
  }

  await isRefused('the same a second time', browser, twice)
})

t.test('a user whom the app has disabled is refused, and signed out', async t => {
  const browser = open()
  await browser.signIn('bob')
  const bob = people.get(`${provider} bob`) as Person
  bob.disabled = true
  const refreshed = await browser.refresh()
  t.strictSame([refreshed.status, refreshed.body.code], [401, 'AUTH_REFRESH_REVOKED'])
  browser.cookies.clear()
  const back = await browser.signIn('bob')
  t.strictSame([back.status, (await back.json() as { code: string }).code], [
    401,
    'AUTH_CREDENTIALS_REJECTED'
  ])
  t.notOk(browser.cookies.has('__Host-auth-refresh'))
  bob.disabled = false
  t.equal((await browser.signIn('bob')).status, 302)
})

t.test('it starts as its README says', async t => {
  const port = await freePort()
  await start(t, 'index.ts', {
    PORT: String(port),
    ORIGIN: `http://127.0.0.1:${port}`,
    PROVIDER: provider
  })
  const response = await fetch(`http://127.0.0.1:${port}/login`, { redirect: 'manual' })
  t.ok(response.headers.get('location')?.startsWith(`${provider}/authorize?`))
})
