// The composable of examples/client/vue.ts, in a mounted app.

import t from 'tap'
import type { Plugin, Ref } from 'vue'
import type { AuthClient, AuthState } from '../../src/client/index.js'
import { createDocument } from '../helpers/document.js'
import { createWorld, credentials } from './world.js'

interface User {
  readonly username: string
}

interface Auth extends Pick<AuthClient<User>, 'login' | 'logout'> {
  readonly status: Ref<AuthState['status']>
  readonly user: Ref<User | null>
  readonly reason: Ref<AuthState['reason']>
}

interface Example {
  createAuthPlugin(client: AuthClient): Plugin
  useAuth(): Auth
}

const document = createDocument(t)
// Vue reads `document` when it loads. The example is loaded by URL, because it has the types of the
// built package.
const { createApp, createSSRApp, h, nextTick } = await import('vue')
const { createAuthPlugin, useAuth }: Example = await import(
  new URL('../../examples/client/vue.ts', import.meta.url).href
)

t.test('a Vue component shows each state of the client', async t => {
  const world = await createWorld(t)
  const client = world.open()
  let subscriptions = 0
  const plugin = createAuthPlugin({
    ...client,
    subscribe (listener) {
      const unsubscribe = client.subscribe(listener)
      subscriptions++

      return () => {
        subscriptions--
        unsubscribe()
      }
    }
  })
  const renders: string[] = []
  let auth: Auth | undefined
  const app = createApp({
    setup () {
      const { status, user, reason } = auth = useAuth()

      return () => {
        const text = `${status.value}:${user.value?.username ?? ''}:${reason.value ?? ''}`
        renders.push(text)
        return h('p', text)
      }
    }
  })
  const container = document.createElement('div')
  app.use(plugin).mount(container as unknown as Element)

  const run = async (step: Promise<unknown>): Promise<void> => {
    await world.until(step)
    await nextTick()
  }

  await run(client.ready)
  t.strictSame(renders, ['starting::', 'signed-out::'])
  t.notOk('dispose' in (auth ?? {}))
  await run((auth as unknown as Auth).login(credentials()))
  await run(client.login(credentials('bob')))
  await run((auth as unknown as Auth).logout())
  t.strictSame(renders.slice(2), ['signed-in:ann:', 'signed-in:bob:', 'signed-out::logout'])
  t.equal(container.innerHTML, '<p>signed-out::logout</p>')

  t.equal(subscriptions, 1)
  app.unmount()
  t.equal(subscriptions, 0)
  await run(client.login(credentials()))
  t.equal(client.state.status, 'signed-in', 'the app owns the client')
  t.equal(renders.length, 5)
})

t.test('useAuth of Vue requires the plugin', async t => {
  const app = createSSRApp({})
  t.throws(() => app.runWithContext(useAuth), {
    message: 'useAuth requires the plugin of createAuthPlugin'
  })
})
