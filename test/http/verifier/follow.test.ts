import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { WebSocket } from 'ws'
import { fakeAuth } from '../../../src/testing/index.js'
import { authenticate, follow, tokenVerifier } from '../../../src/verifier/index.js'
import type {
  Auth,
  FollowedSession,
  SyncOptions,
  TokenVerifierOptions
} from '../../../src/verifier/index.js'
import { MINUTE } from '../../helpers/clock.js'
import { getReason } from '../../live/fixtures.js'
import { JWKS, scope } from './jwks-setup.js'
import { client, signToken, startFakeIssuer, startIssuer, waitUntil } from './sync-setup.js'

// Most tests wait for a timer of a second.
t.jobs = 8

interface Service {
  readonly app: FastifyInstance
  readonly base: string
  /** Follows the session of an access token. */
  follow(token: string): Promise<FollowedSession>
}

interface ServiceOptions extends Partial<TokenVerifierOptions> {
  /** Adds routes before the app listens. */
  readonly addRoutes?: (app: FastifyInstance) => unknown
}

/** Starts a service with a key set and, by default, without `sync`. */
async function startService (
  t: Test,
  issuer: string,
  { addRoutes, ...options }: ServiceOptions = {}
): Promise<Service> {
  const followed: FollowedSession[] = []
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(tokenVerifier, {
    ...scope,
    ...(options.introspection === undefined && { jwksUri: issuer + JWKS }),
    ...options
  })
  app.get('/follow', { onRequest: [authenticate] }, request => {
    followed.push(follow(request))
    return {}
  })
  await addRoutes?.(app)
  const base = await app.listen({ host: '127.0.0.1', port: 0 })

  return {
    app,
    base,
    async follow (token) {
      const headers = { authorization: `Bearer ${token}` }
      const response = await fetch(`${base}/follow`, { headers })

      if (!response.ok) {
        throw new Error(await response.text())
      }

      return followed.at(-1) as FollowedSession
    }
  }
}

const getSync = (base: string): SyncOptions => ({
  uri: `${base}/auth/sync`,
  ...client
})

/** Clock of a service that tests set ahead. */
function createShiftedClock (): { readonly clock: () => number, ahead: number } {
  const shifted = { clock: () => Date.now() + shifted.ahead, ahead: 0 }
  return shifted
}

const getEnd = (gen: number, minutes: number): string =>
  signToken('s1', gen, { exp: Math.floor(Date.now() / 1000) + minutes * 60 })

t.test('a logout at the issuer aborts the signal of a service within 1.5 s', async t => {
  const issuer = await startIssuer(t)
  const service = await startService(t, issuer.base, { sync: getSync(issuer.base) })
  const [ann, bob, cyd] = [
    await issuer.login('ann'),
    await issuer.login('bob'),
    await issuer.login('cyd')
  ]
  const signals: AbortSignal[] = []

  for (const { access_token: token } of [ann, bob, cyd]) {
    signals.push((await service.follow(token)).signal)
  }

  t.strictSame(signals.map(getReason), [null, null, null])
  await issuer.post('/auth/logout', { refresh_token: ann.refresh_token })
  await issuer.app.tokenAuth.revokeUser('u-bob')
  const took = await waitUntil(() => signals.filter(({ aborted }) => aborted).length === 2)
  // The token itself would expire after 15 minutes.
  t.ok(took < 20_000, `${Math.round(took)} ms`)
  t.strictSame(signals.map(getReason), ['AUTH_SESSION_REVOKED', 'AUTH_SESSION_REVOKED', null])
})

t.test('a session that is revoked before follow gives a signal that has aborted', async t => {
  const issuer = await startIssuer(t)
  const followed: FollowedSession[] = []
  const { base } = await startService(t, issuer.base, {
    sync: getSync(issuer.base),
    addRoutes (app) {
      app.get('/late', { onRequest: [authenticate] }, async request => {
        await issuer.app.tokenAuth.revokeUser('u-ann')
        await setTimeout(1500)
        followed.push(follow(request))
        return {}
      })
    }
  })
  const { access_token: token } = await issuer.login()
  await fetch(`${base}/late`, { headers: { authorization: `Bearer ${token}` } })
  t.equal(getReason(followed[0]?.signal as AbortSignal), 'AUTH_SESSION_REVOKED')
})

for (const kind of ['a key set', 'sync', 'introspection'] as const) {
  t.test(`the end of the token aborts the signal of a service with ${kind}`, async t => {
    const issuer = await startIssuer(t)
    const shifted = createShiftedClock()
    const service = await startService(t, issuer.base, {
      clock: shifted.clock,
      ...(kind === 'sync' && { sync: getSync(issuer.base) }),
      ...(kind === 'introspection' && {
        introspection: { uri: `${issuer.base}/auth/introspect`, ...client }
      })
    })
    const { signal } = await service.follow((await issuer.login()).access_token)
    shifted.ahead = 14 * MINUTE
    await setTimeout(1100)
    t.equal(getReason(signal), null)
    shifted.ahead = 15 * MINUTE
    t.ok(await waitUntil(() => signal.aborted) < 1500)
    t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
  })
}

t.test('a key set alone knows no logout', async t => {
  const issuer = await startIssuer(t)
  const service = await startService(t, issuer.base)
  const { access_token: token, refresh_token: refreshToken } = await issuer.login()
  const { signal } = await service.follow(token)
  await issuer.post('/auth/logout', { refresh_token: refreshToken })
  await setTimeout(1500)
  t.equal(getReason(signal), null)
})

t.test('renew continues with a newer token of the session', async t => {
  const issuer = await startFakeIssuer(t)
  const shifted = createShiftedClock()
  const service = await startService(t, issuer.base, { clock: shifted.clock })
  const { renew, signal } = await service.follow(getEnd(0, 15))
  const auth = await renew(getEnd(1, 25))
  t.match(auth, { sessionId: 's1', userId: 'u-ann' })
  shifted.ahead = 20 * MINUTE
  await setTimeout(1100)
  t.equal(getReason(signal), null)
  await t.rejects(renew(getEnd(0, 40)), { code: 'AUTH_ACCESS_EXPIRED' })
  shifted.ahead = 25 * MINUTE
  await waitUntil(() => signal.aborted)
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

for (const kind of ['sync', 'introspection'] as const) {
  t.test(`renew accepts only tokens that a service with ${kind} accepts`, async t => {
    const issuer = await startIssuer(t)
    const service = await startService(t, issuer.base, {
      ...(kind === 'sync'
        ? { sync: getSync(issuer.base) }
        : { introspection: { uri: `${issuer.base}/auth/introspect`, ...client } })
    })
    const first = await issuer.login()
    const { renew, signal } = await service.follow(first.access_token)
    const second = (await issuer.refresh(first.refresh_token)).json()
    t.match(await renew(second.access_token), { userId: 'u-ann' })
    await t.rejects(renew(first.access_token), { code: 'AUTH_ACCESS_EXPIRED' })

    const { access_token: other } = await issuer.login()
    await t.rejects(renew(other), { code: 'AUTH_ACCESS_INVALID' })
    await t.rejects(renew((await issuer.login('bob')).access_token), {
      code: 'AUTH_ACCESS_INVALID'
    })
    await t.rejects(renew(`${second.access_token.slice(0, -4)}AAAA`), {
      code: 'AUTH_ACCESS_INVALID'
    })
    await t.rejects(renew(second.refresh_token), { code: 'AUTH_ACCESS_INVALID' })
    t.equal(getReason(signal), null)
  })
}

t.test('renew notes the use of its token for the issuer', async t => {
  const issuer = await startFakeIssuer(t)
  const service = await startService(t, issuer.base, { sync: getSync(issuer.base) })
  const { renew } = await service.follow(signToken('s1', 3))
  await renew(signToken('s1', 4))
  const hasNote = (gen: number): boolean =>
    issuer.requests.some(({ notes }) => notes.some(note => note.gen === gen))
  await waitUntil(() => hasNote(4))
})

t.test('an issuer that is down aborts no signal, but renew rejects after failAfter', async t => {
  const issuer = await startFakeIssuer(t)
  const service = await startService(t, issuer.base, {
    timeout: '1s',
    sync: { ...getSync(issuer.base), failAfter: '2s' }
  })
  const { renew, signal } = await service.follow(signToken('s1'))
  issuer.react = () => 'down'
  await waitUntil(async () =>
    await renew(signToken('s1', 1)).then(() => false, ({ code }) => {
      t.equal(code, 'AUTH_STORE_UNAVAILABLE')
      return true
    })
  )
  t.equal(getReason(signal), null)
  issuer.react = () => null
  await waitUntil(() => renew(signToken('s1', 1)).then(() => true, () => false))
})

t.test('a socket whose handshake has the token closes after a logout', async t => {
  const issuer = await startIssuer(t)
  const { base } = await startService(t, issuer.base, {
    sync: getSync(issuer.base),
    async addRoutes (app) {
      await app.register(websocket)
      await app.register(async app => {
        app.get('/live', { websocket: true, onRequest: [authenticate] }, (socket, request) => {
          const { signal, renew, end } = follow(request)
          signal.addEventListener('abort', () => {
            socket.close(4401, signal.reason.code)
          })
          socket.on('message', message => {
            renew(String(message)).then(
              ({ userId }) => socket.send(userId),
              ({ code }) => socket.send(code)
            )
          })
          socket.on('close', end)
        })
      })
    }
  })
  const first = await issuer.login()
  const protocols = ['bearer.fastify-token-auth', first.access_token]
  const socket = new WebSocket(`${base.replace('http', 'ws')}/live`, protocols)
  await once(socket, 'open')
  t.equal(socket.protocol, protocols[0])

  const ask = async (token: string): Promise<string> => {
    socket.send(token)
    return String((await once(socket, 'message'))[0])
  }

  const second = (await issuer.refresh(first.refresh_token)).json()
  t.equal(await ask(second.access_token), 'u-ann')
  t.equal(await ask((await issuer.login()).access_token), 'AUTH_ACCESS_INVALID')
  const start = performance.now()
  await issuer.post('/auth/logout', { refresh_token: second.refresh_token })
  const [code, reason] = await once(socket, 'close')
  const took = performance.now() - start
  t.strictSame([code, String(reason)], [4401, 'AUTH_SESSION_REVOKED'])
  t.ok(took < 1500, `${Math.round(took)} ms`)
})

t.test('a token that the cache has dropped is followed', async t => {
  const issuer = await startFakeIssuer(t)
  const signals: AbortSignal[] = []
  const service = await startService(t, issuer.base, {
    cacheSize: 2,
    addRoutes (app) {
      app.get('/busy', { onRequest: [authenticate] }, async request => {
        for (const sid of ['s2', 's3', 's4', 's5']) {
          await service.follow(signToken(sid))
        }

        signals.push(follow(request).signal)
        return {}
      })
    }
  })
  const headers = { authorization: `Bearer ${signToken('s1')}` }
  t.equal((await fetch(`${service.base}/busy`, { headers })).status, 200)
  t.equal(getReason(signals[0] as AbortSignal), null)
})

t.test('follow without a token that was accepted throws AUTH_ACCESS_MISSING', async t => {
  const issuer = await startFakeIssuer(t)
  const foreign = { userId: 'u-ann', sessionId: 's1' } as Auth
  const { base } = await startService(t, issuer.base, {
    addRoutes (app) {
      app.get('/open', request => {
        follow(request)
      })
      app.get('/foreign', request => {
        request.auth = foreign
        follow(request)
      })
    }
  })
  const headers = { authorization: `Bearer ${signToken('s1')}` }

  for (const path of ['/open', '/foreign']) {
    const response = await fetch(base + path, { headers })
    t.equal(response.status, 401)
    t.match(await response.json(), { code: 'AUTH_ACCESS_MISSING' })
  }
})

t.test('follow throws in a scope without sessions', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  const errors: Array<Error & { code?: string }> = []

  const tryFollow = async (scope: FastifyInstance, path: string): Promise<void> => {
    scope.get(path, request => {
      try {
        follow(request)
      } catch (error) {
        errors.push(error as Error)
      }

      return {}
    })
  }

  await tryFollow(app, '/none')
  await app.register(async scope => {
    await scope.register(fakeAuth({ userId: '1' }))
    await tryFollow(scope, '/fake')
  })
  await app.inject('/none')
  await app.inject('/fake')
  t.match(errors, [
    { code: 'AUTH_NOT_REGISTERED' },
    { message: 'fastify-token-auth: follow does not work with fakeAuth; register tokenVerifier' }
  ])
})

t.test('an app that closes stops following, and aborts no signal', async t => {
  const issuer = await startFakeIssuer(t)
  const shifted = createShiftedClock()
  const service = await startService(t, issuer.base, { clock: shifted.clock })
  const { renew, signal } = await service.follow(signToken('s1'))
  await service.app.close()
  await t.rejects(renew(signToken('s1', 1)), /renew cannot be used after end/)
  shifted.ahead = 20 * MINUTE
  await setTimeout(1100)
  t.equal(getReason(signal), null)
})
