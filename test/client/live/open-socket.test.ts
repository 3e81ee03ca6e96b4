import t from 'tap'
import { openSocket } from '../../../src/client/live/index.js'
import type { SocketOptions, SocketState } from '../../../src/client/live/index.js'
import { ORIGIN } from '../world.js'
import { reject } from './sockets.js'
import { createLiveWorld } from './world.js'

t.test('handshake', async t => {
  t.test('the token is the last subprotocol, and the URL has none', async t => {
    const world = await createLiveWorld(t)
    world.connect({ protocols: ['chat.v2', 'chat.v1'] })
    await world.run()
    const { url, protocols } = world.sockets.last
    const token = await world.until(world.auth.getAccessToken())
    t.equal(url, `${ORIGIN.replace('http', 'ws')}/live`)
    t.strictSame(protocols, ['chat.v2', 'chat.v1', 'bearer.fastify-token-auth', token])
    t.equal(world.sent.length, 0, 'no refresh is necessary')
  })

  t.test('the access token of a cookie is not offered', async t => {
    const world = await createLiveWorld(
      t,
      { options: { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } } }
    )
    world.connect({ protocols: 'chat' })
    await world.run()
    t.strictSame(world.sockets.last.protocols, ['chat'])
  })

  for (
    const url of [
      'ws:',
      'http:',
      'wss://evil.test/live',
      'https://evil.test/',
      '//evil.test/',
      'mailto:ann'
    ]
  ) {
    t.test(`a token is not sent to ${url}`, async t => {
      const world = await createLiveWorld(t)
      const { host } = new URL(ORIGIN)
      const target = url.endsWith(':') ? `${url}//${host}/live` : url
      t.throws(
        () => openSocket(world.auth, target, { WebSocket: world.sockets.WebSocket }),
        { name: 'TypeError', message: /^"url" must belong to the origin/ }
      )
      t.equal(world.sockets.all.length, 0)
    })
  }

  t.test('the option origin allows one other origin', async t => {
    const world = await createLiveWorld(t)
    const options = { WebSocket: world.sockets.WebSocket, origin: 'https://live.test' }
    openSocket(world.auth, 'wss://live.test/orders?page=2#top', options)
    await world.run()
    t.equal(world.sockets.last.url, 'wss://live.test/orders?page=2')
    t.throws(() => openSocket(world.auth, '/live', options), TypeError)
  })

  t.test('invalid settings throw', async t => {
    const world = await createLiveWorld(t)
    const invalid: SocketOptions[] = [
      { protocols: ['a', 'a'] },
      { protocols: 'a b' },
      { protocols: '' },
      { protocols: 'bearer.fastify-token-auth' }
    ]

    for (const options of invalid) {
      t.throws(() => world.connect(options), { message: /^"protocols" must be/ })
    }

    t.throws(() => openSocket({ ...world.auth }, '/live'), { message: /not a copy/ })
    const before = Object.getOwnPropertyDescriptor(globalThis, 'WebSocket')
    Object.defineProperty(globalThis, 'WebSocket', { value: undefined, configurable: true })
    t.throws(() => openSocket(world.auth, '/live'), { message: /option "WebSocket"/ })
    Reflect.deleteProperty(globalThis, 'WebSocket')

    if (before !== undefined) {
      Object.defineProperty(globalThis, 'WebSocket', before)
    }

    const { auth } = world
    t.notMatch(JSON.stringify(auth), 'refresher')
    t.strictSame(Object.getOwnPropertySymbols({ ...auth }), [], 'no copy has the internals')
  })

  t.test('a handshake without a response fails after 10 s', async t => {
    const world = await createLiveWorld(t)

    world.sockets.handle = () => {}

    world.connect()
    await world.run(9_900)
    t.equal(world.sockets.all.length, 1)
    await world.run(1_500)
    t.equal(world.sockets.all.length, 2)
    t.equal(world.sockets.all[0]?.closedWith, 1000)
  })
})

t.test('messages', async t => {
  t.test('callbacks report data and states', async t => {
    const world = await createLiveWorld(t)
    const log: unknown[] = []
    const states: SocketState[] = []
    const socket = world.connect({
      onOpen: socket => log.push(socket.send('hello')),
      onMessage: data => log.push(data),
      onStateChange: state => states.push(state)
    })
    t.equal(socket.state, 'connecting')
    t.equal(socket.send('too early'), false)
    await world.run()
    world.sockets.last.send('welcome')
    t.strictSame(log, [true, 'welcome'])
    t.strictSame(world.sockets.last.received, ['hello'])
    socket.close()
    t.equal(socket.send('too late'), false)
    world.sockets.last.send('late')
    t.strictSame(log, [true, 'welcome'])
    t.strictSame(states, ['open', 'closed'])
    t.strictSame(world.sockets.last.received, ['hello'])
  })

  t.test('a callback that throws does not end the connection', async t => {
    const world = await createLiveWorld(t)
    const reported = t.capture(console, 'error', () => {})

    const fail = (): void => {
      throw new Error('of the app')
    }

    const socket = world.connect({ onOpen: fail, onMessage: fail, onStateChange: fail })
    await world.run()
    world.sockets.last.send('hello')
    t.equal(socket.state, 'open')
    t.equal(reported().length, 3)
  })

  t.test('a constructor that throws is a failed connection', async t => {
    const world = await createLiveWorld(t)
    let attempts = 0

    class Broken {
      constructor () {
        attempts++
        throw new SyntaxError('the subprotocol is invalid')
      }
    }

    const socket = world.connect({ WebSocket: Broken as never })
    await world.run(2000)
    t.equal(socket.state, 'connecting')
    t.equal(attempts, 3)
    socket.close()
    await world.run(10_000)
    t.equal(attempts, 3)
  })
})

t.test('end', async t => {
  t.test('close sends the code of the app and ends attempts', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    t.throws(() => {
      socket.close(1001)
    }, { message: /^"code" must be/ })
    socket.close(4000, 'done')
    socket.close()
    t.strictSame(await socket.closed, { cause: 'closed', code: 4000, reason: 'done' })
    t.equal(world.sockets.last.closedWith, 4000)
    await world.run(60_000)
    t.equal(world.sockets.all.length, 1)
  })

  t.test('a reason of more than 123 bytes is refused, and the socket stays open', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()

    for (const reason of ['x'.repeat(124), 'é'.repeat(62)]) {
      t.throws(() => {
        socket.close(4000, reason)
      }, { name: 'TypeError', message: /^"reason" must have/ })
    }

    t.equal(socket.state, 'open')
    socket.close(4000, `${'é'.repeat(61)}x`)
    t.match(await socket.closed, { cause: 'closed', code: 4000 })
  })

  t.test('a socket of a visitor ends without a connection', async t => {
    const world = await createLiveWorld(t)
    await world.until(world.auth.logout())
    const socket = world.connect()
    t.match(await world.until(socket.closed), { cause: 'signed-out' })
    t.equal(world.sockets.all.length, 0)
  })

  for (const where of ['this tab', 'another tab']) {
    t.test(`a logout in ${where} closes the socket immediately`, async t => {
      const world = await createLiveWorld(t)
      const other = world.open()
      await world.until(other.ready)
      const socket = world.connect()
      await world.run()
      void (where === 'this tab' ? world.auth : other).logout()
      await world.run(20)
      t.equal(socket.state, 'closed')
      t.match(await socket.closed, { cause: 'signed-out' })
      t.equal(world.sockets.last.closedWith, 1000)
      await world.run(60_000)
      t.equal(world.sockets.all.length, 1)
    })
  }

  t.test('another login ends the socket of the earlier session', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    await world.signIn(world.auth, 'ann')
    t.match(await socket.closed, { cause: 'signed-out' })
    t.strictSame(world.sockets.last.received, [], 'it does not get the token of the next one')
    const next = world.connect()
    await world.run()
    t.equal(next.state, 'open')
  })

  t.test('another login while the server is down ends the socket', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    world.sockets.handle = reject
    world.sockets.last.drop()
    await world.run(2000)
    await world.signIn(world.auth, 'bob')
    t.match(await socket.closed, { cause: 'signed-out' })
    const { length } = world.sockets.all
    await world.run(60_000)
    t.equal(world.sockets.all.length, length)
  })

  for (const when of ['open', 'connecting']) {
    t.test(`dispose of the client ends a socket that is ${when}`, async t => {
      const world = await createLiveWorld(t)

      if (when === 'connecting') {
        world.sockets.handle = reject
      }

      const socket = world.connect()
      await world.run(5000)
      t.equal(socket.state, when)
      world.auth.dispose()
      t.match(await socket.closed, { cause: 'disposed' })
      const { length } = world.sockets.all
      await world.run(60_000)
      t.equal(world.sockets.all.length, length)
    })
  }

  t.test('a socket of a disposed client ends', async t => {
    const world = await createLiveWorld(t)
    world.auth.dispose()
    t.match(await world.until(world.connect().closed), { cause: 'disposed' })
    t.equal(world.sockets.all.length, 0)
  })
})
