import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import t from 'tap'
import { WebSocket } from 'ws'
import { bindToSession } from '../../../examples/live/live-socket.js'
import { createAuthClient } from '../../../src/client/index.js'
import { openSocket } from '../../../src/client/live/index.js'
import { tokenSubprotocol } from '../../../src/protocol.js'
import { createTestApp } from '../../helpers/app.js'
import { credentials } from '../world.js'

t.test('openSocket works with the package ws, up to a revocation', async t => {
  const { app, events } = await createTestApp({
    async after (app) {
      await app.register(websocket)
      await app.register(async app => {
        app.get('/live', { websocket: true, onRequest: [app.authenticate] }, (socket, request) => {
          bindToSession(socket, app.tokenAuth.follow(request), message => {
            socket.send(`${message} of ${String(request.auth?.userId)}`)
          })
        })
      })
    }
  })
  await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
  t.teardown(() => app.close())
  const baseUrl = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const auth = createAuthClient({ baseUrl, storage: 'memory' })
  t.teardown(() => {
    auth.dispose()
  })
  await auth.login(credentials())

  let received = (_data: unknown): void => {}

  const message = new Promise(resolve => {
    received = resolve
  })
  const socket = openSocket(auth, '/live', {
    WebSocket,
    onOpen: socket => socket.send('hello'),
    onMessage: data => {
      received(data)
    }
  })
  t.equal(await message, 'hello of u-ann')
  await auth.refresh()
  t.equal(socket.state, 'open')
  socket.send('{"type":"renew"')
  socket.send('{"type":"renew","access_token":{"toString":1,"valueOf":1}}')
  const next = new Promise(resolve => {
    received = resolve
  })
  socket.send('again')
  t.equal(await next, 'again of u-ann', 'malformed renewals do not reach the app')

  await app.tokenAuth.revokeUser('u-ann')
  t.match(await socket.closed, { cause: 'revoked', code: 4401 })
  // The client knows the answer of the server before the socket ends.
  t.strictSame(auth.state, { status: 'signed-out', user: null, reason: 'AUTH_REFRESH_REVOKED' })
  t.match(events.map(({ name }) => name), ['login', 'refresh', 'session-ended'])
})

t.test('a socket closes whose session ended between authenticate and follow', async t => {
  const { app, login } = await createTestApp({
    async after (app) {
      await app.register(websocket)
      await app.register(async app => {
        app.get('/late', {
          websocket: true,
          onRequest: [app.authenticate],
          preHandler: async () => {
            await app.tokenAuth.revokeUser('u-ann')
          }
        }, (socket, request) => {
          bindToSession(socket, app.tokenAuth.follow(request), () => {})
        })
      })
    }
  })
  await app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  const { port } = app.server.address() as AddressInfo
  const socket = new WebSocket(`ws://127.0.0.1:${port}/late`, [tokenSubprotocol, token])
  const closure = await new Promise(resolve => {
    socket.on('close', (code, reason) => {
      resolve([code, String(reason)])
    })
  })
  t.strictSame(closure, [4401, 'AUTH_SESSION_REVOKED'])
})
