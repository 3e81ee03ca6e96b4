import t from 'tap'
import { createDocument } from '../../helpers/document.js'
import { createPage, loadReact, reactVersions } from '../../helpers/react.js'
import { createWorld, credentials } from '../world.js'

const document = createDocument(t)

for (const reactVersion of reactVersions) {
  const modules = await loadReact(t, reactVersion)
  const { AuthProvider, React, renderToString, useAuth, useAuthClient } = modules
  const { createElement } = React
  const renders: string[] = []

  function Status (): React.ReactElement {
    const { status, user } = useAuth<{ username: string }>()
    const text = `${status}:${user?.username ?? ''}`
    renders.push(text)
    return createElement('p', null, text)
  }

  t.test(`React ${reactVersion.version}`, async t => {
    await t.test('a server renders the children with any client', async t => {
      const world = await createWorld(t)
      const client = await world.openSignedIn()

      for (const each of [null, client]) {
        const tree = createElement(AuthProvider, { client: each }, createElement(Status))
        t.equal(renderToString(tree), '<p>starting:</p>')
      }
    })

    await t.test('hydration with a signed-in client finds no mismatch', async t => {
      const world = await createWorld(t)
      const client = world.open()
      await world.until(client.login(credentials()))
      const page = createPage(t, document, modules)
      const getTree = (each: typeof client | null): React.ReactElement =>
        createElement(AuthProvider, { client: each }, createElement(Status))
      const html = renderToString(getTree(null))
      renders.length = 0
      await page.hydrate(html, getTree(client))
      t.strictSame(renders, ['starting:', 'signed-in:ann'])
      t.equal(page.container.innerHTML, '<p>signed-in:ann</p>')
      t.strictSame(page.errors, [])
    })

    await t.test('a mismatch would be found', async t => {
      const page = createPage(t, document, modules)
      await page.hydrate('<p>signed-in:ann</p>', createElement('p', null, 'starting:'))
      t.ok(page.errors.length > 0)
    })

    await t.test('calls without a client reject', async t => {
      const auths: Array<ReturnType<typeof useAuthClient>> = []

      function Reader (): null {
        auths.push(useAuthClient())
        return null
      }

      renderToString(createElement(AuthProvider, { client: null }, createElement(Reader)))
      const [auth] = auths

      if (auth === undefined) {
        throw new Error('nothing was rendered')
      }

      const error = {
        name: 'AuthError',
        code: 'disposed',
        message: 'the client of AuthProvider is null'
      }
      await t.rejects(auth.login(credentials()), error)
      await t.rejects(auth.fetch('/protected'), error)
      await t.rejects(auth.logout(), error)
      t.strictSame(await auth.ready, { status: 'starting', user: null })
      auth.subscribe(() => {})()
      auth.dispose()
    })
  })
}
