import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { authenticate, requireFresh } from '../../../src/index.js'
import { tokenVerifier } from '../../../src/verifier/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp, TestAppOptions } from '../../helpers/app.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import { DpopClient, hashAccessToken } from '../../helpers/dpop.js'
import { createLog } from '../../helpers/log.js'
import { createToken, pairs, scope, startKeyServer, toJwk } from '../verifier/jwks-setup.js'
import { plugins, preparePlugin, start as startEither } from './plugins.js'
import type { HookPlugin, PluginName, SharedOptions } from './plugins.js'

const MARKER = 'bearer.fastify-token-auth'

/** Adds routes with sockets that send the user of the request. */
async function addSockets (app: FastifyInstance): Promise<void> {
  await app.register(websocket)
  await app.register(async app => {
    app.get('/live', { websocket: true, onRequest: [app.authenticate] }, (socket, { auth }) => {
      socket.send(String(auth?.userId))
    })
    app.get('/open', { websocket: true }, socket => {
      socket.send('open')
    })
  })
}

async function start (t: Test, options: TestAppOptions = {}): Promise<TestApp & { url: string }> {
  const test = await createTestApp({
    ...options,
    async after (app) {
      await addSockets(app)
      await options.after?.(app)
    }
  })
  await test.app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
  t.teardown(() => test.app.close())
  const { port } = test.app.server.address() as AddressInfo
  return { ...test, url: `ws://127.0.0.1:${port}` }
}

/** Registers either plugin, and adds a protected route. */
async function openEither (
  t: Test,
  plugin: PluginName,
  options?: SharedOptions
): Promise<HookPlugin & { readonly app: FastifyInstance }> {
  const app = startEither(t)
  const source = await preparePlugin(t, app, plugin)
  await source.register(app, options)
  app.get('/protected', { onRequest: [app.authenticate] }, request => request.auth)
  return { ...source, app }
}

/** Opens a socket. Returns the selected subprotocol and the first message, or the status. */
async function open (
  url: string,
  protocols: string[],
  headers: Record<string, string> = {}
): Promise<{ protocol: string, message: string } | number> {
  const socket = new WebSocket(url, protocols, { headers })
  const message = once(socket, 'message')
  message.catch(() => {})
  const rejected = new Promise<number>(resolve => {
    socket.on('unexpected-response', (_request, { statusCode }) => {
      resolve(statusCode ?? 0)
      socket.on('error', () => {})
      socket.terminate()
    })
  })
  const result = await Promise.race([message, rejected])

  if (typeof result === 'number') {
    return result
  }

  const { protocol } = socket
  socket.close()
  await once(socket, 'close')
  return { protocol, message: String(result[0]) }
}

/** Sends the headers of a handshake. Returns the user or the code of the error. */
async function ask (
  app: FastifyInstance,
  protocols: string | undefined,
  { url = '/protected', ...headers }: Record<string, string> = {}
): Promise<string> {
  const response = await app.inject({
    url,
    headers: {
      connection: 'upgrade',
      upgrade: 'websocket',
      ...(protocols !== undefined && { 'sec-websocket-protocol': protocols }),
      ...headers
    }
  })
  return response.json()?.code ?? response.json()?.userId ?? null
}

t.test('a handshake with a token as subprotocol opens the socket', async t => {
  const log = createLog()
  const { app, url, login } = await start(t, { fastify: log.fastify })
  const { access_token: token } = await login()

  t.strictSame(await open(`${url}/live`, ['chat.v2', 'chat.v1', MARKER, token]), {
    protocol: 'chat.v2',
    message: 'u-ann'
  })
  t.strictSame(
    await open(`${url}/live`, [MARKER, token]),
    { protocol: MARKER, message: 'u-ann' },
    'the server selects the marker, never the token'
  )
  t.equal(await open(`${url}/live`, ['chat.v2']), 401)
  t.equal(await open(`${url}/live`, [MARKER, `${token}A`]), 401)
  t.equal(await open(`${url}/live`, [token, MARKER]), 400)
  t.equal(await open(`${url}/missing`, [MARKER, token]), 404)
  t.match(await open(`${url}/open`, [MARKER, token]), { message: 'open' })
  t.strictSame(app.tokenAuth.unprotectedRoutes(), [{ method: 'GET', path: '/open' }])
  t.match(log.text, '/live')
  t.notMatch(log.text, token.slice(-20), 'the log has no token')
})

t.test('the token of a revoked session is rejected as in a header', async t => {
  const { app, login } = await createTestApp()
  t.teardown(() => app.close())
  const { access_token: token } = await login()
  t.equal(await ask(app, `${MARKER}, ${token}`), 'u-ann')
  await app.tokenAuth.revokeUser('u-ann')
  t.equal(await ask(app, `${MARKER}, ${token}`), 'AUTH_SESSION_REVOKED')
})

for (const plugin of plugins) {
  t.test(`${plugin}: a token is rejected as in a header`, async t => {
    const { app, clock, login } = await openEither(t, plugin)
    const { access_token: token } = await login()
    const { access_token: other } = await login('bob')
    t.equal(await ask(app, `${MARKER}, ${token}`), 'u-ann')
    t.equal(await ask(app, `${MARKER},${token}`), 'u-ann')
    t.equal(await ask(app, `chat,\t${MARKER} ,  ${token} `), 'u-ann')
    t.equal(await ask(app, `${MARKER}, ${other}`, { upgrade: 'WebSocket' }), 'u-bob')
    clock.advance(20 * MINUTE)
    t.equal(await ask(app, `${MARKER}, ${token}`), 'AUTH_ACCESS_EXPIRED')
    t.equal(await ask(app, `${MARKER}, garbage`), 'AUTH_ACCESS_INVALID')
  })

  t.test(`${plugin}: exactly one token must follow the marker`, async t => {
    const { app, login } = await openEither(t, plugin)
    const { access_token: token } = await login()
    const { access_token: other } = await login('bob')

    for (
      const protocols of [
        MARKER,
        `${MARKER},`,
        `${token}, ${MARKER}`,
        `${MARKER}, ${token}, ${other}`,
        `${MARKER}, ${token}, chat`,
        `${MARKER}, ${token}, ${MARKER}, ${other}`,
        `${MARKER}, ${MARKER}`,
        `${MARKER}, ${MARKER}, ${token}`
      ]
    ) {
      t.equal(await ask(app, protocols), 'AUTH_REQUEST_INVALID', protocols.replace(token, 'token'))
    }

    for (const authorization of [`Bearer ${token}`, `Bearer ${other}`, 'Basic', '']) {
      t.equal(await ask(app, `${MARKER}, ${token}`, { authorization }), 'AUTH_REQUEST_INVALID')
    }

    const authorization = 'Basic YTpi'
    t.equal(await ask(app, `${MARKER}, ${token}`, { authorization }), 'u-ann', 'of a proxy')
  })

  t.test(`${plugin}: a token is read in the handshake of a WebSocket only`, async t => {
    const { app, login } = await openEither(t, plugin)
    const { access_token: token } = await login()
    const offered = { 'sec-websocket-protocol': `${MARKER}, ${token}` }
    t.equal((await app.inject({ url: '/protected', headers: offered })).statusCode, 401)

    for (const upgrade of ['h2c', 'websocket2', 'websocket, h2c', '']) {
      t.equal(await ask(app, offered['sec-websocket-protocol'], { upgrade }), 'AUTH_ACCESS_MISSING')
    }

    t.equal(await ask(app, `bearer, ${token}`), 'AUTH_ACCESS_MISSING')
    t.equal(await ask(app, `${MARKER.toUpperCase()}, ${token}`), 'AUTH_ACCESS_MISSING')
    t.equal(await ask(app, undefined), 'AUTH_ACCESS_MISSING')
    t.equal(await ask(app, 'chat', { authorization: `Bearer ${token}` }), 'u-ann')
  })

  t.test(`${plugin}: settings of routes apply to a subprotocol`, async t => {
    const { app, clock, login } = await openEither(t, plugin, { protect: 'all' })
    const setting = (tokenAuth: 'public' | 'optional'): object => ({ config: { tokenAuth } })
    app.get('/public', setting('public'), request => ({ userId: String(request.auth) }))
    app.get('/optional', setting('optional'), ({ auth }) => auth ?? { userId: 'visitor' })
    app.get('/fresh', { onRequest: [requireFresh('5m')] }, request => request.auth)
    app.get('/all', request => request.auth)
    app.get('/exported', { onRequest: [authenticate] }, request => request.auth)
    const { access_token: token } = await login()
    const offered = `chat, ${MARKER}, ${token}`
    t.equal(await ask(app, offered, { url: '/public' }), 'null')
    t.equal(await ask(app, MARKER, { url: '/public' }), 'null')
    t.equal(await ask(app, offered, { url: '/optional' }), 'u-ann')
    t.equal(await ask(app, 'chat', { url: '/optional' }), 'visitor')
    t.equal(await ask(app, MARKER, { url: '/optional' }), 'AUTH_REQUEST_INVALID')
    t.equal(await ask(app, offered, { url: '/all' }), 'u-ann')
    t.equal(await ask(app, offered, { url: '/exported' }), 'u-ann')
    t.equal(await ask(app, offered, { url: '/fresh' }), 'u-ann')
    clock.advance(6 * MINUTE)
    t.equal(await ask(app, offered, { url: '/fresh' }), 'AUTH_REAUTHENTICATION_REQUIRED')
    clock.advance(10 * MINUTE)
    t.equal(await ask(app, offered, { url: '/optional' }), 'AUTH_ACCESS_EXPIRED')
  })
}

t.test('a subprotocol replaces a cookie, which keeps its check of the origin', async t => {
  const { app, post, login } = await createTestApp({
    options: { refreshToken: { transport: 'both' }, cookie: { accessToken: true } }
  })
  t.teardown(() => app.close())
  const { access_token: token } = await login('bob')
  const response = await post('/auth/login', { username: 'ann', password: PASSWORD }, {
    'x-token-transport': 'cookie'
  })
  const cookie = response.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const foreign = { cookie, origin: 'https://evil.test' }
  t.equal(await ask(app, 'chat', { cookie, 'sec-fetch-site': 'same-origin' }), 'u-ann')
  t.equal(await ask(app, 'chat', foreign), 'AUTH_ORIGIN_REJECTED')
  t.equal(await ask(app, `${MARKER}, ${token}`, foreign), 'u-bob')
  t.equal(await ask(app, `${MARKER}, garbage`, foreign), 'AUTH_ACCESS_INVALID')
  const inCookie = `__Host-auth-access=Bearer ${token}`
  t.equal(await ask(app, 'chat', { cookie: inCookie }), 'AUTH_ACCESS_INVALID')
})

t.test('a token that is bound to a key is rejected, with a proof too', async t => {
  const { app, login } = await createTestApp({ options: { dpop: true } })
  t.teardown(() => app.close())
  const holder = new DpopClient(app)
  const credentials = { username: 'ann', password: PASSWORD }
  const response = await holder.send('POST', '/auth/login', { body: credentials })
  const { access_token: bound } = response.json<{ access_token: string }>()
  const { access_token: bearer } = await login()
  t.equal(await ask(app, `${MARKER}, ${bearer}`), 'u-ann')
  t.equal(await ask(app, `${MARKER}, ${bound}`), 'AUTH_ACCESS_INVALID')

  for (const claims of [{}, { ath: hashAccessToken(bound) }]) {
    const dpop = holder.createProof('GET', '/protected', claims)
    t.equal(await ask(app, `${MARKER}, ${bound}`, { dpop }), 'AUTH_ACCESS_INVALID')
  }
})

t.test('a verifier accepts a subprotocol', async t => {
  const keys = await startKeyServer(t, toJwk(pairs.EdDSA))
  const app = Fastify()
  await app.register(tokenVerifier, { jwksUri: keys.uri, ...scope, clock: createClock() })
  await addSockets(app)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const url = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/live`
  const token = createToken('EdDSA')

  for (const name of ['first', 'cached']) {
    t.match(await open(url, ['chat', MARKER, token]), { message: 'u-ann', protocol: 'chat' }, name)
  }

  t.equal(await open(url, [MARKER, `${token.slice(0, -8)}AAAAAAAA`]), 401)
})

t.test('injectWS of @fastify/websocket accepts both ways', async t => {
  const { app, login } = await start(t)
  const { access_token: token } = await login()

  for (
    const headers of [
      { authorization: `Bearer ${token}` },
      { 'sec-websocket-protocol': `${MARKER}, ${token}` }
    ]
  ) {
    const messages: string[] = []
    const socket = await app.injectWS('/live', { headers }, {
      onInit: socket => socket.on('message', data => messages.push(String(data)))
    })
    await new Promise(resolve => setImmediate(resolve))
    socket.terminate()
    t.strictSame(messages, ['u-ann'])
  }
})
