import t from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { Secret, TokenResponse } from '../../../src/index.js'
import { MemoryAttempts } from '../../../src/stores/memory/index.js'
import { PASSWORD, PASSWORD_HASH } from '../../helpers/app.js'
import { createThrottledApp } from './guessing.js'

t.test('a known device has its own limit', async t => {
  const { guess, storm, events } = await createThrottledApp(t)
  const known = (await guess({ password: PASSWORD })).json<TokenResponse>().device_token ?? ''

  for (let round = 0; round < 3; round++) {
    await storm(150, i => ({ username: `nobody-${round}-${i}` }))
  }

  await storm(50, i => ({ from: `198.51.100.${i}` }))
  t.equal(
    (await guess({ password: PASSWORD })).statusCode,
    429,
    'the address, and the account, are stopped'
  )
  const again = await guess({ password: PASSWORD, token: known })
  t.equal(again.statusCode, 200)
  t.equal(again.json<TokenResponse>().device_token, known, 'the device is still the same')
  t.strictSame(
    await storm(40, () => ({ token: known })),
    { 401: 10, 429: 30 },
    'its own failures count'
  )
  t.match(events.at(-1), { name: 'login-throttled', limit: 'device', userId: 'u-ann' })
})

t.test('a device token is valid for its user only', async t => {
  const { guess, storm } = await createThrottledApp(t)
  const ofBob =
    (await guess({ username: 'bob', password: PASSWORD })).json<TokenResponse>().device_token ?? ''
  const other = await createThrottledApp(t, {}, { options: { name: 'other' } })
  const ofOther = (await other.guess({ password: PASSWORD })).json<TokenResponse>().device_token ??
    ''
  await storm(20)
  const [id = '', mac = ''] = ofBob.split('.')

  for (
    const token of [
      ofBob,
      ofOther,
      '',
      '.',
      id,
      `${id}.`,
      `.${mac}`,
      `${id}.${'A'.repeat(43)}`,
      `${id}.${mac}.`,
      `${ofBob} `
    ]
  ) {
    t.equal(
      (await guess({ password: PASSWORD, token })).statusCode,
      429,
      `${token.length} characters`
    )
  }
})

t.test('a device token stays valid while the secret rotates', async t => {
  const [older, newer] = [
    'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4',
    'Zt4Kw9Xe2Bq7Nf5Rm8Ys3Vd6Hc1Jg0Ua'
  ] as const
  const before = await createThrottledApp(t, {}, { options: { secret: older } })
  const { device_token: token = '' } = (await before.guess({ password: PASSWORD })).json<
    TokenResponse
  >()
  const { guess, storm } = await createThrottledApp(t, {}, { options: { secret: [newer, older] } })
  await storm(20)
  const answer = await guess({ password: PASSWORD, token })
  t.equal(answer.statusCode, 200)
  t.not(
    answer.json<TokenResponse>().device_token,
    token,
    'the device gets a token of the new secret'
  )
})

t.test('counts survive the rotation of the secret', async t => {
  const [older, newer, newest] = [
    'q7Yk2mVx0TzRb5Wn8Ls3Jd6Hf9Gc1Pa4',
    'Zt4Kw9Xe2Bq7Nf5Rm8Ys3Vd6Hc1Jg0Ua',
    'Lp3Xv8Cb1Nm6Qw9Er4Ty7Ui2Op5As0Df'
  ] as const
  const steps = [older, [newer, older], newer, [newest, newer, older], newest] as const

  for (const [i, secret] of steps.slice(1).entries()) {
    const throttle = { attempts: new MemoryAttempts() }
    const instances = [
      await createThrottledApp(t, throttle, { options: { secret: steps[i] as Secret } }),
      await createThrottledApp(t, throttle, { options: { secret: secret as Secret } })
    ] as const
    const counts = { 401: 0, 429: 0 }

    for (let guess = 0; guess < 20; guess++) {
      const instance = instances[guess % 2] ?? instances[0]
      counts[(await instance.guess()).statusCode as 401 | 429]++
    }

    t.strictSame(counts, { 401: 10, 429: 10 }, `step ${i + 1}, during a rolling deploy`)
  }
})

t.test('the device cookie survives a logout', async t => {
  const { app, storm } = await createThrottledApp(t, {}, {
    options: { refreshToken: { transport: 'both' } }
  })
  const headers = { 'x-token-transport': 'cookie' }
  const login = async (cookie?: string): Promise<LightMyRequestResponse> =>
    app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { ...headers, ...(cookie && { cookie }) },
      payload: { username: 'ann', password: PASSWORD }
    })
  const first = await login()
  t.notOk('device_token' in first.json())
  const cookie = first.cookies.find(({ name }) => name === '__Host-auth-device')
  t.match(cookie, {
    path: '/',
    httpOnly: true,
    secure: true,
    sameSite: 'Strict',
    maxAge: 15_552_000
  })
  const cookies = first.cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const logout = await app.inject({
    method: 'POST',
    url: '/auth/logout',
    headers: { ...headers, cookie: cookies }
  })
  t.equal(logout.statusCode, 204)
  t.notOk(logout.cookies.some(({ name }) => name === '__Host-auth-device'))
  await storm(20, () => ({ from: '127.0.0.1' }))
  t.equal((await login()).statusCode, 429)
  t.equal((await login(`__Host-auth-device=${cookie?.value}`)).statusCode, 200)
})

t.test('the address is request.ip, and IPv6 counts by its network', async t => {
  const { app, storm } = await createThrottledApp(t, {
    account: false,
    address: { maxAttempts: 5 }
  })
  const forwarded = async (i: number): Promise<number> =>
    (await app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress: '192.0.2.9',
      headers: {
        'x-forwarded-for': `203.0.113.${i}`,
        forwarded: `for=203.0.113.${i}`,
        'x-real-ip': `203.0.113.${i}`
      },
      payload: { username: 'ann', password: 'wrong' }
    })).statusCode
  const statuses = await Promise.all(Array.from({ length: 20 }, (_, i) => forwarded(i)))
  t.equal(statuses.filter(status => status === 401).length, 5)
  t.strictSame(await storm(20, i => ({ from: `2001:db8:0:7::${i.toString(16)}` })), {
    401: 5,
    429: 15
  })
  t.strictSame(
    await storm(20, i => ({ from: `2001:db8:0:${i + 100}::1` })),
    { 401: 20 },
    'twenty networks'
  )
  t.strictSame(
    await storm(10, i => ({ from: i % 2 === 0 ? '198.51.100.7' : '::ffff:198.51.100.7' })),
    { 401: 5, 429: 5 }
  )
})

t.test('behind a trusted proxy the address is that of the client', async t => {
  const { app } = await createThrottledApp(t, { account: false, address: { maxAttempts: 2 } }, {
    fastify: { trustProxy: '127.0.0.1' }
  })
  const guess = async (client: string): Promise<number> =>
    (await app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { 'x-forwarded-for': client },
      payload: { username: 'ann', password: 'wrong' }
    })).statusCode
  t.strictSame(
    [await guess('203.0.113.1'), await guess('203.0.113.1'), await guess('203.0.113.1')],
    [401, 401, 429]
  )
  t.equal(await guess('203.0.113.2'), 401)
})

t.test('an address counts once, whatever port a proxy adds', async t => {
  const forms: Readonly<Record<string, (port: number) => string>> = {
    '192.0.2.1': port => `192.0.2.1:${port}`,
    '2001:db8::1': port => `[2001:db8::1]:${port}`,
    '192.0.2.2': port => `[::ffff:192.0.2.2]:${port}`
  }
  const { app, events } = await createThrottledApp(
    t,
    { account: false, address: { maxAttempts: 3 } },
    { fastify: { trustProxy: true } }
  )

  for (const [address, format] of Object.entries(forms)) {
    const statuses: number[] = []

    const login = async (port: number, password: string): Promise<void> => {
      const { statusCode } = await app.inject({
        method: 'POST',
        url: '/auth/login',
        headers: { 'x-forwarded-for': format(port) },
        payload: { username: 'ann', password }
      })
      statuses.push(statusCode)
    }

    await login(40_000, PASSWORD)

    for (let port = 40_001; port < 40_006; port++) {
      await login(port, 'wrong')
    }

    t.strictSame(statuses, [200, 401, 401, 401, 429, 429], address)
    t.ok(events.every(event => 'address' in event && event.address === address), address)
    const sessions = await app.tokenAuth.listSessions('u-ann')
    t.ok(sessions.some(session => session.device.address === address), 'in the session')
    events.length = 0
  }
})

t.test('spellings of a name count for the account that the app finds', async t => {
  const forms = [
    'josé',
    'jose\u0301',
    'JOSÉ',
    'José',
    ' josé',
    'josé ',
    'ｊｏｓé',
    'jo\u200bsé',
    'jose',
    'jos\u00e9\u0007',
    'JOSE\u0301'
  ]
  const key = (login: string): string =>
    login.normalize('NFKD').replace(/[\p{M}\p{C}\s]/gu, '').toLowerCase()

  // One database has a collation that treats all spellings as equal, the other compares bytes.
  for (
    const find of [(login: string) => key(login) === 'jose', (login: string) => login === 'josé']
  ) {
    for (const isThere of [true, false]) {
      const jose = { id: 'u-jose', username: 'josé', passwordHash: PASSWORD_HASH }
      const { storm } = await createThrottledApp(t, {}, {
        options: {
          users: {
            findByLogin: login => isThere && find(login) ? jose : null,
            findById: () => jose
          }
        }
      })
      const answers = await storm(
        110,
        i => ({ username: forms[i % forms.length] as string, from: `198.51.100.${i}` })
      )
      t.strictSame(
        answers,
        { 401: 10, 429: 100 },
        'whether it is there or not, and whatever the app takes for the same'
      )
    }
  }
})

t.test('an account with two names has one limit', async t => {
  const ann = {
    id: 'u-ann',
    username: 'ann',
    email: 'ann@example.org',
    passwordHash: PASSWORD_HASH
  }
  const bob = { id: 'u-bob', username: 'bob', passwordHash: PASSWORD_HASH }
  const { storm, guess, events } = await createThrottledApp(t, {}, { users: [ann, bob] })
  const answers = await storm(
    40,
    i => ({ username: i % 2 === 0 ? 'ann' : 'ann@example.org', from: `198.51.100.${i}` })
  )
  t.strictSame(answers, { 401: 20, 429: 20 }, 'as for two names that no user has')
  t.equal(events.filter(({ name }) => name === 'login-rejected').length, 10, 'verified passwords')
  t.equal((await guess({ username: 'bob', password: PASSWORD })).statusCode, 200)
  // The id of one user equals the name of another.
  t.strictSame(await storm(20, i => ({ username: 'u-bob', from: `198.51.100.${i}` })), {
    401: 10,
    429: 10
  })
  t.equal((await guess({ username: 'bob', password: PASSWORD })).statusCode, 200)
})

t.test('blocked accounts get the same response without a hash', async t => {
  const { storm, guess, users, app } = await createThrottledApp(t)
  users.set('u-dis', { id: 'u-dis', username: 'dis', disabled: true, passwordHash: PASSWORD_HASH })
  users.set('u-non', { id: 'u-non', username: 'non' })
  const answers: LightMyRequestResponse[] = []

  for (const username of ['ann', 'nobody', 'dis', 'non']) {
    t.strictSame(await storm(30, i => ({ username, from: `198.51.100.${i}` })), {
      401: 10,
      429: 20
    }, username)
    const answer = guess({ username })
    t.equal((await app.tokenAuth.health()).hashes.running, 0)
    answers.push(await answer)
  }

  const shown = answers.map(({ body, headers: { date, ...headers } }) => ({ body, headers }))

  for (const answer of shown) {
    t.strictSame(answer, shown[0])
  }
})
