// Chromium opens the pages of the examples: React, the plain page, cookies and DPoP.

import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { serveClientBundle } from '../../examples/shared/client-bundle.js'
import { createTestApp, PASSWORD } from '../helpers/app.js'
import {
  getChromiumSkipReason as getSkipReason,
  getRefreshCookies as getCookies,
  startApp,
  startBrowser
} from '../helpers/browser/browser.js'
import { waitUntil } from '../helpers/browser/client-page.js'
import { root } from '../helpers/consumer.js'
import { ann as exampleUser, startExample } from '../helpers/example-process.js'

const folder = join(root, 'examples/client')

t.test('pages of the examples', { skip: getSkipReason() }, async t => {
  const browser = await startBrowser(t)
  t.afterEach(() => browser.clearCookies())

  const open = async (t: Test, url: string): Promise<Page> => {
    const page = await browser.newPage()
    t.teardown(() => page.close())
    page.on('pageerror', error => {
      t.fail(error.message)
    })
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().includes('401')) {
        t.fail(message.text())
      }
    })
    await page.goto(url)
    return page
  }

  await t.test('react.tsx shares the session of tabs in Strict Mode', async t => {
    const { outputFiles } = await build({
      stdin: { contents: reactPage, resolveDir: folder, loader: 'tsx' },
      alias: {
        'fastify-token-auth/client/react': join(root, 'src/client/react/index.ts'),
        'fastify-token-auth/client': join(root, 'src/client/index.ts')
      },
      bundle: true,
      format: 'esm',
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
      write: false
    })
    const app = await startApp(t, {
      options: { refreshToken: { transport: 'cookie' } },
      before (app) {
        app.get(
          '/page.js',
          (_request, reply) => reply.type('text/javascript').send(outputFiles[0]?.text)
        )
        app.get('/page', (_request, reply) =>
          reply.type('text/html').send(
            '<!doctype html><link rel="icon" href="data:,"><body><div id="root"></div>' +
              '<script type="module" src="/page.js"></script>'
          ))
      }
    })
    const page = await open(t, `${app.origin}/page`)
    const other = await open(t, `${app.origin}/page`)
    const showsForm = (page: Page): Promise<void> => page.locator('form').waitFor()

    const showsUser = async (page: Page): Promise<void> => {
      await page.locator('[role=status]').filter({ hasText: 'Signed in as ann' }).waitFor()
      await page.locator('output').filter({ hasText: 'u-ann' }).waitFor()
    }

    for (const each of [page, other]) {
      await showsForm(each)
    }

    await page.fill('[name=username]', 'ann')
    await page.fill('[name=password]', 'wrong')
    await page.click('form button')
    await page.locator('[role=alert]').filter({ hasText: 'AUTH_CREDENTIALS_REJECTED' }).waitFor()
    await page.fill('[name=password]', PASSWORD)
    await page.click('form button')

    for (const each of [page, other]) {
      await showsUser(each)
    }

    await page.reload()
    await showsUser(page)
    await page.evaluate('hotReload()')
    await showsUser(page)
    t.equal((await app.store.list('auth', 'u-ann', { now: app.clock(), limit: 9 })).length, 1)

    await other.click('button')

    for (const each of [page, other]) {
      await showsForm(each)
    }

    await waitUntil(async () => Object.keys(await getCookies(browser, app)).length === 0)
    t.notOk(app.events.some(({ name }) => name === 'reuse'))
  })

  await t.test('plain.html logs in over http on localhost', async t => {
    const { app, events } = await createTestApp({
      options: { refreshToken: { transport: 'cookie' } },
      // Chromium opens a connection in advance, and may send no request on it.
      fastify: { forceCloseConnections: true },
      before (app) {
        app.get(
          '/',
          (_request, reply) =>
            reply.type('text/html').send(readFileSync(join(folder, 'plain.html'), 'utf8'))
        )
        serveClientBundle(app)
      }
    })
    t.teardown(() => app.close())
    await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
    const page = await open(t, `http://localhost:${(app.server.address() as AddressInfo).port}/`)
    const showsStatus = (text: string): Promise<unknown> =>
      page.waitForFunction(`document.querySelector('[role=status]').textContent === '${text}'`)
    await showsStatus('signed-out')
    await page.fill('[name=username]', 'ann')
    await page.fill('[name=password]', 'wrong')
    await page.click('form button')
    await showsStatus('AUTH_CREDENTIALS_REJECTED')
    await page.fill('[name=username]', 'ann')
    await page.fill('[name=password]', PASSWORD)
    await page.click('form button')
    await showsStatus('Signed in as ann')
    t.equal(await page.isVisible('form'), false)
    await page.reload()
    await showsStatus('Signed in as ann')
    await page.click('#call')
    await page.waitForFunction('document.querySelector(\'output\').textContent.includes(\'u-ann\')')
    await page.click('#logout')
    await showsStatus('signed-out')
    await waitUntil(() => events.length === 4)
    t.strictSame(events.map(({ name }) => name), [
      'login-rejected',
      'login',
      'refresh',
      'session-ended'
    ])
  })

  await t.test('browser-cookies refreshes its cookies and shows no token', async t => {
    const { url } = await startExample(t, 'browser-cookies/server.ts')
    const page = await open(t, url)
    const showsStatus = (text: string): Promise<void> =>
      page.locator('[role=status]').filter({ hasText: text }).waitFor()
    const showsOutput = (text: string): Promise<void> =>
      page.locator('output').filter({ hasText: text }).waitFor()
    await showsStatus('Signed out')
    await page.fill('[name=username]', exampleUser.username)
    await page.fill('[name=password]', exampleUser.password)
    await page.click('form button')
    await showsStatus('Signed in as ann')
    t.strictSame(Object.keys(await getCookies(browser, { origin: url })).sort(), [
      '__Host-auth-access',
      '__Host-auth-device',
      '__Host-auth-refresh'
    ])
    t.equal(await page.evaluate('document.cookie'), '', 'no script can read a cookie')
    await page.click('#load')
    await showsOutput('{"userId":"1"}')

    await browser.clearCookies({ name: '__Host-auth-access' })
    await page.reload()
    await showsStatus('Signed in as ann')
    t.ok(
      (await getCookies(browser, { origin: url }))['__Host-auth-access'],
      'the page refreshed it'
    )
    await page.click('#logout')
    await showsStatus('Signed out')
    await page.reload()
    await showsStatus('Signed out')
  })

  await t.test('dpop rejects a copied token without its key', async t => {
    const { url } = await startExample(t, 'dpop/server.ts')
    const page = await open(t, url)
    const showsStatus = (text: string): Promise<void> =>
      page.locator('[role=status]').filter({ hasText: text }).waitFor()
    const showsOutput = (text: string): Promise<void> =>
      page.locator('output').filter({ hasText: text }).waitFor()
    await showsStatus('signed-out')
    await page.fill('[name=username]', exampleUser.username)
    await page.fill('[name=password]', exampleUser.password)
    await page.click('form button')
    await showsStatus('Signed in as ann')
    await page.click('#with-key')
    await showsOutput('200: {"userId":"1"}')
    await page.click('#without-key')
    await showsOutput('401: ')
    t.match(await page.textContent('output'), '"code":"AUTH_')
    await page.click('#logout')
    await showsStatus('signed-out')
  })
})

const reactPage = `
  import { StrictMode } from 'react'
  import { createRoot } from 'react-dom/client'
  import { createAuthClient } from 'fastify-token-auth/client'
  import { App, createQueryClient } from './react.js'

  const root = createRoot(document.querySelector('#root'))
  let auth
  globalThis.hotReload = () => {
    auth?.dispose()
    auth = createAuthClient()
    root.render(<StrictMode><App auth={auth} queryClient={createQueryClient(auth)} /></StrictMode>)
  }
  hotReload()`
