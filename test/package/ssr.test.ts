// examples/ssr over real HTTP: two servers that render pages, each with an instance of the API.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { MINUTE } from '../helpers/clock.js'
import { createConsumer, root } from '../helpers/consumer.js'
import { startExample } from '../helpers/example-process.js'
import { LOGIN, logIn, openBrowser, startSite } from '../helpers/ssr-site.js'

const getRefreshCookie = (cookies: string): string | undefined =>
  /__Host-auth-refresh=[^;]+/.exec(cookies)?.[0]

t.test('a page shows the data of all loaders, and no token', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  site.clock.advance(20 * MINUTE)
  const { status, html, setCookies } = await browser.open(site.urls[0])
  t.equal(status, 200)
  t.match(html, /Hello Ann &#60;ann@example\.org&#62;.*tea.*cups.*Your order is ready/s)
  t.equal(setCookies.length, 2, 'the tokens were refreshed')
  const tokens = setCookies.map(header => header.split(/[=;]/)[1] ?? '')

  for (const token of tokens) {
    t.ok(token.length > 100)
    t.notOk(html.includes(token), 'no token in the HTML')
  }

  t.notMatch(html, /eyJ/, 'no JWT in the HTML')
})

t.test('a page of a browser without cookies is the login page', async t => {
  const site = await startSite(t)
  const { status, html, setCookies } = await openBrowser(site).open(site.urls[0])
  t.equal(status, 200)
  t.match(html, /<h1>Log in/)
  t.strictSame(setCookies, [])
})

t.test('a page whose access token does not expire soon refreshes nothing', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  site.clock.advance(13 * MINUTE)
  t.strictSame((await browser.open(site.urls[0])).setCookies, [])
  site.clock.advance(1.5 * MINUTE)
  t.equal((await browser.open(site.urls[0])).setCookies.length, 2, 'half a minute before')
  t.strictSame(site.events, ['rotated'])
})

t.test('pages and their responses are not cached', async t => {
  const site = await startSite(t)
  await logIn(site)
  const response = await fetch(site.urls[0])
  t.equal(response.headers.get('cache-control'), 'private, no-store')
})

t.test('pages that are opened at once on two servers get one successor', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  site.clock.advance(20 * MINUTE)
  const pages = await Promise.all(
    Array.from({ length: 10 }, (_, i) => browser.open(site.urls[i % 2] as string))
  )
  t.strictSame(new Set(pages.map(({ status }) => status)), new Set([200]))
  t.ok(pages.every(({ html }) => html.includes('Hello Ann')))
  t.equal(new Set(pages.map(({ setCookies }) => getRefreshCookie(setCookies.join()))).size, 1)
  t.equal(site.events.filter(name => name === 'rotated').length, 1, 'one rotation')
  t.equal(site.events.filter(name => name === 'replay').length, 9, 'the others are replays')
  site.clock.advance(20 * MINUTE)
  t.match((await browser.open(site.urls[1])).html, /Hello Ann/)
})

t.test('loaders that refresh by themselves get one successor too', async t => {
  const site = await startSite(t)
  const { cookie } = await logIn(site)
  site.clock.advance(20 * MINUTE)
  const responses = await Promise.all(
    Array.from({ length: 6 }, (_, i) =>
      fetch(`${site.apiUrls[i % 2]}/auth/refresh`, {
        method: 'POST',
        headers: { cookie, 'x-token-transport': 'cookie' }
      }))
  )
  t.strictSame(new Set(responses.map(({ status }) => status)), new Set([200]))
  t.equal(
    new Set(responses.map(({ headers }) => getRefreshCookie(headers.getSetCookie().join()))).size,
    1
  )
})

t.test('a browser whose Set-Cookie was lost stays signed in', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)

  for (let round = 0; round < 5; round++) {
    site.clock.advance(20 * MINUTE)
    const before = browser.cookie
    await browser.openAndLeave(site.urls[0])
    t.equal(browser.cookie, before, 'the new cookies have not arrived')
    site.clock.advance(5 * MINUTE)
    const { html, setCookies } = await browser.open(site.urls[1])
    t.match(html, /Hello Ann/)
    t.equal(setCookies.length, 2)
  }

  t.strictSame(new Set(site.events), new Set(['rotated', 'recovery']))
})

t.test('a cookie that is lost many times in a row signs nobody out', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)

  for (let round = 0; round < 20; round++) {
    site.clock.advance(20 * MINUTE)
    const { html } = await browser.open(site.urls[round % 2] as string, { keepsCookies: false })
    t.match(html, /Hello Ann/)
  }
})

t.test('with confirmBy "access", a lost Set-Cookie signs the user out', async t => {
  const site = await startSite(t, { confirmBy: 'access' })
  const browser = await logIn(site)
  site.clock.advance(20 * MINUTE)
  await browser.openAndLeave(site.urls[0])
  site.clock.advance(MINUTE)
  t.match((await browser.open(site.urls[0])).html, /<h1>Log in/)
  t.strictSame(site.events, ['rotated', 'reuse'])
})

t.test('an old cookie is reuse after the browser has presented the new one', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  const thief = openBrowser(site, browser.cookie)

  // The first refresh creates the new cookie, and the second one presents it.
  for (let refreshes = 0; refreshes < 2; refreshes++) {
    site.clock.advance(20 * MINUTE)
    await browser.open(site.urls[0])
  }

  site.clock.advance(MINUTE)
  t.match((await thief.open(site.urls[1])).html, /<h1>Log in/)
  t.strictSame(site.events, ['rotated', 'rotated', 'reuse'])
  t.match((await browser.open(site.urls[1])).html, /<h1>Log in/, 'the session is revoked')
})

t.test('an old cookie before that is a recovery by another client, and reported', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  const thief = openBrowser(site, browser.cookie)
  site.clock.advance(20 * MINUTE)
  await browser.open(site.urls[0])
  site.clock.advance(MINUTE)
  t.match((await thief.open(site.urls[1])).html, /Hello Ann/, 'the price of confirmBy "refresh"')
  t.strictSame(site.events, ['rotated', 'suspicious-replay', 'recovery'])

  // From now on the attacker has the same tokens as the browser. Each round is reported again.
  for (let round = 0; round < 3; round++) {
    site.events.length = 0
    site.clock.advance(20 * MINUTE)
    await thief.open(site.urls[1])
    site.clock.advance(MINUTE)
    t.match((await browser.open(site.urls[0])).html, /Hello Ann/)
    t.ok(site.events.includes('suspicious-replay'), `round ${round}`)
  }
})

t.test('with replayDetection "revoke", the same attacker gets no page', async t => {
  const site = await startSite(t, { replayDetection: 'revoke' })
  const browser = await logIn(site)
  const thief = openBrowser(site, browser.cookie)
  site.clock.advance(20 * MINUTE)
  await browser.open(site.urls[0])
  site.clock.advance(MINUTE)
  t.match((await thief.open(site.urls[1])).html, /<h1>Log in/)
  t.match((await browser.open(site.urls[1])).html, /<h1>Log in/, 'the session is revoked')
  t.strictSame(site.events, ['rotated', 'suspicious-replay'])
})

t.test('a failing store keeps the cookies, and is 503 after the access token', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  const { cookie } = browser
  site.clock.advance(14.5 * MINUTE)
  site.connection.break('throws')
  t.match(await browser.open(site.urls[0]), { status: 200, html: /Hello Ann/, setCookies: [] })
  site.clock.advance(MINUTE)
  t.match(await browser.open(site.urls[0]), { status: 503, setCookies: [] })
  site.connection.break(null)
  t.equal(getRefreshCookie(browser.cookie), getRefreshCookie(cookie))
  t.match(await browser.open(site.urls[0]), { status: 200, html: /Hello Ann/ })
})

t.test('a logout ends the session on both servers, and removes the cookies', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  const copy = openBrowser(site, browser.cookie)
  t.equal((await browser.post('/logout')).status, 303)
  t.notMatch(browser.cookie, /auth-(refresh|access)/)
  t.match((await browser.open(site.urls[0])).html, /<h1>Log in/)
  t.match((await copy.open(site.urls[0])).html, /<h1>Log in/)
})

t.test('forms of other sites can neither log in nor log out', async t => {
  const site = await startSite(t)
  const browser = await logIn(site)
  const foreign = { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
  t.equal((await browser.post('/login', LOGIN, foreign)).status, 403)
  t.equal((await browser.post('/logout', '', foreign)).status, 403)
  t.match((await browser.open(site.urls[0])).html, /Hello Ann/)
})

t.test('ssr/server.ts starts both servers', async t => {
  const { url, stop } = await startExample(t, 'ssr/server.ts')
  t.match(await (await fetch(url)).text(), /<h1>Log in/)
  const response = await fetch(`${url}/login`, {
    method: 'POST',
    headers: { 'sec-fetch-site': 'same-origin' },
    body: new URLSearchParams(LOGIN),
    redirect: 'manual'
  })
  t.equal(response.status, 303)
  const cookie = response.headers.getSetCookie().map(line => line.split(';')[0]).join('; ')
  t.match(await (await fetch(url, { headers: { cookie } })).text(), /Hello Ann/)
  t.strictSame(await stop(), [0, null])
})

// Next is not installed here. A part of its types stands in for it.
const nextTypes = `
declare module 'next/server' {
  export interface NextRequest extends Request {}
  export class NextResponse extends Response {
    static next (init?: { request?: { headers?: Headers } }): NextResponse
  }
}
declare module 'next/headers' {
  export function headers (): Promise<Pick<Headers, 'get'>>
}`

t.test('the code for Next compiles', async t => {
  const guide = readFileSync(join(root, 'examples/ssr/README.md'), 'utf8')
  const blocks = [...guide.matchAll(/^```typescript\n\/\/ (\S+)\n(.*?)^```$/gms)]
  t.strictSame(blocks.map(([, file]) => file), ['proxy.ts', 'page.tsx'])
  const consumer = createConsumer(['@types/node'])
  t.teardown(() => {
    consumer.remove()
  })
  consumer.write(
    'tsconfig.json',
    JSON.stringify({
      compilerOptions: {
        target: 'ES2023',
        lib: ['ES2023', 'DOM', 'DOM.Iterable'],
        module: 'preserve',
        strict: true,
        jsx: 'preserve',
        types: ['node'],
        noEmit: true
      },
      include: ['*.ts', '*.tsx']
    })
  )
  consumer.write('next.d.ts', nextTypes)
  const core = readFileSync(join(root, 'examples/ssr/refresh-ahead.ts'), 'utf8')
  consumer.write('refresh-ahead.ts', core)

  for (const [, file = '', code = ''] of blocks) {
    consumer.write(file, code.replace('./lib/refresh-ahead', './refresh-ahead'))
  }

  t.equal(await consumer.compile(), '')
  consumer.write('wrong.ts', 'import { NextResponse } from "next/server"\nNextResponse.proxy()')
  t.match(await consumer.compile(), /wrong\.ts.*'proxy' does not exist/)
})
