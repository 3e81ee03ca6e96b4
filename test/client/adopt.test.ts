import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import type { AuthClient } from '../../src/client/index.js'
import type { TestAppOptions } from '../helpers/app.js'
import { PASSWORD } from '../helpers/app.js'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, credentials, reply } from './world.js'
import type { World } from './world.js'

/** Adds a sign-up route, which opens a session, and a step-up route. */
const routes: TestAppOptions = {
  after: app => {
    app.post(
      '/signup',
      async (request: FastifyRequest, reply: FastifyReply) =>
        reply.code(201).send(await app.tokenAuth.openSession('u-bob', request, { reply }))
    )
    app.post(
      '/step-up',
      { onRequest: [app.authenticate] },
      (request, reply) => app.tokenAuth.elevate(request, { amr: ['hwk'], reply })
    )
  }
}

const signUp = (client: AuthClient): Promise<unknown> =>
  client.adopt(fetch => fetch('/signup', { method: 'POST' }))

function countSessions ({ server }: World, userId: string): Promise<number> {
  return server.app.tokenAuth.listSessions(userId).then(({ length }) => length)
}

for (const storage of ['cookie', 'memory', 'keychain'] as const) {
  t.test(`${storage}: adopt signs in with a route of the app`, async t => {
    const world = await createWorld(t, routes)
    const client = world.open({ storage })
    await world.until(client.ready)
    const state = await world.until(signUp(client))
    t.equal(state, client.state)
    t.match(state, { status: 'signed-in', user: { username: 'bob' } })
    t.equal((await world.until(client.fetch('/protected'))).status, 200)
    world.skip(20 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200, 'it can be refreshed')
  })

  t.test(`${storage}: adopt replaces and revokes the earlier session`, async t => {
    const world = await createWorld(t, routes)
    const client = await world.openSignedIn({ storage })
    await world.until(signUp(client))
    await world.run(1000)
    t.match(client.state, { user: { username: 'bob' } })
    t.equal(await countSessions(world, 'u-bob'), 1)
    t.equal(await countSessions(world, 'u-ann'), 0)
  })
}

t.test('adopt signs in the other tabs', async t => {
  const world = await createWorld(t, routes)
  const [client, other] = [world.open(), world.open()]
  await world.until(Promise.all([client.ready, other.ready]))
  await world.until(signUp(client))
  await world.run()
  t.match(other.state, { status: 'signed-in', user: { username: 'bob' } })
})

t.test('adopt rejects a response without tokens and leaves the user signed in', async t => {
  const world = await createWorld(t, routes)
  const client = await world.openSignedIn({ storage: 'keychain' })
  const { stored } = world.device
  const failures = [
    [() => reply(201, { id: 1 }), { code: 'refused', message: /contains no tokens/ }],
    [() => reply(409, { code: 'taken', message: 'Name is taken' }), {
      code: 'refused',
      status: 409
    }],
    [
      () => reply(401, { code: 'AUTH_CREDENTIALS_REJECTED', message: 'Link has expired' }),
      { code: 'AUTH_CREDENTIALS_REJECTED', status: 401, detail: 'Link has expired' }
    ],
    [() => Promise.reject(new TypeError('offline')), {
      code: 'network',
      cause: { message: 'offline' }
    }],
    // The result of `response.json()` instead of the response.
    [() => Promise.resolve({ id: 1 } as unknown as Response), {
      code: 'network',
      cause: { message: /callbacks of adopt .* must return a Response/ }
    }]
  ] as const

  for (const [send, error] of failures) {
    await t.rejects(world.until(client.adopt(send)), { name: 'AuthError', ...error })
    t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
    t.equal(world.device.stored, stored)
  }
})

t.test('the error of a misplaced refresh token names mistakes with adopt', async t => {
  const world = await createWorld(t, {
    after: app => {
      app.post('/signup', request => app.tokenAuth.openSession('u-bob', request))
    }
  })
  const client = world.open()
  await world.until(client.ready)
  await t.rejects(world.until(signUp(client)), {
    code: 'transport',
    message: /with adopt, .* the fetch of its callback, and pass "reply" to openSession/
  })
})

t.test('adopt sends no credentials to another origin', async t => {
  const world = await createWorld(t, routes)
  const client = world.open()
  await world.until(client.ready)
  world.sent.length = 0
  await t.rejects(world.until(client.adopt(fetch => fetch('https://elsewhere.test/signup'))))
  t.equal(world.sent[0]?.url, 'https://elsewhere.test/signup')
  t.equal(world.sent[0]?.headers['x-token-transport'], undefined)
})

t.test('adopt follows no redirect', async t => {
  const world = await createWorld(t, routes)
  const redirects: Array<string | undefined> = []
  const client = world.open({
    fetch: async (_input, init) => {
      redirects.push(init?.redirect)
      return reply(401)
    }
  })
  await world.until(client.ready)
  await t.rejects(world.until(signUp(client) as Promise<unknown>))
  t.equal(redirects.at(-1), 'error')
})

t.test('a logout wins over an adopt in flight', async t => {
  const world = await createWorld(t, routes)
  const client = world.open()
  await world.until(client.ready)
  const adopted = t.rejects(signUp(client), { code: 'signed-out' })
  await world.run(5)
  await world.until(client.logout())
  await world.run(10_000)
  await adopted
  t.equal(await countSessions(world, 'u-bob'), 0)
})

for (const storage of ['cookie', 'keychain'] as const) {
  t.test(`${storage}: elevate confirms the password without another session`, async t => {
    const world = await createWorld(t, routes)
    const client = await world.openSignedIn({ storage })
    world.skip(10 * MINUTE)
    const before = readClaims(await client.getAccessToken())
    const state = await world.until(client.elevate({ password: PASSWORD }))
    t.match(state, { status: 'signed-in', user: { username: 'ann' } })
    const after = readClaims(await client.getAccessToken())
    t.equal(after.sid, before.sid)
    t.ok(after.auth_time > before.auth_time)
    t.equal(await countSessions(world, 'u-ann'), 1)

    await t.rejects(world.until(client.elevate({ password: 'wrong' })), {
      code: 'AUTH_CREDENTIALS_REJECTED'
    })
    t.equal(client.state.status, 'signed-in')
    world.skip(20 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200, 'it can be refreshed')
  })

  t.test(`${storage}: elevate takes the response of a route of the app`, async t => {
    const world = await createWorld(t, routes)
    const client = await world.openSignedIn({ storage })
    world.skip(20 * MINUTE)
    await world.until(client.elevate(() => client.fetch('/step-up', { method: 'POST' })))
    t.strictSame(readClaims(await client.getAccessToken()).amr, ['hwk'])
    world.skip(20 * MINUTE)
    t.equal((await world.until(client.fetch('/protected'))).status, 200, 'it can be refreshed')
  })
}

t.test('a login with a second factor names its ticket and methods', async t => {
  const world = await createWorld(t)
  const client = world.open()
  const body = { code: 'AUTH_SECOND_FACTOR_REQUIRED', ticket: 'a.b.c', methods: ['totp'] }
  world.faults.next(() => reply(401, body), '/login')
  await t.rejects(world.until(client.login(credentials())), {
    code: 'AUTH_SECOND_FACTOR_REQUIRED',
    secondFactor: { ticket: 'a.b.c', methods: ['totp'] }
  })

  for (const malformed of [{ ticket: 'a.b.c' }, { methods: [1] }]) {
    world.faults.next(() => reply(401, { ...malformed, code: body.code }), '/login')
    const error: unknown = await world.until(client.login(credentials())).catch(error => error)
    t.match(error, { code: body.code, secondFactor: null })
  }
})

t.test('elevate rejects if no user is signed in', async t => {
  const world = await createWorld(t, routes)
  const client = world.open()
  await world.until(client.ready)
  await t.rejects(world.until(client.elevate({ password: PASSWORD })), {
    code: 'AUTH_ACCESS_MISSING'
  })
})

t.test('elevate refuses the token of another session', async t => {
  const world = await createWorld(t, routes)
  const client = await world.openSignedIn({ storage: 'keychain' })
  const foreign = await world.server.login('bob')
  await t.rejects(
    world.until(client.elevate(() => reply(200, { ...foreign, refresh_token: undefined }))),
    { code: 'signed-out' }
  )
  t.match(await (await world.until(client.fetch('/protected'))).json(), { userId: 'u-ann' })
})

t.test('refresh replaces a token that is not due', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const before = await client.getAccessToken()
  world.skip(2000)
  t.equal(await world.until(client.refresh()), client.state)
  t.not(await client.getAccessToken(), before)
  t.equal(world.count('/auth/refresh'), 1)
})

t.test('refresh sends a request of its own after a running one', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  world.skip(20 * MINUTE)
  const running = client.fetch('/protected')
  await world.run(5)
  await world.until(Promise.all([client.refresh(), client.refresh(), running]))
  t.equal(world.count('/auth/refresh'), 2)
})

t.test('refresh keeps the token if it fails', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  const before = await client.getAccessToken()
  world.faults.next(() => reply(503, { code: 'AUTH_STORE_UNAVAILABLE' }), '/refresh')
  await t.rejects(world.until(client.refresh()), { code: 'AUTH_STORE_UNAVAILABLE' })
  t.equal(await client.getAccessToken(), before)
})

t.test('refresh of a signed-out client sends nothing', async t => {
  const world = await createWorld(t)
  const client = await world.openSignedIn()
  await world.until(client.logout())
  world.sent.length = 0
  t.equal((await world.until(client.refresh())).status, 'signed-out')
  t.equal(world.sent.length, 0)
})

function readClaims (token: string | null): { sid: string, auth_time: number, amr: string[] } {
  const payload = token?.split('.')[1] ?? ''
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as ReturnType<typeof readClaims>
}
