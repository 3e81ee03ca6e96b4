import t from 'tap'
import { getAuth } from '../../src/index.js'
import type { Auth, FollowedSession, TokenResponse } from '../../src/index.js'
import { REALM } from '../helpers/app.js'
import { MINUTE, SECOND } from '../helpers/clock.js'
import { getReason } from './fixtures.js'
import { startLiveApp } from './live-app.js'
import type { LiveApp } from './live-app.js'

const getSessionId = ({ access_token: token }: TokenResponse): string =>
  JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).sid

const ends: Record<string, (test: LiveApp, tokens: TokenResponse) => Promise<unknown>> = {
  logout: ({ post }, tokens) => post('/auth/logout', { refresh_token: tokens.refresh_token }),
  'logout of all devices': ({ post }, { access_token: token }) =>
    post('/auth/logout/all', {}, { authorization: `Bearer ${token}` }),
  revokeSession: ({ app }, tokens) => app.tokenAuth.revokeSession(getSessionId(tokens)),
  revokeUser: ({ app }) => app.tokenAuth.revokeUser('u-ann'),
  passwordChanged: ({ app }) => app.tokenAuth.passwordChanged('u-ann'),
  revokeAll: ({ app }) => app.tokenAuth.revokeAll(),
  'reuse of a refresh token': async ({ refresh, clock }, { refresh_token: token }) => {
    const second = (await refresh(token)).json<TokenResponse>()
    await refresh(second.refresh_token)
    clock.advance(MINUTE)
    await refresh(token)
  },
  'a refresh of a disabled user': ({ users, refresh }, { refresh_token: token }) => {
    Object.assign(users.get('u-ann') ?? {}, { disabled: true })
    return refresh(token)
  },
  'more sessions than maxSessions': async ({ login, clock }) => {
    clock.advance(SECOND)
    await login()
    clock.advance(SECOND)
    await login()
  }
}

for (const [title, end] of Object.entries(ends)) {
  t.test(`${title} aborts the signal`, async t => {
    const test = await startLiveApp(t, { options: { maxSessions: 2 } })
    const tokens = await test.login()
    const [own, other] = [await test.follow(tokens), await test.follow(await test.login('bob'))]
    t.equal(getReason(own.signal), null)
    await end(test, tokens)
    t.equal(getReason(own.signal), 'AUTH_SESSION_REVOKED')
    t.equal(getReason(other.signal), title === 'revokeAll' ? 'AUTH_SESSION_REVOKED' : null)
  })
}

for (const method of ['revokeUser', 'passwordChanged'] as const) {
  t.test(`${method} keeps the session that it names`, async t => {
    const test = await startLiveApp(t)
    const [kept, ended] = [await test.login(), await test.login()]
    const signals = [(await test.follow(kept)).signal, (await test.follow(ended)).signal]
    await test.app.tokenAuth[method]('u-ann', { keep: getSessionId(kept) })
    t.strictSame(signals.map(getReason), [null, 'AUTH_SESSION_REVOKED'])
  })
}

t.test('revokeSession aborts the signal of a session that the store has lost', async t => {
  const test = await startLiveApp(t)
  const tokens = await test.login()
  const { signal } = await test.follow(tokens)
  await test.store.sweep({ endedBefore: Number.MAX_SAFE_INTEGER, limit: 100 })
  t.equal(await test.store.find(REALM, getSessionId(tokens)), null)

  await test.app.tokenAuth.revokeSession(getSessionId(tokens))
  t.equal(getReason(signal), 'AUTH_SESSION_REVOKED')
})

t.test('a session that is revoked before follow gives a signal that has aborted', async t => {
  const followed: FollowedSession[] = []
  const test = await startLiveApp(t, {
    after: app => {
      app.get('/late', { onRequest: [app.authenticate] }, async request => {
        await app.tokenAuth.revokeSession(getAuth(request).sessionId)
        followed.push(app.tokenAuth.follow(request))
        return {}
      })
    }
  })
  const { access_token: token } = await test.login()
  t.equal((await test.get('/late', token)).statusCode, 200)
  t.equal(getReason(followed[0]?.signal as AbortSignal), 'AUTH_SESSION_REVOKED')
})

t.test('follow without a token that was accepted throws AUTH_ACCESS_MISSING', async t => {
  const foreign = { userId: 'u-ann', sessionId: 'elsewhere' } as Auth
  const test = await startLiveApp(t, {
    after: app => {
      app.get('/open', request => {
        app.tokenAuth.follow(request)
      })
      app.get('/foreign', request => {
        request.auth = foreign
        app.tokenAuth.follow(request)
      })
    }
  })
  const { access_token: token } = await test.login()

  for (const [path, sent] of [['/open', token], ['/foreign', token], ['/foreign', undefined]]) {
    const response = await test.get(path as string, sent)
    t.strictSame([response.statusCode, response.json().code], [401, 'AUTH_ACCESS_MISSING'])
  }
})

t.test('the end of the token aborts the signal by the clock of the app', async t => {
  const test = await startLiveApp(t)
  const { signal } = await test.follow(await test.login())
  test.clock.advance(15 * MINUTE)
  // Real time, because the timer of the app must find the end.
  await new Promise<void>(resolve => {
    signal.addEventListener('abort', () => {
      resolve()
    })
    setTimeout(resolve, 2 * SECOND)
  })
  t.equal(getReason(signal), 'AUTH_ACCESS_EXPIRED')
})

t.test('a refreshed token renews the session', async t => {
  const test = await startLiveApp(t)
  const first = await test.login()
  const { renew, signal } = await test.follow(first)
  test.clock.advance(10 * MINUTE)
  const second = (await test.refresh(first.refresh_token)).json<TokenResponse>()
  const auth = await renew(second.access_token)
  t.match(auth, { userId: 'u-ann', expiresAt: test.clock() + 15 * MINUTE })
  t.equal(getReason(signal), null)

  await t.rejects(renew(first.access_token), { code: 'AUTH_ACCESS_EXPIRED' })
  await t.rejects(renew(`${second.access_token.slice(0, -4)}AAAA`), { code: 'AUTH_ACCESS_INVALID' })
  await t.rejects(renew(second.refresh_token as string), { code: 'AUTH_ACCESS_INVALID' })
  await t.rejects(renew(`${second.access_token} x`), { code: 'AUTH_ACCESS_INVALID' })
  await t.rejects(renew((await test.login('bob')).access_token), { code: 'AUTH_ACCESS_INVALID' })
  await t.rejects(renew((await test.login()).access_token), { code: 'AUTH_ACCESS_INVALID' })
  t.equal(getReason(signal), null)
})

t.test('renew confirms the generation of its token', async t => {
  for (const confirms of [true, false]) {
    const test = await startLiveApp(t)
    const first = await test.login()
    const { renew, signal } = await test.follow(first)
    const second = (await test.refresh(first.refresh_token)).json<TokenResponse>()

    if (confirms) {
      await renew(second.access_token)
    }

    test.clock.advance(MINUTE)
    const { statusCode } = await test.refresh(first.refresh_token)
    t.equal(statusCode, confirms ? 401 : 200)
    t.equal(test.events.at(-1)?.name, confirms ? 'reuse' : 'recovery')
    t.equal(signal.aborted, confirms)
  }
})

t.test('an access token in a cookie is followed', async t => {
  const test = await startLiveApp(t, {
    options: { refreshToken: { transport: 'cookie' }, cookie: { accessToken: true } }
  })
  const own = { 'sec-fetch-site': 'same-origin' }
  const { cookies } = await test.post('/auth/login', {
    username: 'ann',
    password: 'correct horse battery staple'
  }, own)
  const cookie = cookies.map(({ name, value }) => `${name}=${value}`).join('; ')
  const response = await test.app.inject({ url: '/follow', headers: { ...own, cookie } })
  t.equal(response.statusCode, 200)
})

t.test('close of the app ends all sessions without a signal', async t => {
  const test = await startLiveApp(t)
  const tokens = await test.login()
  // Lists only timers that keep the process alive.
  const countTimers = (): number =>
    process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = countTimers()
  const { signal, renew } = await test.follow(tokens)
  t.equal(countTimers(), before)
  await test.app.close()
  t.equal(getReason(signal), null)
  await t.rejects(renew('any'), /renew cannot be used after end/)
})
