import t from 'tap'
import type { AuthClient } from '../../../src/client/index.js'
import { MINUTE } from '../../helpers/clock.js'
import { reply } from '../world.js'
import { accept, reject } from './sockets.js'
import { createLiveWorld } from './world.js'
import type { LiveWorld } from './world.js'

/** Revokes the session at the server. The client does not notice. */
async function revoke ({ server }: LiveWorld): Promise<void> {
  await server.app.tokenAuth.revokeUser('u-ann')
}

const getReason = ({ state }: AuthClient): string | undefined => state.reason

t.test('lost connections', async t => {
  t.test('delays double up to 10 s, with jitter', async t => {
    const world = await createLiveWorld(t)
    world.connect()
    await world.run(10_000)
    world.sockets.handle = reject
    world.sockets.last.drop()
    world.faults.goOffline()
    await world.run(2 * MINUTE)
    const times = world.sockets.all.map(({ openedAt }) => openedAt)
    const delays = times.slice(1).map((time, i) => Math.round(time - (times[i] ?? 0)))
    // 12.5 % of jitter, because the random number of this world is 0.5.
    t.strictSame(delays.slice(1, 7), [1125, 2250, 4500, 9000, 11_250, 11_250])
  })

  t.test('a connection of 5 s resets the delay', async t => {
    const world = await createLiveWorld(t)
    world.connect()

    for (let i = 1; i <= 10; i++) {
      await world.run(5_600)
      t.equal(world.sockets.all.length, i)
      world.sockets.last.drop()
    }
  })

  t.test('a server that accepts and closes is not flooded', async t => {
    const world = await createLiveWorld(t)

    world.sockets.handle = socket => {
      socket.accept()
      socket.close(1011)
    }

    world.connect()
    await world.run(MINUTE)
    t.ok(world.sockets.all.length < 12, `${world.sockets.all.length} connections`)
    t.equal(world.count('/auth/refresh'), 0)
  })

  t.test('an event of the platform ends the delay', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    world.sockets.handle = reject
    world.faults.goOffline()
    world.sockets.last.drop()
    await world.run(MINUTE)
    world.sockets.handle = accept
    const { length } = world.sockets.all
    world.faults.goOnline()
    await world.run(100)
    t.equal(world.sockets.all.length, length + 1)
    t.equal(socket.state, 'open')
    t.equal(world.auth.state.status, 'signed-in')
  })

  for (const code of [1000, 1008, 4403]) {
    t.test(`code ${code} ends the socket`, async t => {
      const world = await createLiveWorld(t)
      const socket = world.connect()
      await world.run()
      world.sockets.last.close(code, 'no')
      t.strictSame(await world.until(socket.closed), { cause: 'closed', code, reason: 'no' })
      await world.run(MINUTE)
      t.equal(world.sockets.all.length, 1)
    })
  }

  for (const code of [1001, 1005, 1006, 1012, 1013, 4000, 4500]) {
    t.test(`code ${code} leads to another connection`, async t => {
      const world = await createLiveWorld(t)
      world.connect()
      await world.run()
      world.sockets.last.close(code)
      await world.run(1000)
      t.equal(world.sockets.all.length, 2)
    })
  }

  t.test('the app decides whether to connect again', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect({ shouldReconnect: ({ code }) => code !== 4000 })
    await world.run()
    world.sockets.last.close(1000)
    await world.run(1000)
    t.equal(world.sockets.all.length, 2)
    world.sockets.last.close(4000)
    t.match(await world.until(socket.closed), { cause: 'closed', code: 4000 })
  })
})

t.test('code 4401', async t => {
  t.test('a revocation signs out by the response of the server', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    await revoke(world)
    world.sockets.last.close(4401, 'AUTH_SESSION_REVOKED')
    t.strictSame(await world.until(socket.closed), {
      cause: 'revoked',
      code: 4401,
      reason: 'AUTH_SESSION_REVOKED'
    })
    t.equal(socket.state, 'closed')
    await world.run(MINUTE)
    t.equal(getReason(world.auth), 'AUTH_REFRESH_REVOKED')
    t.equal(world.count('/auth/refresh'), 1)
    t.equal(world.sockets.all.length, 1)
  })

  t.test('the word of a socket alone signs nobody out', async t => {
    const world = await createLiveWorld(t)
    const sockets = [1, 2, 3].map(() => world.connect())
    await world.run()

    for (const socket of world.sockets.all) {
      socket.close(4401, 'AUTH_SESSION_REVOKED')
    }

    for (const socket of sockets) {
      t.match(await world.until(socket.closed), { cause: 'revoked' })
    }

    await world.run(MINUTE)
    t.equal(world.auth.state.status, 'signed-in')
    t.equal(world.sockets.all.length, 3)
  })

  t.test('an unreachable server signs nobody out', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run()
    world.faults.next(() => reply(503), '/refresh', Infinity)
    world.sockets.last.close(4401, 'AUTH_SESSION_REVOKED')
    t.match(await world.until(socket.closed), { cause: 'revoked' })
    await world.run(MINUTE)
    t.equal(world.auth.state.status, 'signed-in')
    t.equal(world.sockets.all.length, 1)
  })

  t.test('an expired token is replaced immediately', async t => {
    const world = await createLiveWorld(t)
    const socket = world.connect()
    await world.run(10_000)
    const { token } = world.sockets.last
    world.sockets.last.close(4401, 'AUTH_ACCESS_EXPIRED')
    await world.run(100)
    t.equal(socket.state, 'open')
    t.not(world.sockets.last.token, token)
    t.equal(world.count('/auth/refresh'), 1)
  })

  t.test('a cookie that was refreshed since is not replaced', async t => {
    const world = await createLiveWorld(
      t,
      { options: { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } } }
    )
    world.connect()
    await world.run(10_000)
    await world.until(world.auth.refresh())
    t.strictSame(world.sockets.last.received, [], 'a page cannot read the cookie')
    world.sockets.last.close(4401, 'AUTH_ACCESS_EXPIRED')
    await world.run(100)
    t.equal(world.sockets.all.length, 2)
    t.equal(world.count('/auth/refresh'), 1)
  })

  t.test('a server that rejects each token is not flooded', async t => {
    const world = await createLiveWorld(t)

    world.sockets.handle = socket => {
      socket.accept()
      socket.close(4401, 'AUTH_ACCESS_EXPIRED')
    }

    world.connect()
    await world.run(MINUTE)
    t.ok(world.sockets.all.length < 12, `${world.sockets.all.length} connections`)
    t.ok(world.count('/auth/refresh') < 12, `${world.count('/auth/refresh')} refreshes`)
  })
})

t.test('failed handshakes', async t => {
  t.test('one refresh finds out whether the session was revoked', async t => {
    const world = await createLiveWorld(t)
    world.sockets.handle = reject
    await revoke(world)
    const sockets = [1, 2, 3].map(() => world.connect())

    for (const socket of sockets) {
      t.match(await world.until(socket.closed), { cause: 'signed-out' })
    }

    t.equal(getReason(world.auth), 'AUTH_REFRESH_REVOKED')
    t.equal(world.count('/auth/refresh'), 1)
    t.equal(world.sockets.all.length, 3)
  })

  t.test('sockets share one refresh, and no more follow', async t => {
    const world = await createLiveWorld(t)
    let rejected = 0

    // The second one fails after the first one has led to another token.
    world.sockets.handle = socket => {
      void world.faults.clock.sleep(++rejected * 200).then(() => {
        socket.drop()
      })
    }

    const sockets = [1, 2, 3].map(() => world.connect())
    await world.run(5000)
    world.sockets.handle = reject
    await world.run(5 * MINUTE)
    t.equal(world.count('/auth/refresh'), 1)
    world.sockets.handle = accept
    await world.run(15_000)

    for (const socket of sockets) {
      t.equal(socket.state, 'open')
    }
  })

  t.test('the next loss allows one more refresh', async t => {
    const world = await createLiveWorld(t)

    for (let i = 1; i <= 3; i++) {
      world.sockets.handle = accept
      const socket = i === 1 ? world.connect() : null
      await world.run(15_000)
      world.sockets.handle = reject
      world.sockets.last.drop()
      await world.run(15_000)
      t.equal(world.count('/auth/refresh'), i)
      t.equal(socket?.state ?? 'connecting', 'connecting')
    }
  })
})

t.test('a client that starts without a server connects when it is back', async t => {
  const world = await createLiveWorld(t)
  world.faults.goOffline()
  const client = world.open()
  t.match(await world.until(client.ready), { status: 'signed-in', user: null })
  const { openSocket } = await import('../../../src/client/live/index.js')
  const socket = openSocket(client, '/live', { WebSocket: world.sockets.WebSocket })
  await world.run(MINUTE)
  t.equal(socket.state, 'connecting')
  t.equal(world.sockets.all.length, 0)
  world.faults.goOnline()
  await world.run(1000)
  t.equal(socket.state, 'open')
})
