import t from 'tap'
import { decodeClaims } from '../../../src/client/tokens.js'
import { MINUTE } from '../../helpers/clock.js'
import { createLiveWorld } from './world.js'
import type { LiveWorld } from './world.js'

const SHORT = { options: { accessToken: { lifetime: '20s' } } } as const

/** Returns the tokens that the last connection received in messages. */
function renewedTokens ({ sockets }: LiveWorld): string[] {
  return sockets.last.received.map(message => {
    const { type, access_token: token } = JSON.parse(String(message)) as Record<string, string>
    t.equal(type, 'renew')
    return token ?? ''
  })
}

t.test('a token of 20 s is renewed ahead of its end, over one connection', async t => {
  const world = await createLiveWorld(t, SHORT)
  world.connect()
  await world.run()
  let current = decodeClaims(world.sockets.last.token)

  for (let i = 0; i < 10; i++) {
    const before = world.sockets.last.received.length

    while (world.sockets.last.received.length === before) {
      await world.run(100)
    }

    const secondsLeft = (current.exp ?? 0) - world.faults.clock.time() / 1000
    t.ok(secondsLeft > 2 && secondsLeft < 7, `${secondsLeft} s before the end`)
    const renewed = decodeClaims(renewedTokens(world).at(-1) ?? '')
    t.ok((renewed.exp ?? 0) > (current.exp ?? 0))
    t.equal(renewed.sid, current.sid)
    current = renewed
  }

  t.equal(world.sockets.all.length, 1)
  t.equal(world.count('/auth/refresh'), 10)
})

t.test('sockets share one refresh', async t => {
  const world = await createLiveWorld(t, SHORT)
  const opened = [1, 2, 3].map(() => world.connect())
  await world.run(18_000)
  t.equal(world.count('/auth/refresh'), 1)

  for (const socket of world.sockets.all) {
    t.equal(socket.received.length, 1)
  }

  t.equal(world.sockets.all.length, opened.length)
})

t.test('a token that another part of the app refreshed is sent once', async t => {
  const world = await createLiveWorld(t)
  world.connect()
  await world.run()
  await world.until(world.auth.refresh())
  t.strictSame(renewedTokens(world), [await world.until(world.auth.getAccessToken())])
})

t.test('a token that changed during the handshake is sent when it is open', async t => {
  const world = await createLiveWorld(t)

  world.sockets.handle = () => {}

  world.connect({ onOpen: socket => socket.send('later') })
  await world.run()
  await world.until(world.auth.refresh())
  world.sockets.last.accept()
  const token = await world.until(world.auth.getAccessToken())
  t.strictSame(world.sockets.last.received, [
    JSON.stringify({ type: 'renew', access_token: token }),
    'later'
  ])
})

t.test('the message is customizable', async t => {
  const world = await createLiveWorld(t)
  world.connect({ createRenewal: token => `AUTH ${token}` })
  await world.run()
  await world.until(world.auth.refresh())
  t.strictSame(world.sockets.last.received, [
    `AUTH ${await world.until(world.auth.getAccessToken())}`
  ])
})

t.test('a token is due by the wall clock while the monotonic one stands still', async t => {
  const world = await createLiveWorld(t)
  world.connect()
  await world.run()
  world.device.suspend(14.5 * MINUTE)
  await world.run(14.5 * MINUTE + 500)
  t.equal(world.sockets.all.length, 1)
  t.equal(renewedTokens(world).length, 1)
})

t.test('a token that expired during a sleep leads to another connection', async t => {
  const world = await createLiveWorld(t)
  const socket = world.connect()
  await world.run(MINUTE)
  const before = world.sockets.last
  world.device.suspend(20 * MINUTE)
  await world.run(20 * MINUTE + 200)
  t.equal(world.sockets.all.length, 2, 'immediately')
  t.not(world.sockets.last.token, before.token)
  t.equal(before.closedWith, 4401)
  t.equal(socket.state, 'open')
})

t.test('a refresh that fails is repeated, and the connection stays', async t => {
  const world = await createLiveWorld(t, SHORT)
  world.connect()
  await world.run()
  world.faults.goOffline()
  await world.run(17_000)
  t.strictSame(renewedTokens(world), [])
  world.faults.goOnline()
  await world.run(1_500)
  t.equal(renewedTokens(world).length, 1)
  t.equal(world.sockets.all.length, 1)
})

t.test('a session without refresh tokens ends its socket with the token', async t => {
  const world = await createLiveWorld(t, { options: { refreshToken: false } })
  const socket = world.connect()
  await world.run(14 * MINUTE)
  t.equal(socket.state, 'open')
  t.match(await world.until(socket.closed), { cause: 'signed-out' })
  t.equal(world.auth.state.status, 'signed-out')
  t.equal(world.sockets.all.length, 1)
})
