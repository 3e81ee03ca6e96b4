import { once } from 'node:events'
import type { EventEmitter } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { defaultConcurrency } from '../../../src/login/hash-queue.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { holdChecks } from '../../helpers/cheap-argon2.js'

interface Server extends TestApp {
  readonly port: number
  connect(): Socket
  /** Waits until the server has noticed that all clients have disconnected. */
  waitForDisconnect(): Promise<void>
  /** Waits until as many hashes run and wait. */
  waitForLoad(running: number, waiting: number): Promise<void>
}

async function listen (
  t: Test,
  options: Partial<TokenAuthOptions> = {},
  fastify: { readonly http2?: true } = {}
): Promise<Server> {
  const test = await createTestApp({
    options,
    fastify: { forceCloseConnections: true, ...fastify }
  })
  t.teardown(() => test.app.close())
  await test.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = test.app.server.address() as AddressInfo
  const connections = new Set<EventEmitter>()
  // HTTP/2 has a stream for each request.
  const event = fastify.http2 === true ? 'stream' : 'connection'
  test.app.server.on(event, (connection: EventEmitter) => {
    connections.add(connection)
    connection.once('close', () => {
      connections.delete(connection)
    })
  })

  return {
    ...test,
    port,
    connect () {
      const socket = connect(port, '127.0.0.1')
      t.teardown(() => socket.destroy())
      return socket.on('error', () => {})
    },
    waitForDisconnect: () => waitUntil(() => connections.size === 0),
    waitForLoad: (running, waiting) =>
      waitUntil(async () => {
        const { hashes: load } = await test.app.tokenAuth.health()
        return load.running === running && load.waiting === waiting
      })
  }
}

async function waitUntil (isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!await isTrue()) {
    await new Promise(resolve => {
      setTimeout(resolve, 2)
    })
  }
}

function formatLogin (password = PASSWORD): string {
  const body = JSON.stringify({ username: 'ann', password })

  return [
    'POST /auth/login HTTP/1.1',
    'Host: localhost',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    '',
    body
  ].join('\r\n')
}

t.test('logins whose clients disconnect are not hashed and open no session', async t => {
  const places = defaultConcurrency()
  const ways: Readonly<Record<string, (server: Server) => () => void>> = {
    'connections that are reset' (server) {
      const sockets = Array.from({ length: 60 }, () => server.connect())
      sockets.forEach(socket => socket.write(formatLogin()))

      return () => {
        sockets.forEach(socket => socket.resetAndDestroy())
      }
    },
    'connections that are ended' (server) {
      const sockets = Array.from({ length: 60 }, () => server.connect())
      sockets.forEach(socket => socket.write(formatLogin()))

      return () => {
        sockets.forEach(socket => socket.end())
      }
    },
    'one connection with pipelined requests' (server) {
      const socket = server.connect()
      socket.write(formatLogin().repeat(60))

      return () => {
        socket.destroy()
      }
    }
  }

  for (const [name, start] of Object.entries(ways)) {
    const server = await listen(t)
    const checks = holdChecks()
    const hangUp = start(server)
    await server.waitForLoad(places, 60 - places)
    hangUp()
    await server.waitForLoad(places, 0)
    checks.release()
    await server.waitForLoad(0, 0)
    t.equal(checks.started(), places, `${name}: hashes that ran already`)
    t.strictSame(await server.app.tokenAuth.listSessions('u-ann'), [], name)
    t.strictSame(server.events, [], name)
    t.ok(await server.login(), 'another client can log in')
  }
})

t.test('an HTTP/2 login whose stream is closed opens no session', async t => {
  const server = await listen(t, {}, { http2: true })
  const session = connectHttp2(`http://127.0.0.1:${server.port}`)
  t.teardown(() => {
    session.destroy()
  })

  const send = (): ReturnType<typeof session.request> => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/auth/login',
      'content-type': 'application/json'
    })
    stream.end(JSON.stringify({ username: 'ann', password: PASSWORD }))
    return stream
  }

  const checks = holdChecks()
  const gone = send()
  await server.waitForLoad(1, 0)
  gone.close()
  await server.waitForDisconnect()
  checks.release()
  await server.waitForLoad(0, 0)
  t.strictSame(await server.app.tokenAuth.listSessions('u-ann'), [])

  const stream = send()
  const [headers] = await once(stream, 'response') as [Record<string, unknown>]
  t.equal(headers[':status'], 200)
})

t.test('a wrong password counts although its client disconnects', async t => {
  const server = await listen(t, { throttle: { account: { freeAttempts: 3 } } })

  const guess = async (password: string): Promise<void> => {
    const checks = holdChecks()
    const socket = server.connect()
    socket.write(formatLogin(password))
    await server.waitForLoad(1, 0)
    socket.destroy()
    await server.waitForDisconnect()
    checks.release()
    await server.waitForLoad(0, 0)
  }

  for (let i = 0; i < 5; i++) {
    await guess(PASSWORD)
  }

  for (let i = 0; i < 3; i++) {
    await guess('wrong')
  }

  const { statusCode } = await server.post('/auth/login', { username: 'ann', password: PASSWORD })
  t.equal(statusCode, 429)
  t.equal(server.events.filter(({ name }) => name === 'login-rejected').length, 3)
  t.strictSame(await server.app.tokenAuth.listSessions('u-ann'), [])
})

t.test('a login that was not hashed does not count when its client disconnects', async t => {
  const server = await listen(t, { throttle: { account: { freeAttempts: 3, maxAttempts: 3 } } })
  const checks = holdChecks()
  const others = Array.from(
    { length: defaultConcurrency() },
    () => server.post('/auth/login', { username: 'bob', password: PASSWORD })
  )
  await server.waitForLoad(others.length, 0)
  const sockets = Array.from({ length: 30 }, () => server.connect())
  sockets.forEach(socket => socket.write(formatLogin('wrong')))
  await server.waitForLoad(others.length, 3)
  sockets.forEach(socket => socket.destroy())
  await server.waitForLoad(others.length, 0)
  checks.release()
  await Promise.all(others)
  t.equal(checks.started(), others.length)
  t.ok(await server.login(), 'the account is not blocked')
})

t.test('known devices do not wait for a storm of guesses', async t => {
  const { app } = await createTestApp({
    options: { throttle: { account: { freeAttempts: 1000, maxAttempts: 1000 } } }
  })
  t.teardown(() => app.close())
  const guess = async (payload: object, remoteAddress: string): Promise<LightMyRequestResponse> =>
    app.inject({ method: 'POST', url: '/auth/login', remoteAddress, payload })
  const owner = { username: 'ann', password: PASSWORD }
  const { device_token: token } = (await guess(owner, '192.0.2.1')).json<TokenResponse>()
  const checks = holdChecks()
  const storm = Array.from(
    { length: 600 },
    (_, i) => guess({ username: `nobody-${i}`, password: 'x' }, `203.${i >> 8}.${i & 255}.1`)
  )
  await waitUntil(async () => (await app.tokenAuth.health()).hashes.waiting > 100)
  await new Promise(resolve => {
    setTimeout(resolve, 100)
  })
  const known = guess({ ...owner, device_token: token }, '192.0.2.1')
  const unknown = await guess(owner, '192.0.2.1')
  t.match(unknown.json(), { statusCode: 503, code: 'AUTH_BUSY' })
  const wait = Number(unknown.headers['retry-after'])
  t.ok(wait >= 3 && wait <= 5, `retry after ${wait} s`)
  const { waiting } = (await app.tokenAuth.health()).hashes
  checks.release()
  t.equal((await known).statusCode, 200)
  const left = (await app.tokenAuth.health()).hashes.waiting
  t.ok(left > waiting / 2, `${left} of ${waiting} others still wait`)
  const statuses = (await Promise.all(storm)).map(({ statusCode }) => statusCode)
  t.strictSame([...new Set(statuses)].sort(), [401, 503])
})

t.test('one network cannot reject the logins of another', async t => {
  const { app } = await createTestApp()
  t.teardown(() => app.close())
  const login = async (remoteAddress: string): Promise<LightMyRequestResponse> =>
    app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress,
      payload: { username: 'ann', password: PASSWORD }
    })
  const checks = holdChecks()
  const flood = Array.from({ length: 600 }, (_, i) => login(`2001:db8:1:${i.toString(16)}::1`))
  await waitUntil(async () => (await app.tokenAuth.health()).hashes.waiting > 100)
  const other = login('2001:db8:2::1')
  await new Promise(resolve => {
    setTimeout(resolve, 50)
  })
  checks.release()
  t.equal((await other).statusCode, 200)
  await Promise.all(flood)
})
