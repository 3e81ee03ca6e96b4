import t from 'tap'
import type { AuthClient } from '../../src/client/index.js'
import { DAY, MINUTE } from '../helpers/clock.js'
import { createDevice, createKeychain, credentials, reply } from './world.js'
import type { Device, Fault } from './world.js'

const modes = ['cookie', 'memory', 'keychain'] as const

async function signedIn (
  device: Device,
  mode: typeof modes[number] = 'cookie'
): Promise<AuthClient> {
  const client = device.tab({ storage: mode === 'keychain' ? createKeychain() : mode })
  await device.signIn(client)
  await device.run()
  device.sent.length = 0
  return client
}

/** The first so many requests to a route meet it. */
function first (count: number, path: string, fault: Fault): Fault {
  let left = count
  return (sent, proceed) => sent.url.endsWith(path) && left-- > 0 ? fault(sent, proceed) : undefined
}

const lost: Fault = (_sent, proceed) =>
  proceed().then(() => {
    throw new TypeError('Failed to fetch')
  })
const offline: Fault = () => Promise.reject(new TypeError('Failed to fetch'))
const hung: Fault = () => new Promise(() => {})

const passing: ReadonlyArray<readonly [name: string, fault: Fault]> = [
  ['an answer that is lost after the server acted', lost],
  ['a network that is down', offline],
  ['a 429', () => reply(429, '', { 'retry-after': '2' })],
  ['a 503', () => reply(503, { code: 'AUTH_STORE_UNAVAILABLE' })],
  ['a 401 of a proxy', () => reply(401, 'who are you?')],
  ['a 401 with a code of another', () => reply(401, { code: 'FST_JWT' })],
  ['a page of a captive portal', () => reply(200, '<html>')],
  ['an answer without a token', () => reply(200, { expires_in: 'soon' })]
]

for (const mode of modes) {
  for (const [name, fault] of passing) {
    t.test(`${mode}: ${name} signs nobody out`, async t => {
      const device = await createDevice(t)
      const client = await signedIn(device, mode)
      device.pass(20 * MINUTE)
      device.faults.push(first(2, '/refresh', fault))
      const answers = await device.get(
        Promise.all([client.fetch('/protected'), client.fetch('/protected')])
      )
      t.strictSame(answers.map(({ status }) => status), [200, 200])
      t.equal(client.state.status, 'signed-in')
      t.equal(device.count('/auth/refresh'), 3)
      t.notOk(device.server.events.some(event => event.name === 'reuse'))
    })
  }
}

t.test('an answer that is lost, and asked for again past the grace', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device, 'keychain')
  device.pass(20 * MINUTE)
  device.faults.push(first(1, '/refresh', lost))
  const abort = new AbortController()
  const given = client.getAccessToken({ signal: abort.signal })
  const refused = t.rejects(given)
  await device.run(100)
  abort.abort()
  await refused
  device.pass(DAY)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('a request that hangs is given up', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  device.pass(20 * MINUTE)
  device.faults.push(first(1, '/refresh', hung))
  const start = device.now()
  await t.rejects(device.get(client.fetch('/protected')), { name: 'AuthError', code: 'network' })
  t.equal(device.now() - start, 10_000)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('while the network is down, calls wait for 10 s, and are few', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  device.pass(20 * MINUTE)
  device.faults.push(offline)
  const start = device.now()
  const calls = Array.from(
    { length: 5 },
    () => client.fetch('/protected').then(() => 'answer', error => error.code)
  )
  t.strictSame(await device.get(Promise.all(calls)), Array(5).fill('network'))
  t.ok(device.now() - start <= 10_000)
  t.ok(device.count('/auth/refresh') <= 6, `${device.count('/auth/refresh')} refreshes`)
  t.equal(device.count('/protected'), 0)
  const before = device.sent.length

  for (let i = 0; i < 50; i++) {
    await t.rejects(device.get(client.getAccessToken()))
  }

  const spent = (device.now() - start) / 1000
  t.ok(
    device.sent.length - before < spent / 5 + 3,
    `${device.sent.length - before} requests in ${spent} s`
  )
  t.equal(client.state.status, 'signed-in')
  device.faults.length = 0
  await device.run(40_000)
  const idle = device.sent.length
  await device.run(600_000)
  t.equal(device.sent.length, idle, 'nobody asks while nothing is wanted')
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('Retry-After is obeyed, to the second', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  device.pass(20 * MINUTE)
  device.faults.push(
    first(
      1,
      '/refresh',
      () => reply(429, { code: 'AUTH_TOO_MANY_ATTEMPTS' }, { 'retry-after': '60' })
    )
  )
  await t.rejects(device.get(client.fetch('/protected')), {
    code: 'AUTH_TOO_MANY_ATTEMPTS',
    status: 429,
    retryAfter: 60
  })
  const asked = device.now()
  await t.rejects(device.get(client.fetch('/protected')), { code: 'AUTH_TOO_MANY_ATTEMPTS' })
  t.equal(device.now(), asked, 'there is nothing to wait for')
  device.pass(49_000)
  await t.rejects(device.get(client.fetch('/protected'), 100), { code: 'AUTH_TOO_MANY_ATTEMPTS' })
    .catch(() => {})
  t.equal(device.count('/auth/refresh'), 1)
  device.pass(26_000)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('a Retry-After that is huge, negative or no number does not keep it out for ever', async t => {
  for (
    const [value, most] of [['1e999', 76], ['99999999999', 76], ['-60', 1], [
      'Wed, 21 Oct 2055 07:28:00 GMT',
      1
    ]] as const
  ) {
    const device = await createDevice(t)
    const client = await signedIn(device)
    device.pass(20 * MINUTE)
    device.faults.push(first(1, '/refresh', () => reply(503, '', { 'retry-after': value })))
    await device.get(client.fetch('/protected')).catch(() => {})
    device.pass(most * MINUTE)
    t.equal((await device.get(client.fetch('/protected'))).status, 200, value)
  }
})

t.test('the abort of one caller is not that of the others', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  device.pass(20 * MINUTE)
  const abort = new AbortController()
  const aborted = client.fetch('/protected', { signal: abort.signal })
  const other = client.fetch('/protected')
  const check = t.rejects(aborted, { name: 'AbortError' })
  setImmediate(() => {
    abort.abort()
  })
  t.equal((await device.get(other)).status, 200)
  await check
  t.equal(device.count('/auth/refresh'), 1)
})

t.test('a wall clock that is wrong changes nothing', async t => {
  for (const error of [-DAY, DAY]) {
    const real = Date.now
    Date.now = () => real() + error
    t.teardown(() => {
      Date.now = real
    })
    const device = await createDevice(t)
    const client = await signedIn(device)
    device.pass(10 * MINUTE)
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
    t.equal(device.count('/auth/refresh'), 0)
    device.pass(6 * MINUTE)
    t.equal((await device.get(client.fetch('/protected'))).status, 200)
    t.equal(device.count('/auth/refresh'), 1)
    Date.now = real
  }
})

t.test('a token that is due is used, and one refresh goes ahead meanwhile', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  const token = await device.get(client.getAccessToken())
  device.pass(13.4 * MINUTE)
  t.equal(await client.getAccessToken(), token, 'not due yet')
  await device.run()
  t.equal(device.count('/auth/refresh'), 0)
  device.pass(0.5 * MINUTE)
  t.strictSame(await Promise.all([client.getAccessToken(), client.getAccessToken()]), [
    token,
    token
  ])
  await device.run()
  t.equal(device.count('/auth/refresh'), 1)
  t.not(await client.getAccessToken(), token)
})

t.test('a refresh ahead that fails is no matter', async t => {
  const device = await createDevice(t)
  const client = await signedIn(device)
  device.pass(14 * MINUTE)
  device.faults.push(first(1, '/refresh', offline))
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  await device.run(1000)
  t.equal(device.count('/auth/refresh'), 1)
})

t.test('a keychain that fails once: the tokens are not used before they are kept', async t => {
  const device = await createDevice(t)
  const storage = createKeychain()
  const client = device.tab({ storage })
  await device.signIn(client)
  const [kept, access] = [storage.value, await client.getAccessToken()]
  device.pass(20 * MINUTE)

  storage.onSet = () => {
    storage.onSet = () => {}

    throw new Error('locked')
  }

  const answer = await device.get(client.fetch('/protected'))
  t.equal(answer.status, 200)
  const refreshes = device.sent.filter(({ url }) => url.endsWith('/auth/refresh'))
  t.equal(refreshes.length, 2)

  for (const { body } of refreshes) {
    t.match(JSON.parse(body as string), { refresh_token: kept })
  }

  t.not(storage.value, kept)
  t.not(await client.getAccessToken(), access)
})

t.test('a keychain that fails at login: nobody is signed in, and the session is ended', async t => {
  const device = await createDevice(t)
  const storage = createKeychain()

  storage.onSet = () => {
    throw new Error('full')
  }

  const client = device.tab({ storage })
  await t.rejects(device.get(client.login(credentials())), { code: 'storage' })
  await device.run()
  t.equal(client.state.status, 'signed-out')
  t.ok(device.server.events.some(event => event.name === 'revoke'))
})

for (
  const [name, write] of [
    ['fails, and has overwritten', async (set: () => Promise<unknown>) => {
      await set()
      throw new Error('asleep')
    }],
    ['comes late', async (set: () => Promise<unknown>, later: Promise<void>) => {
      await later
      await set()
    }]
  ] as const
) {
  t.test(`a keychain that ${name} at a login over another session: that one goes on`, async t => {
    const device = await createDevice(t)
    const storage = createKeychain()
    const client = device.tab({ storage })
    await device.signIn(client)
    const [kept, { set }] = [storage.value, storage]

    let wake = (): void => {}

    const awake = new Promise<void>(resolve => {
      wake = resolve
    })

    storage.set = text => {
      storage.set = set
      return write(() => set.call(storage, text), awake)
    }

    await t.rejects(device.get(client.login(credentials('bob'))), { code: 'storage' })
    await device.run(MINUTE)
    wake()
    await device.run(MINUTE)
    t.equal(storage.value, kept)
    t.match(client.state, { status: 'signed-in', user: { username: 'ann' } })
    t.strictSame(
      await device.server.app.tokenAuth.listSessions('u-bob'),
      [],
      'of no use to anybody'
    )
    device.pass(20 * MINUTE)
    t.match(await (await device.get(client.fetch('/protected'))).json(), { userId: 'u-ann' })
  })
}

t.test('a tab that is gone before a login has arrived: its cookie is known of', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  device.faults.push(
    first(1, '/login', (_sent, proceed) => proceed().then(() => new Promise(() => {})))
  )
  const lost = t.rejects(client.login(credentials()), { code: 'disposed' })
  await device.run(1000)
  t.equal(device.jar.size, 1)
  client.dispose()
  await lost
  device.faults.push(offline)
  t.strictSame(await device.get(device.tab().ready), { status: 'signed-in', user: null })
})

t.test('a login that fails leaves no sign of one', async t => {
  const device = await createDevice(t)
  const client = device.tab()
  await device.get(client.ready)
  await t.rejects(device.get(client.login({ username: 'ann', password: 'wrong' })), {
    code: 'AUTH_CREDENTIALS_REJECTED'
  })
  await device.run()
  t.strictSame(device.flags, new Map())
  device.faults.push(offline)
  t.equal((await device.get(device.tab().ready)).status, 'signed-out')
})

t.test('a keychain that hangs', async t => {
  const device = await createDevice(t)
  const storage = createKeychain()
  const client = device.tab({ storage })
  await device.signIn(client)
  device.pass(20 * MINUTE)
  storage.get = () => new Promise(() => {})
  await t.rejects(device.get(client.fetch('/protected')), { code: /network|storage/ })
  t.equal(client.state.status, 'signed-in')
})

t.test('another process has gone on with the stored token', async t => {
  const device = await createDevice(t)
  const storage = createKeychain()
  const client = device.tab({ storage })
  await device.signIn(client)
  device.pass(20 * MINUTE)
  const next = (await device.server.login()).refresh_token as string
  // Ours is under way when the other one stores what came after it.
  device.faults.push(first(1, '/refresh', () => {
    storage.value = next
    return reply(401, { code: 'AUTH_REFRESH_REUSED' })
  }))
  await t.rejects(
    device.get(client.fetch('/protected')),
    { code: 'signed-out' },
    'that is another session'
  )
  t.equal(client.state.status, 'signed-in')
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
})

t.test('a server that does not rotate: the refresh token stays', async t => {
  const device = await createDevice(t, { options: { rotation: false } })
  const storage = createKeychain()
  const client = device.tab({ storage })
  await device.signIn(client)
  const kept = storage.value
  device.pass(20 * MINUTE)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  t.equal(storage.value, kept)
})

t.test('a cookie that holds the access token', async t => {
  const device = await createDevice(t, {
    options: { cookie: { accessToken: true }, refreshToken: { transport: 'both' } }
  })
  const client = await signedIn(device)
  t.equal(await client.getAccessToken(), null)
  t.equal((await device.get(client.fetch('/protected'))).status, 200)
  device.pass(20 * MINUTE)
  const answers = await device.get(
    Promise.all([client.fetch('/protected'), client.fetch('/protected')])
  )
  t.strictSame(answers.map(({ status }) => status), [200, 200])
  t.equal(device.count('/auth/refresh'), 1)

  for (const name of device.jar.keys()) {
    if (name.includes('access')) {
      device.jar.delete(name)
    }
  }

  const again = await device.get(
    Promise.all([client.fetch('/protected'), client.fetch('/protected')])
  )
  t.strictSame(again.map(({ status }) => status), [200, 200])
  t.equal(device.count('/auth/refresh'), 2)
})
