import t from 'tap'
import type { Test } from 'tap'
import type { AuthClient, AuthState } from '../../../src/client/index.js'
import type { Auth } from '../../../src/client/react/index.js'
import { createDocument } from '../../helpers/document.js'
import { createPage, loadReact, reactVersions } from '../../helpers/react.js'
import type { ReactModules, ReactPage } from '../../helpers/react.js'
import { createWorld, credentials } from '../world.js'
import type { World } from '../world.js'

interface User {
  readonly username: string
}

/** Client that counts its subscriptions. */
interface CountedClient extends AuthClient<User> {
  readonly subscriptions: number
  readonly isDisposed: boolean
}

function countSubscriptions (client: AuthClient<User>): CountedClient {
  let subscriptions = 0
  let isDisposed = false

  return {
    ...client,
    get state () {
      return client.state
    },
    get subscriptions () {
      return subscriptions
    },
    get isDisposed () {
      return isDisposed
    },
    subscribe (listener) {
      const unsubscribe = client.subscribe(listener)
      subscriptions++

      return () => {
        unsubscribe()
        subscriptions--
      }
    },
    dispose () {
      isDisposed = true
      client.dispose()
    }
  }
}

interface Setup {
  readonly modules: ReactModules
  readonly world: World
  readonly client: CountedClient
  readonly page: ReactPage
  /** State of each render, such as `signed-in:ann`. */
  readonly renders: string[]
  /** States that the client has reported, in the same form. */
  readonly states: string[]
  /** Result of the hook in the last render. */
  readonly auth: () => Auth<User>
  /** Renders the component below a provider. */
  render(client?: AuthClient, isStrict?: boolean): Promise<void>
  /** Runs a step and what it causes. */
  act(step: () => Promise<unknown>): Promise<void>
}

const document = createDocument(t)

for (const reactVersion of reactVersions) {
  const modules = await loadReact(t, reactVersion)
  const { AuthProvider, React, useAuth, useAuthClient } = modules
  const { createElement, StrictMode, useEffect, useLayoutEffect } = React

  async function setUp (t: Test): Promise<Setup> {
    const world = await createWorld(t)
    const original = world.open() as AuthClient<User>
    const client = countSubscriptions(original)
    const page = createPage(t, document, modules)
    const renders: string[] = []
    const states: string[] = []
    const format = ({ status, user }: AuthState<User>): string =>
      `${status}:${user?.username ?? ''}`
    original.subscribe(state => {
      states.push(format(state))
    })
    let last: Auth<User> | undefined

    function Status (): string {
      last = useAuth<User>()
      renders.push(format(last))
      return format(last)
    }

    return {
      modules,
      world,
      client,
      page,
      renders,
      states,
      auth: () => {
        if (last === undefined) {
          throw new Error('nothing was rendered')
        }

        return last
      },
      render: (shown = client, isStrict = false) =>
        page.render(
          createElement(
            isStrict ? StrictMode : React.Fragment,
            null,
            createElement(AuthProvider, { client: shown }, createElement(Status))
          )
        ),
      act: step =>
        React.act(async () => {
          await world.until(step())
          await world.run()
        })
    }
  }

  t.test(`React ${reactVersion.version}`, async t => {
    t.match(React.version, new RegExp(`^${reactVersion.version}\\.`))

    await t.test('a component renders once for each state', async t => {
      const { world, client, page, renders, states, render, act } = await setUp(t)
      await render()
      await act(() => client.ready)
      t.strictSame(renders, ['starting:', 'signed-out:'])
      await act(() => client.login(credentials()))
      t.strictSame(renders.slice(2), ['signed-in:ann'])

      world.skip(20 * 60_000)
      await act(() => client.fetch('/protected'))
      t.equal(world.count('/auth/refresh'), 2)
      t.equal(renders.length, 3, 'a refresh does not change the state')

      await act(() => client.logout())
      t.strictSame(renders.slice(3), ['signed-out:'])
      t.equal(page.text, 'signed-out:')
      t.strictSame(renders, ['starting:', ...states])
      t.strictSame(page.errors, [])
    })

    await t.test('a login of another user renders once', async t => {
      const { client, renders, states, render, act } = await setUp(t)
      await act(() => client.login(credentials()))
      await render()
      await act(() => client.login(credentials('bob')))
      t.strictSame(renders, ['signed-in:ann', 'signed-in:bob'])
      t.strictSame(states.slice(-2), renders)
    })

    await t.test('a logout in another tab is rendered', async t => {
      const { world, client, page, render, act } = await setUp(t)
      const other = world.open()
      await act(() => client.login(credentials()))
      await render()
      t.equal(page.text, 'signed-in:ann')
      await act(() => other.logout())
      t.equal(page.text, 'signed-out:')
    })

    await t.test('functions of the hook work without this and stay the same', async t => {
      const { client, page, auth, render, act } = await setUp(t)
      await render()
      await act(() => client.ready)
      const { login, logout, fetch } = auth()
      await act(() => login(credentials()))
      t.equal(page.text, 'signed-in:ann')
      const first = auth()
      t.strictSame([first.login, first.logout, first.fetch], [login, logout, fetch])
      await render()
      t.equal(auth(), first, 'the result stays the same until the state changes')
      await act(() => logout())
      t.match(auth(), { status: 'signed-out', user: null, reason: 'logout' })
      t.notOk('dispose' in auth())
    })

    await t.test('Strict Mode keeps one subscription and the client', async t => {
      const { client, page, render, act } = await setUp(t)
      await render(client, true)
      t.equal(client.subscriptions, 1)
      await act(() => client.login(credentials()))
      t.equal(page.text, 'signed-in:ann')
      t.equal(client.isDisposed, false)
      await page.unmount()
      t.equal(client.subscriptions, 0)
      t.equal(client.isDisposed, false)
      t.equal(client.state.status, 'signed-in')
      t.strictSame(page.errors, [])
    })

    await t.test('components share a client and unmount without a subscription', async t => {
      const { client, page } = await setUp(t)

      function Count ({ children }: { children?: React.ReactNode }): React.ReactNode {
        useAuth()
        return children
      }

      const tree = (count: number): React.ReactElement =>
        createElement(
          AuthProvider,
          { client },
          Array.from({ length: count }, (_, key) => createElement(Count, { key }))
        )

      for (const count of [3, 1, 2]) {
        await page.render(tree(count))
        t.equal(client.subscriptions, count)
      }

      await page.unmount()
      t.equal(client.subscriptions, 0)
    })

    await t.test('a new client replaces the subscription, as after a hot reload', async t => {
      const { world, client, page, auth, render, act } = await setUp(t)
      await act(() => client.login(credentials()))
      await render()
      const next = countSubscriptions(
        world.open({ name: 'other', storage: 'memory' }) as AuthClient<User>
      )
      await act(() => next.ready)
      await render(next)
      t.equal(page.text, 'signed-out:')
      t.strictSame([client.subscriptions, next.subscriptions], [0, 1])
      t.equal(auth().login, next.login)
      t.equal(client.isDisposed, false, 'the app owns its clients')
    })

    await t.test('the last state is rendered if a listener changes it', async t => {
      const { client, page, renders, render, act } = await setUp(t)
      client.subscribe(({ status }) => {
        if (status === 'signed-in') {
          client.logout().catch(() => {})
        }
      })
      await render()
      await act(() => client.login(credentials()).catch(() => {}))
      t.equal(client.state.status, 'signed-out')
      t.equal(renders.at(-1), 'signed-out:')
      t.equal(page.text, 'signed-out:')
    })

    await t.test('a change before the subscription is rendered', async t => {
      const { client, page, act } = await setUp(t)
      await act(() => client.login(credentials()))

      function Leaving (): string {
        const auth = useAuthClient()
        const { status } = useAuth()
        useLayoutEffect(() => {
          auth.logout().catch(() => {})
        }, [auth])
        return status
      }

      await page.render(createElement(AuthProvider, { client }, createElement(Leaving)))
      t.equal(page.text, 'signed-out')
    })

    await t.test('useAuthClient returns the client without a subscription', async t => {
      const { client, page } = await setUp(t)
      const seen: AuthClient[] = []

      function Effect (): null {
        const auth = useAuthClient<User>()
        useEffect(() => {
          seen.push(auth)
        }, [auth])
        return null
      }

      await page.render(createElement(AuthProvider, { client }, createElement(Effect)))
      t.equal(seen[0], client)
      t.equal(client.subscriptions, 0)
    })

    await t.test('the hooks require a provider', async t => {
      const { renderToString } = modules

      for (const hook of [useAuth, useAuthClient]) {
        const Component = (): null => {
          hook()
          return null
        }

        t.throws(() => renderToString(createElement(Component)), {
          message: 'useAuth and useAuthClient require an AuthProvider around the component'
        })
      }
    })
  })
}
