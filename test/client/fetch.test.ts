import { Readable } from 'node:stream'
import t from 'tap'
import type { AuthClient } from '../../src/client/index.js'
import type { Interceptor } from '../../src/testing/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createWorld, ORIGIN, reply } from './world.js'
import type { World } from './world.js'

async function createSignedInClient (
  t: { teardown(end: () => unknown): unknown },
  given = {}
): Promise<{ world: World, client: AuthClient }> {
  const world = await createWorld(t, {
    after: app => app.post('/echo', { onRequest: app.authenticate }, request => request.body),
    ...given
  })
  return { world, client: await world.openSignedIn() }
}

/** Rejects the next token, although it is valid by the clock of the client. */
function rejectOnce (world: World, path: string, headers = {}): void {
  world.faults.next(() => reply(401, {}, headers), path)
}

/** Node accepts any async iterable as a body, although the types do not say so. */
async function* generate (): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode('{"a":1}')
}

const bodies: ReadonlyArray<
  readonly [name: string, make: () => RequestInit['body'], isRepeated: boolean]
> = [
  ['no body', () => null, true],
  ['a string', () => '{"a":1}', true],
  ['a form', () => new URLSearchParams({ a: '1' }), true],
  ['a multipart form', () => {
    const form = new FormData()
    form.set('a', '1')
    return form
  }, true],
  ['a blob', () => new Blob(['{"a":1}']), true],
  ['bytes', () => new TextEncoder().encode('{"a":1}'), true],
  ['a buffer', () => new TextEncoder().encode('{"a":1}').buffer as ArrayBuffer, true],
  ['a stream', () => new Blob(['{"a":1}']).stream(), false],
  ['a generator', () => generate() as unknown as RequestInit['body'], false],
  ['a stream of Node', () => Readable.from(['{"a":1}']) as unknown as RequestInit['body'], false]
]

for (const [name, make, isRepeated] of bodies) {
  t.test(`fetch ${isRepeated ? 'repeats' : 'does not repeat'} a request with ${name}`, async t => {
    const { world, client } = await createSignedInClient(t)
    rejectOnce(world, '/echo')
    const body = make()
    const init = {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      duplex: 'half'
    }
    const { status } = await world.until(client.fetch('/echo', init as RequestInit))
    t.equal(world.count('/echo'), isRepeated ? 2 : 1)
    t.equal(status === 401, !isRepeated)

    if (name !== 'a multipart form') {
      t.equal(
        world.sent[0]?.body,
        world.sent.findLast(({ url }) => url.endsWith('/echo'))?.body ?? null
      )
    }
  })
}

t.test('fetch repeats a Request object with or without a body', async t => {
  const { world, client } = await createSignedInClient(t)
  rejectOnce(world, '/echo')
  const withBody = new Request(`${ORIGIN}/echo`, {
    method: 'POST',
    body: '{"a":1}',
    headers: { 'content-type': 'application/json' }
  })
  const echo = await world.until(client.fetch(withBody))
  t.strictSame([echo.status, await echo.json()], [200, { a: 1 }])
  t.equal(world.count('/echo'), 2)
  rejectOnce(world, '/protected')
  t.equal(
    (await world.until(
      client.fetch(new Request(`${ORIGIN}/protected`, { headers: { 'x-a': '1' } }))
    )).status,
    200
  )
  t.equal(world.count('/protected'), 2)
  t.equal(world.sent.at(-1)?.headers['x-a'], '1')
  t.equal((await world.until(client.fetch(new URL(`${ORIGIN}/protected`)))).status, 200)
})

const stream = (): RequestInit =>
  ({
    method: 'POST',
    body: new Blob(['{}']).stream(),
    headers: { 'content-type': 'application/json' },
    duplex: 'half'
  }) as RequestInit

for (const challenge of ['Bearer error="invalid_token"', null]) {
  const title = challenge === null ? 'without a challenge' : 'with a challenge'
  t.test(`fetch replaces a rejected token after a stream ${title}`, async t => {
    const { world, client } = await createSignedInClient(t)
    rejectOnce(world, '/echo', challenge === null ? {} : { 'www-authenticate': challenge })
    t.equal((await world.until(client.fetch('/echo', stream()))).status, 401)
    t.equal(world.count('/echo'), 1)
    await world.run()
    t.not((await world.until(client.fetch('/echo', stream()))).status, 401)
    t.equal(world.count('/auth/refresh'), 1)
  })
}

t.test('fetch sends a request at most twice', async t => {
  const { world, client } = await createSignedInClient(t)
  world.faults.next(() => reply(401), '/protected', Infinity)
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.equal(world.count('/protected'), 2)
  t.equal(world.count('/auth/refresh'), 1)
  t.equal(client.state.status, 'signed-in')
})

t.test('fetch returns a 401 response that does not concern the token', async t => {
  for (const challenge of ['Basic realm="x"', 'Bearer error="insufficient_user_authentication"']) {
    const { world, client } = await createSignedInClient(t)
    rejectOnce(world, '/protected', { 'www-authenticate': challenge })
    t.equal((await world.until(client.fetch('/protected'))).status, 401)
    t.equal(world.count('/protected'), 1)
    t.equal(world.count('/auth/refresh'), 0)
  }

  const { world, client } = await createSignedInClient(t)
  rejectOnce(world, '/protected', { 'www-authenticate': 'Bearer error="invalid_token"' })
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
})

t.test('concurrent rejected requests share one refresh', async t => {
  const { world, client } = await createSignedInClient(t)
  const token = await client.getAccessToken()
  const rejectToken: Interceptor = ({ headers }) =>
    headers.get('authorization') === `Bearer ${token}` ? reply(401) : undefined
  world.faults.next(rejectToken, '', Infinity)
  world.skip(1000)
  const responses = await world.until(
    Promise.all(Array.from({ length: 10 }, () => client.fetch('/protected')))
  )
  t.strictSame(new Set(responses.map(({ status }) => status)), new Set([200]))
  t.equal(world.count('/auth/refresh'), 1)
})

t.test('fetch returns the 401 response if the session was revoked', async t => {
  const { world, client } = await createSignedInClient(t)
  await world.server.app.tokenAuth.revokeUser('u-ann')
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.match(client.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
  t.equal(world.count('/protected'), 1)
  t.equal((await world.until(client.fetch('/protected'))).status, 401, 'sent unchanged')
  t.equal(world.sent.at(-1)?.headers.authorization, undefined)
})

t.test('fetch sends no token to another origin and accepts none from it', async t => {
  const { world, client } = await createSignedInClient(t)
  const token = await client.getAccessToken()

  for (
    const url of [
      'https://evil.test/a',
      '//evil.test/a',
      'http://app.test/',
      'https://app.test:444/',
      'https://app.test.evil.test/'
    ]
  ) {
    await world.until(client.fetch(url))
    t.equal(world.sent.at(-1)?.headers.authorization, undefined, url)
  }

  t.notOk(world.sent.some(({ headers }) => headers.authorization !== undefined))
  t.equal(await client.getAccessToken(), token)
})

t.test('fetch ignores the token of a response from another origin after a redirect', async t => {
  const { world, client } = await createSignedInClient(t)
  const token = await client.getAccessToken()
  world.faults.next(() =>
    reply(401, '', { 'x-new-token': createFakeToken() }).then(response =>
      Object.defineProperty(response, 'url', { value: 'https://evil.test/' })
    )
  )
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.equal(world.sent.length, 1)
  t.equal(await client.getAccessToken(), token)
})

t.test('fetch keeps an Authorization header of the caller', async t => {
  const { world, client } = await createSignedInClient(t)
  const response = await world.until(
    client.fetch('/protected', { headers: { Authorization: 'Bearer mine' } })
  )
  t.equal(response.status, 401)
  t.equal(world.sent.length, 1)
  t.equal(world.sent[0]?.headers.authorization, 'Bearer mine')
})

t.test('fetch shares a renewed token with the other tabs', async t => {
  const { world, client } = await createSignedInClient(t, {
    options: { accessToken: { lifetime: '15m', renewWithin: '7m' } }
  })
  const other = world.open()
  await world.until(other.ready)
  await world.run()
  const token = await client.getAccessToken()
  world.skip(10 * MINUTE)
  world.sent.length = 0
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  const next = await client.getAccessToken()
  t.not(next, token)
  await world.run()
  t.equal(await other.getAccessToken(), next)
  world.skip(4 * MINUTE)
  t.equal(await client.getAccessToken(), next, 'the previous token has nearly expired')
  world.skip(2 * MINUTE)
  t.equal((await world.until(client.fetch('/protected'))).status, 200)
  t.equal(world.count('/auth/refresh'), 0)
})

t.test('fetch ignores a renewed token that arrives after a logout', async t => {
  const { world, client } = await createSignedInClient(t)
  world.faults.next(() => reply(200, {}, { 'x-new-token': createFakeToken() }), '/protected')
  const response = client.fetch('/protected')
  await world.run(5)
  await world.until(client.logout())
  await world.until(response)
  t.equal(client.state.status, 'signed-out')
  t.equal(await client.getAccessToken(), null)
})

t.test('fetch ignores a renewed token without an expiry time', async t => {
  for (const renewed of ['', 'a.b.c', 'x', `a.${btoa('null')}.c`]) {
    const { world, client } = await createSignedInClient(t)
    const token = await client.getAccessToken()
    world.faults.next(() => reply(200, {}, { 'x-new-token': renewed }))
    await world.until(client.fetch('/protected'))
    t.equal(await client.getAccessToken(), token)
  }
})

t.test('fetch sends requests of a signed-out client unchanged', async t => {
  const world = await createWorld(t)
  const client = world.open()
  t.equal((await world.until(client.fetch('/protected'))).status, 401)
  t.equal((await world.until(client.fetch('https://elsewhere.test/'))).status, 200)
  t.equal(world.count('/auth/refresh'), 1)
  t.equal(await client.getAccessToken(), null)
})

t.test('sessions, endSession and endOtherSessions list and revoke sessions', async t => {
  const { world, client } = await createSignedInClient(t)
  const others = [
    await world.server.login(),
    await world.server.login(),
    await world.server.login()
  ]
  const listed = await world.until(client.sessions())
  t.equal(listed.length, 4)
  const one = listed.find(({ current }) => !current)
  await world.until(client.endSession(one?.id as string))
  t.equal((await world.until(client.sessions())).length, 3)
  await world.until(client.endOtherSessions())
  t.strictSame((await world.until(client.sessions())).map(({ current }) => current), [true])
  await world.until(client.endSession('../logout'))
  t.equal(world.sent.at(-1)?.url, `${ORIGIN}/auth/sessions/..%2Flogout`)
  t.equal(others.length, 3)
  world.faults.next(() => reply(503, { code: 'AUTH_STORE_UNAVAILABLE' }, { 'retry-after': '1' }))
  await t.rejects(world.until(client.sessions()), {
    code: 'AUTH_STORE_UNAVAILABLE',
    status: 503,
    retryAfter: 1
  })
})

t.test('sessions rejects with an AuthError if no valid response arrives', async t => {
  const { world, client } = await createSignedInClient(t)

  for (
    const fault of [
      () => reply(200, '<html>'),
      () => reply(200, 'null'),
      () => Promise.reject(new TypeError('Failed to fetch'))
    ]
  ) {
    world.faults.next(fault, '/sessions')
    await t.rejects(world.until(client.sessions()), { name: 'AuthError', code: 'network' })
  }

  const abort = new AbortController()
  abort.abort()
  await t.rejects(client.sessions({ signal: abort.signal }), { name: 'AbortError' })
})

t.test('the access token exists only in memory', async t => {
  const { world, client } = await createSignedInClient(t)
  const token = await client.getAccessToken() as string
  t.notOk(world.contains(token))
  t.strictSame([...world.device.flags.values()], ['in'])
  const phone = world.open({ storage: 'keychain' })
  await world.signIn(phone)
  const { stored } = world.device
  t.not(stored, await phone.getAccessToken())
  const claims = stored?.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/') as string
  t.match(JSON.parse(atob(claims)), { type: 'refresh' })
})

function createFakeToken (): string {
  return `a.${btoa(JSON.stringify({ exp: 2000, iat: 1000 }))}.c`
}
