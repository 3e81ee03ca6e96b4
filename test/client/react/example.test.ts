// The components of examples/client/react.tsx, with TanStack Query and a server.

import type { QueryClient } from '@tanstack/react-query'
import t from 'tap'
import type { AuthClient } from '../../../src/client/index.js'
import { createDocument } from '../../helpers/document.js'
import { createPage, loadReact, reactVersions } from '../../helpers/react.js'
import type { ReactPage } from '../../helpers/react.js'
import { createWorld, credentials } from '../world.js'
import type { World } from '../world.js'

interface Modules {
  readonly App: React.FunctionComponent<{ auth: AuthClient | null, queryClient: QueryClient }>
  readonly RequireAuth: React.FunctionComponent<{ fallback: React.ReactNode }>
  readonly createQueryClient: (auth: AuthClient) => QueryClient
  readonly createTestClient: <User extends object>(
    user: User | null,
    respond?: (request: Request) => Response
  ) => Promise<AuthClient<User>>
  readonly QueryClient: typeof QueryClient
  readonly notifyManager: { setScheduler(schedule: (notify: () => void) => void): void }
}

const document = createDocument(t)

for (const reactVersion of reactVersions) {
  const modules = await loadReact<Modules>(
    t,
    reactVersion,
    `
    export * from './examples/client/react.tsx'
    export * from './examples/client/test-client.ts'
    export { notifyManager, QueryClient } from '@tanstack/react-query'`
  )
  const { App, createQueryClient, React, renderToString } = modules
  const { createElement, StrictMode } = React
  // `act` then waits for the results of queries.
  modules.notifyManager.setScheduler(queueMicrotask)

  interface Setup {
    readonly world: World
    readonly auth: AuthClient
    readonly page: ReactPage
    readonly queryClient: QueryClient
    act(step: () => Promise<unknown>): Promise<void>
  }

  async function setUp (t: Parameters<typeof createWorld>[0]): Promise<Setup> {
    const world = await createWorld(t)
    const auth = world.open()
    const queryClient = createQueryClient(auth)
    t.teardown(() => {
      queryClient.clear()
    })
    const page = createPage(t, document, modules)
    const app = createElement(App, { auth, queryClient })
    await page.render(createElement(StrictMode, null, app))

    return {
      world,
      auth,
      page,
      queryClient,
      async act (step) {
        await React.act(() => world.until(step()))
        // Components render at the end of `act`, and then send their requests.
        await React.act(() => world.run())
      }
    }
  }

  const readCache = (queryClient: QueryClient): unknown[] =>
    queryClient.getQueryCache().getAll().map(query => query.state.data)

  t.test(`React ${reactVersion.version}`, async t => {
    await t.test('a login shows the data of the user, and a logout the form', async t => {
      const { auth, page, queryClient, act } = await setUp(t)
      t.equal(page.text, '', 'neither the form nor the app is visible before the client knows')
      await act(() => auth.ready)
      t.equal(page.text, 'Sign in')
      await act(() => auth.login(credentials()))
      t.equal(page.text, 'Signed in as annu-annSign out')
      t.match(readCache(queryClient), [{ userId: 'u-ann' }])
      await act(() => auth.logout())
      t.equal(page.text, 'Sign in')
      t.strictSame(readCache(queryClient), [])
      t.strictSame(page.errors, [])
    })

    await t.test('another user sees no cached data', async t => {
      const { auth, page, queryClient, act } = await setUp(t)
      const shown: string[] = []
      await act(() => auth.login(credentials()))
      queryClient.setQueryData(['/private'], 'data of ann')
      t.equal(page.text, 'Signed in as annu-annSign out')
      auth.subscribe(() => {
        shown.push(...readCache(queryClient).map(String))
      })
      await act(() => auth.login(credentials('bob')))
      t.equal(page.text, 'Signed in as bobu-bobSign out')
      t.match(readCache(queryClient), [{ userId: 'u-bob' }])
      t.strictSame(shown, [], 'the cache is empty before listeners and components see the state')
    })

    await t.test('a logout in another tab clears the cache', async t => {
      const { world, auth, page, queryClient, act } = await setUp(t)
      const other = world.open()
      await act(() => auth.login(credentials()))
      t.equal(readCache(queryClient).length, 1)
      await act(() => other.logout())
      t.equal(page.text, 'Sign in')
      t.strictSame(readCache(queryClient), [])
    })

    await t.test('a response for the previous user does not reach the cache', async t => {
      const { world, auth, page, queryClient, act } = await setUp(t)
      await act(() => auth.login(credentials()))

      let respond = (_value: string): void => {}

      const response = new Promise<string>(resolve => {
        respond = resolve
      })
      void queryClient.fetchQuery({ queryKey: ['/late'], queryFn: () => response }).catch(() => {})
      await act(() => auth.login(credentials('bob')))
      respond('data of ann')
      await act(() => world.run())
      t.equal(queryClient.getQueryData(['/late']), undefined)
      t.equal(page.text, 'Signed in as bobu-bobSign out')
    })

    await t.test('RequireAuth discards the state of components of the previous user', async t => {
      const { auth, page, act } = await setUp(t)
      const { AuthProvider, RequireAuth, useAuth } = modules

      function Draft (): string {
        const { user } = useAuth<{ username: string }>()
        const [draft] = React.useState(`draft of ${user?.username}`)
        return draft
      }

      const fallback = createElement('p', null, 'signed out')
      const content = createElement(RequireAuth, { fallback }, createElement(Draft))
      await page.render(createElement(AuthProvider, { client: auth }, content))
      await act(() => auth.ready)
      t.equal(page.text, 'signed out')
      await act(() => auth.login(credentials()))
      t.equal(page.text, 'draft of ann')
      await act(() => auth.login(credentials('bob')))
      t.equal(page.text, 'draft of bob')
    })

    await t.test('a client for tests signs in without a server', async t => {
      const page = createPage(t, document, modules)
      const respond = (): Response => Response.json({ userId: '1' })
      const auth = await modules.createTestClient({ id: '1', username: 'ann' }, respond)
      const signedOut = await modules.createTestClient(null)
      const queryClient = createQueryClient(auth)
      t.teardown(() => {
        queryClient.clear()
        auth.dispose()
        signedOut.dispose()
      })
      await page.render(createElement(App, { auth, queryClient }))
      await React.act(() => auth.fetch('/other'))
      t.equal(page.text, 'Signed in as ann1Sign out')
      await React.act(() => auth.logout())
      t.equal(page.text, 'Sign in')
      await page.render(createElement(App, { auth: signedOut, queryClient }))
      t.equal(page.text, 'Sign in')
    })

    await t.test('a server renders the app without a client', async t => {
      const queryClient = new modules.QueryClient()
      t.equal(renderToString(createElement(App, { auth: null, queryClient })), '')
    })
  })
}
