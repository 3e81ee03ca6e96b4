import t from 'tap'
import { createSubscriptions } from '../../src/client/subscriptions.js'
import { createWorld } from './world.js'

t.test('a value that a listener replaces reaches later listeners once', t => {
  const subscriptions = createSubscriptions<string>()
  const received: string[] = []
  subscriptions.add(value => {
    received.push(`one ${value}`)

    if (value === 'a') {
      subscriptions.notify('b')
    }
  })
  subscriptions.add(value => received.push(`two ${value}`))
  subscriptions.notify('a')
  t.strictSame(received, ['one a', 'one b', 'two b'])
  t.end()
})

t.test('one function can have two subscriptions', t => {
  const subscriptions = createSubscriptions<number>()
  let calls = 0

  const listener = (): void => {
    calls++
  }

  const remove = subscriptions.add(listener)
  subscriptions.add(listener)
  remove()
  remove()
  subscriptions.notify(1)
  t.equal(calls, 1)
  t.end()
})

t.test('a listener that subscribes again receives no value twice', t => {
  const subscriptions = createSubscriptions<number>()
  let calls = 0

  function subscribe (): void {
    const remove = subscriptions.add(() => {
      calls++
      remove()
      subscribe()
    })
  }

  subscribe()
  subscriptions.notify(1)
  t.equal(calls, 1)
  subscriptions.notify(2)
  t.equal(calls, 2)
  t.end()
})

t.test('a listener that another one removes is not called', t => {
  const subscriptions = createSubscriptions<number>()
  let calls = 0
  subscriptions.add(() => {
    remove()
  })
  const remove = subscriptions.add(() => {
    calls++
  })
  subscriptions.notify(1)
  t.equal(calls, 0)
  t.end()
})

t.test('a logout in a listener is the last state in all tabs', async t => {
  const world = await createWorld(t)
  const [client, other] = [world.open(), world.open()]
  await world.until(Promise.all([client.ready, other.ready]))
  const states: string[] = []
  client.subscribe(({ status }) => {
    if (status === 'signed-in') {
      void client.logout()
    }
  })
  client.subscribe(({ status }) => states.push(status))
  await world.signIn(client)
  await world.run(5000)
  t.strictSame(states, ['signed-out'])
  t.equal(client.state.status, 'signed-out')
  t.equal(other.state.status, 'signed-out')
  t.strictSame(await world.server.app.tokenAuth.listSessions('u-ann'), [])
})

t.test('states are frozen', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  t.ok(Object.isFrozen(client.state))
  t.throws(() => {
    Object.assign(client.state.user ?? {}, { username: 'eve' })
  }, TypeError)
  t.match(client.state, { user: { username: 'ann' } })
})

t.test('a disposed client changes no state', async t => {
  const world = await createWorld(t)
  const starting = world.open()
  starting.dispose()
  t.strictSame(await starting.ready, { status: 'starting', user: null })

  const client = await world.openSignedIn()
  const states: unknown[] = []
  client.subscribe(state => states.push(state))
  const logout = client.logout().catch(() => {})
  client.dispose()
  await world.until(logout)
  await world.run(60_000)
  t.strictSame(states.length, 1, 'only the sign-out that was requested before')
})
