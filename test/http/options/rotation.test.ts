import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, DAY, HOUR } from '../../helpers/clock.js'

const OTHER = 'Zr4Kp9Xs2Wd7Vf1Bg6Nh3Mj8Qk5Tl0Yc'
const THIRD = 'u8Ei3Oa6Pw1Ld4Fj9Gh2Sk7Vn5Mb0Xzq'

/** Creates apps that share a store and a clock, and differ in their options. */
function createDeployments (t: Test): (options: Partial<TokenAuthOptions>) => Promise<TestApp> {
  const store = new MemoryStore()
  const clock = createClock()

  return async options => {
    const test = await createTestApp({ store, clock, options })
    t.teardown(() => test.app.close())
    return test
  }
}

type Pair = Required<TokenResponse>

async function refreshOnce (test: TestApp, { refresh_token: token }: TokenResponse): Promise<Pair> {
  const response = await test.refresh(token)

  if (response.statusCode !== 200) {
    throw new Error(`refresh failed: ${response.body}`)
  }

  return response.json()
}

async function useTokens (
  test: TestApp,
  pair: TokenResponse
): Promise<{ access: unknown, refresh: unknown }> {
  const access = await test.get('/protected', pair.access_token)
  const refresh = await test.refresh(pair.refresh_token)

  return {
    access: access.json().code ?? access.statusCode,
    refresh: refresh.json().code ?? refresh.statusCode
  }
}

const accepted = { access: 200, refresh: 200 }
const rejected = { access: 'AUTH_ACCESS_INVALID', refresh: 'AUTH_REFRESH_INVALID' }

t.test('a secret is replaced without signing users out', async t => {
  const deploy = createDeployments(t)
  const before = await deploy({ secret: SECRET })
  const between = await deploy({ secret: [OTHER, SECRET] })
  const after = await deploy({ secret: OTHER })

  const oldTokens = await before.login()
  t.strictSame(
    await useTokens(after, oldTokens),
    rejected,
    'the new secret alone rejects tokens of the old one'
  )
  t.equal((await between.get('/protected', oldTokens.access_token)).statusCode, 200)
  const newTokens = await refreshOnce(between, oldTokens)
  t.strictSame(
    await useTokens(before, newTokens),
    rejected,
    'the old secret alone rejects tokens of the new one'
  )
  t.strictSame(
    await useTokens(after, newTokens),
    accepted,
    'tokens from in between are signed with the new secret'
  )
  t.strictSame(await useTokens(after, await between.login()), accepted)
  t.strictSame(
    before.events.concat(after.events).filter(event =>
      event.name === 'session-ended' || event.name === 'reuse'
    ),
    []
  )
})

t.test('the secret of one kind of token is replaced without affecting the other', async t => {
  const deploy = createDeployments(t)
  const before = await deploy({ refreshToken: { secret: OTHER } })
  const between = await deploy({ refreshToken: { secret: [THIRD, OTHER] } })
  const after = await deploy({ refreshToken: { secret: THIRD } })
  const pair = await before.login()
  t.strictSame(await useTokens(after, pair), { access: 200, refresh: 'AUTH_REFRESH_INVALID' })
  t.strictSame(await useTokens(after, await refreshOnce(between, pair)), accepted)
})

t.test('without rotation, a refresh keeps the refresh token', async t => {
  const { login, refresh, get, clock } = await createDeployments(t)({ rotation: false })
  const { refresh_token: token } = await login()

  for (let i = 0; i < 3; i++) {
    clock.advance(DAY)
    const response = await refresh(token)
    t.equal(response.statusCode, 200)
    t.notOk('refresh_token' in response.json())
    t.equal((await get('/protected', response.json().access_token)).statusCode, 200)
  }

  clock.advance(4 * DAY)
  t.equal((await refresh(token)).json().code, 'AUTH_REFRESH_EXPIRED')
})

t.test('rotation is disabled and enabled again without signing users out', async t => {
  const deploy = createDeployments(t)
  const rotating = await deploy({ rotation: true })
  const { clock } = rotating
  const first = await refreshOnce(rotating, await rotating.login())
  clock.advance(HOUR)

  const keeping = await deploy({ rotation: false })

  for (let i = 0; i < 2; i++) {
    t.notOk('refresh_token' in await refreshOnce(keeping, first))
    clock.advance(HOUR)
  }

  const again = await deploy({ rotation: true })
  const second = await refreshOnce(again, first)
  t.not(second.refresh_token, first.refresh_token)
  clock.advance(HOUR)
  t.not((await refreshOnce(again, second)).refresh_token, second.refresh_token)
  t.strictSame(await again.app.tokenAuth.listSessions('u-ann').then(sessions => sessions.length), 1)
})

t.test('a refresh returns a missed successor after rotation was disabled', async t => {
  const deploy = createDeployments(t)
  const rotating = await deploy({ rotation: true })
  const keeping = await deploy({ rotation: false })
  const first = await rotating.login()
  const missed = await refreshOnce(rotating, first)
  t.equal((await refreshOnce(keeping, first)).refresh_token, missed.refresh_token)
  t.strictSame(await useTokens(keeping, missed), accepted)
})
