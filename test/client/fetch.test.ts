import t from 'tap'
import type { AuthClient } from '../../src/client/index.js'
import { MINUTE } from '../helpers/clock.js'
import { createDevice, createKeychain, ORIGIN, reply } from './world.js'
import type { Device } from './world.js'

async function signedIn (
  t: { teardown(end: () => unknown): unknown },
  given = {}
): Promise<{ device: Device, client: AuthClient }> {
  const device = await createDevice(t, {
    after: app => app.post('/echo', { onRequest: app.authenticate }, request => request.body),
    ...given
  })
  const client = device.tab()
  await device.signIn(client)
  device.sent.length = 0
  return { device, client }
}

// The server refuses the token, though this client takes it for a good one.
function refuseOnce (device: Device, headers = {}): void {
  let isFirst = true
  device.faults.push(({ headers: { authorization } }) => {
    if (!isFirst || authorization === undefined) {
      return undefined
    }

    isFirst = false
    return reply(401, {}, headers)
  })
}

const bodies: ReadonlyArray<
  readonly [name: string, make: () => RequestInit['body'], isSentAgain: boolean]
> = [
  ['no body', () => null, true],
  ['a text', () => '{"a":1}', true],
  ['a form', () => new URLSearchParams({ a: '1' }), true],
  ['a multipart form', () => {
    const form = new FormData()
    form.set('a', '1')
    return form
  }, true],
  ['a blob', () => new Blob(['{"a":1}']), true],
  ['bytes', () => new TextEncoder().encode('{"a":1}'), true],
  ['a buffer', () => new TextEncoder().encode('{"a":1}').buffer as ArrayBuffer, true],
  ['a stream', () => new Blob(['{"a":1}']).stream(), false]
]

for (const [name, make, isSentAgain] of bodies) {
  t.test(`after a 401, a request with ${name} is ${isSentAgain ? '' : 'not '}sent again`, async t => {
    const { device, client } = await signedIn(t)
    refuseOnce(device)
    const body = make()
    const init = {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      duplex: 'half'
    }
    const { status } = await device.get(client.fetch('/echo', init as RequestInit))
    t.equal(device.count('/echo'), isSentAgain ? 2 : 1)
    t.equal(status === 401, !isSentAgain)

    if (name !== 'a multipart form') {
      t.equal(
        device.sent[0]?.body,
        device.sent.findLast(({ url }) => url.endsWith('/echo'))?.body ?? null
      )
    }
  })
}

t.test('a Request with a body is sent once, one without a body twice', async t => {
  const { device, client } = await signedIn(t)
  refuseOnce(device)
  const withBody = new Request(`${ORIGIN}/echo`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' }
  })
  t.equal((await device.get(client.fetch(withBody))).status, 401)
  device.faults.length = 0
  refuseOnce(device)
  t.equal(
    (await device.get(
      client.fetch(new Request(`${ORIGIN}/protected`, { headers: { 'x-a': '1' } }))
    )).status,
    200
  )
  t.equal(device.count('/protected'), 2)
  t.equal(device.sent.at(-1)?.headers['x-a'], '1')
  device.faults.length = 0
  t.equal((await device.get(client.fetch(new URL(`${ORIGIN}/protected`)))).status, 200)
})

t.test('a token that was refused is not used again, also where the request itself could not be sent again', async t => {
  const { device, client } = await signedIn(t)
  refuseOnce(device)
  const post = (): Promise<Response> =>
    device.get(client.fetch(new Request(`${ORIGIN}/echo`, { method: 'POST', body: 'x' })))
  t.equal((await post()).status, 401)
  t.equal(device.count('/echo'), 1)
  t.not((await post()).status, 401)
  t.equal(device.count('/auth/refresh'), 1)
})

t.test('a request is sent twice at most', async t => {
  const { device, client } = await signedIn(t)
  device.faults.push(({ url }) => url.endsWith('/protected') ? reply(401) : undefined)
  t.equal((await device.get(client.fetch('/protected'))).status, 401)
  t.equal(device.count('/protected'), 2)
  t.equal(device.count('/auth/refresh'), 1)
  t.equal(client.state.status, 'signed-in')
})

t.test('a 401 that is not about the token is left alone', async t => {
  for (const challenge of ['Basic realm="x"', 'Bearer error="insufficient_user_authentication"']) {
    const { device, client } = await signedIn(t)
    refuseOnce(device, { 'www-authenticate': challenge })
    t.equal((await device.get(client.fetch('/protected'))).status, 401)
    t.equal(device.count('/protected'), 1)
    t.equal(device.count('/auth/refresh'), 0)
  }

  const { device, client } = await signedIn(t)
  refuseOnce(device, { 'www-authenticate': 'Bearer error="invalid_token"' })
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('of many requests that were refused at once, one refreshes', async t => {
  const { device, client } = await signedIn(t)
  const token = await client.getAccessToken()
  device.faults.push(({ headers }) =>
    headers.authorization === `Bearer ${token}` ? reply(401) : undefined
  )
  device.server.clock.advance(1000)
  const answers = await device.get(
    Promise.all(Array.from({ length: 10 }, () => client.fetch('/protected')))
  )
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([200]))
  t.equal(device.count('/auth/refresh'), 1)
})

t.test('a session that was ended: the 401 is what one gets', async t => {
  const { device, client } = await signedIn(t)
  await device.server.app.tokenAuth.revokeUser('u-ann')
  t.equal((await device.get(client.fetch('/protected'))).status, 401)
  t.match(client.state, { status: 'signed-out', reason: 'AUTH_REFRESH_REVOKED' })
  t.equal(device.count('/protected'), 1)
  t.equal((await device.get(client.fetch('/protected'))).status, 401, 'sent as it is')
  t.equal(device.sent.at(-1)?.headers.authorization, undefined)
})

t.test('another origin gets no token, and gives none', async t => {
  const { device, client } = await signedIn(t)
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
    await device.get(client.fetch(url))
    t.equal(device.sent.at(-1)?.headers.authorization, undefined, url)
  }

  t.notOk(device.sent.some(({ headers }) => headers.authorization !== undefined))
  t.equal(await client.getAccessToken(), token)
})

t.test('an answer that another origin gave after a redirect is taken for nothing', async t => {
  const { device, client } = await signedIn(t)
  const token = await client.getAccessToken()
  device.faults.push(() =>
    reply(401, '', { 'x-new-token': fakeToken() }).then(answer =>
      Object.defineProperty(answer, 'url', { value: 'https://evil.test/' })
    )
  )
  t.equal((await device.get(client.fetch('/protected'))).status, 401)
  t.equal(device.sent.length, 1)
  t.equal(await client.getAccessToken(), token)
})

t.test('a caller\'s own Authorization is left alone', async t => {
  const { device, client } = await signedIn(t)
  const answer = await device.get(
    client.fetch('/protected', { headers: { Authorization: 'Bearer mine' } })
  )
  t.equal(answer.status, 401)
  t.equal(device.sent.length, 1)
  t.equal(device.sent[0]?.headers.authorization, 'Bearer mine')
})

t.test('a renewed token is adopted, and told to the other tabs', async t => {
  const { device, client } = await signedIn(t, {
    options: { accessToken: { lifetime: '15m', renewWithin: '7m' } }
  })
  const other = device.tab()
  await device.get(other.ready)
  await device.run()
  const token = await client.getAccessToken()
  device.pass(10 * MINUTE)
  device.sent.length = 0
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  const next = await client.getAccessToken()
  t.not(next, token)
  await device.run()
  t.equal(await other.getAccessToken(), next)
  device.pass(4 * MINUTE)
  t.equal(await client.getAccessToken(), next, 'the one before has nearly ended')
  device.pass(2 * MINUTE)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  t.equal(device.count('/auth/refresh'), 0)
})

t.test('a renewed token that comes after the logout is not adopted', async t => {
  const { device, client } = await signedIn(t)
  device.faults.push(({ url }) =>
    url.endsWith('/protected')
      ? reply(200, {}, { 'x-new-token': fakeToken() })
      : undefined
  )
  const answer = client.fetch('/protected')
  await device.run(5)
  await device.get(client.logout())
  await device.get(answer)
  t.equal(client.state.status, 'signed-out')
  t.equal(await client.getAccessToken(), null)
})

t.test('a renewed token that says nothing of its life is not adopted', async t => {
  for (const text of ['', 'a.b.c', 'x', `a.${btoa('null')}.c`]) {
    const { device, client } = await signedIn(t)
    const token = await client.getAccessToken()
    device.faults.push(() => reply(200, {}, { 'x-new-token': text }))
    await device.get(client.fetch('/protected'))
    t.equal(await client.getAccessToken(), token)
  }
})

t.test('signed out, requests go as they are', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  t.equal((await device.get(client.fetch('/protected'))).status, 401)
  t.equal((await device.get(client.fetch('https://elsewhere.test/'))).status, 200)
  t.equal(device.count('/auth/refresh'), 1)
  t.equal(await client.getAccessToken(), null)
})

t.test('sessions: listed, ended', async t => {
  const { device, client } = await signedIn(t)
  const others = [
    await device.server.login(),
    await device.server.login(),
    await device.server.login()
  ]
  const listed = await device.get(client.sessions())
  t.equal(listed.length, 4)
  const one = listed.find(({ current }) => !current)
  await device.get(client.endSession(one?.id as string))
  t.equal((await device.get(client.sessions())).length, 3)
  await device.get(client.endOtherSessions())
  t.strictSame((await device.get(client.sessions())).map(({ current }) => current), [true])
  await device.get(client.endSession('../logout'))
  t.equal(device.sent.at(-1)?.url, `${ORIGIN}/auth/sessions/..%2Flogout`)
  t.equal(others.length, 3)
  device.faults.push(() => reply(503, { code: 'AUTH_STORE_UNAVAILABLE' }, { 'retry-after': '1' }))
  await t.rejects(device.get(client.sessions()), {
    code: 'AUTH_STORE_UNAVAILABLE',
    status: 503,
    retryAfter: 1
  })
})

t.test('sessions: an answer of somebody else, or none, is an AuthError', async t => {
  const { device, client } = await signedIn(t)

  for (
    const fault of [
      () => reply(200, '<html>'),
      () => reply(200, 'null'),
      () => Promise.reject(new TypeError('Failed to fetch'))
    ]
  ) {
    device.faults.length = 0
    device.faults.push(({ url }) => url.endsWith('/sessions') ? fault() : undefined)
    await t.rejects(device.get(client.sessions()), { name: 'AuthError', code: 'network' })
  }

  const abort = new AbortController()
  abort.abort()
  await t.rejects(client.sessions({ signal: abort.signal }), { name: 'AbortError' })
})

t.test('the token is nowhere but in memory', async t => {
  const { device, client } = await signedIn(t)
  const token = await client.getAccessToken() as string
  t.notOk(device.holds(token))
  t.strictSame([...device.flags.values()], ['in'])
  const storage = createKeychain()
  const phone = device.tab({ storage })
  await device.signIn(phone)
  t.not(storage.value, await phone.getAccessToken())
  t.match(
    JSON.parse(atob(storage.value?.split('.')[1]?.replace(/-/g, '+').replace(/_/g, '/') as string)),
    { type: 'refresh' }
  )
})

function fakeToken (): string {
  return `a.${btoa(JSON.stringify({ exp: 2000, iat: 1000 }))}.c`
}
