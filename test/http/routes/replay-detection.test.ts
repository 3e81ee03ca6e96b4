import t from 'tap'
import type { Test } from 'tap'
import type { LightMyRequestResponse } from 'fastify'
import type { TokenAuthOptions, TokenResponse } from '../../../src/index.js'
import { createTestApp, PASSWORD } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'

const MINUTE = 60_000

interface Party {
  readonly address: string
  readonly userAgent: string
}

const client: Party = { address: '192.0.2.1', userAgent: 'Phone/1' }
const thief: Party = { address: '198.51.100.66', userAgent: 'curl/8' }

interface Chase extends TestApp {
  present(token: string, by: Party): Promise<LightMyRequestResponse>
  /** Each client sends the token in turn. Returns the token that the last one received. */
  generation(token: string, ...parties: Party[]): Promise<string>
}

async function startChase (
  t: Test,
  refreshToken: NonNullable<TokenAuthOptions['refreshToken']>,
  beside: Partial<Pick<TestApp, 'store' | 'clock'>> = {}
): Promise<Chase & { readonly token: string }> {
  const { store, clock } = beside
  const test = await createTestApp({
    ...(store && { store }),
    ...(clock && { clock }),
    options: { refreshToken }
  })
  t.teardown(() => test.app.close())
  const send = async (
    url: string,
    payload: object,
    { address, userAgent }: Party
  ): Promise<LightMyRequestResponse> =>
    test.app.inject({
      method: 'POST',
      url,
      remoteAddress: address,
      headers: { 'user-agent': userAgent },
      payload
    })
  const present: Chase['present'] = (token, by) =>
    send('/auth/refresh', { refresh_token: token }, by)
  const login = await send('/auth/login', { username: 'ann', password: PASSWORD }, client)

  return {
    ...test,
    token: login.json<TokenResponse>().refresh_token ?? '',
    present,
    async generation (token, ...parties) {
      test.clock.advance(10 * MINUTE)
      let next = ''

      for (const party of parties) {
        const answer = await present(token, party)
        t.equal(answer.statusCode, 200)
        next = answer.json<TokenResponse>().refresh_token ?? ''
        test.clock.advance(2000)
      }

      return next
    }
  }
}

const shadowsIn = ({ events }: TestApp): unknown[] =>
  events.filter(({ name }) => name === 'suspicious-replay')

t.test('three replays by another client emit suspicious-replay', async t => {
  const chase = await startChase(t, { replayDetection: 'report' })
  let { token } = chase
  token = await chase.generation(token, client, thief)
  token = await chase.generation(token, thief, client)
  t.strictSame(shadowsIn(chase), [])
  token = await chase.generation(token, client, thief, thief, client)
  t.match(shadowsIn(chase), [{
    userId: 'u-ann',
    revoked: false,
    presented: { address: thief.address, userAgent: thief.userAgent, generation: 2 },
    rotated: { address: client.address, userAgent: client.userAgent, generation: 3 }
  }])
  await chase.generation(token, client, thief)
  t.equal(shadowsIn(chase).length, 2, 'again with each further generation')
  t.equal(
    (await chase.app.tokenAuth.listSessions('u-ann')).length,
    1,
    'the session is only reported'
  )
})

t.test('replayDetection "revoke" revokes the session immediately', async t => {
  const chase = await startChase(t, { replayDetection: 'revoke' })
  let { token } = chase

  for (let i = 0; i < 2; i++) {
    token = await chase.generation(token, client, thief)
  }

  chase.clock.advance(10 * MINUTE)
  const rotated = (await chase.present(token, client)).json<TokenResponse>()
  const answers = await Promise.all(Array.from({ length: 5 }, () => chase.present(token, thief)))
  t.ok(answers.every(({ statusCode }) => statusCode === 401))
  t.ok(answers.some(answer => answer.json().code === 'AUTH_REFRESH_REUSED'))
  t.match(shadowsIn(chase), [{ revoked: true }])
  t.equal(shadowsIn(chase).length, 1)
  t.match(chase.events.filter(({ name }) => name === 'session-ended'), [{
    reason: 'suspicious-replay'
  }])
  t.equal(
    (await chase.present(rotated.refresh_token ?? '', client)).json().code,
    'AUTH_REFRESH_REVOKED'
  )
  t.equal((await chase.get('/protected', rotated.access_token)).json().code, 'AUTH_SESSION_REVOKED')
})

t.test('a failed revocation results in 503 and is repeated by the next replay', async t => {
  const chase = await startChase(t, { replayDetection: 'revoke' })
  let { token } = chase

  for (let i = 0; i < 2; i++) {
    token = await chase.generation(token, client, thief)
  }

  chase.clock.advance(10 * MINUTE)
  const next = (await chase.present(token, client)).json<TokenResponse>().refresh_token ?? ''
  const { revoke } = chase.store
  chase.store.revoke = () => Promise.reject(new Error('down'))
  t.equal((await chase.present(token, thief)).statusCode, 503)
  chase.store.revoke = revoke
  chase.clock.advance(10 * MINUTE)
  await chase.present(next, client)
  t.equal((await chase.present(next, thief)).statusCode, 401, 'in the next generation')
})

t.test('a recovery by another client is reported immediately', async t => {
  const chase = await startChase(t, { replayDetection: 'report' })
  let { token } = chase

  for (let i = 1; i <= 3; i++) {
    chase.clock.advance(10 * MINUTE)
    await chase.present(token, thief)
    chase.clock.advance(MINUTE)
    token = (await chase.present(token, client)).json<TokenResponse>().refresh_token ?? ''
    t.equal(chase.events.filter(({ name }) => name === 'recovery').length, i)
    t.equal(shadowsIn(chase).length, i)
  }
})

t.test('a client that presents current tokens of another one is reported', async t => {
  const chase = await startChase(t, {})
  let { token } = chase

  for (let i = 0; i < 3; i++) {
    t.strictSame(shadowsIn(chase), [])
    token = await chase.generation(token, client)
    t.equal((await chase.present(token, thief)).json().refresh_token, token, 'kept')
  }

  t.match(shadowsIn(chase), [{ revoked: false, presented: { generation: 3 } }])
})

t.test('replays count over all instances', async t => {
  const here = await startChase(t, {})
  const there = await startChase(t, {}, here)
  let { token } = here

  for (const [round, [first, second]] of [[here, there], [there, here], [here, there]].entries()) {
    here.clock.advance(10 * MINUTE)
    const next = (await first?.present(token, client))?.json().refresh_token
    const { length } = [...shadowsIn(here), ...shadowsIn(there)]
    t.equal(length, 0, `round ${round}`)
    t.equal((await second?.present(token, thief))?.json().refresh_token, next)
    token = next
  }

  t.strictSame(shadowsIn(here), [])
  t.match(shadowsIn(there), [{ presented: { generation: 2 }, rotated: { generation: 3 } }])
})

for (
  const [who, others] of Object.entries<readonly Party[]>({
    'tabs of one browser': [client, client, client],
    'a phone whose network changes each time': ['203.0.113.7', '2001:db8::7', '203.0.113.8'].map(
      address => ({ ...client, address })
    ),
    'a browser and an app behind one address': [thief, thief, thief].map(({ userAgent }) => ({
      ...client,
      userAgent
    })),
    'another address of the same IPv6 network': []
  })
) {
  t.test(`${who} emit no suspicious-replay`, async t => {
    const chase = await startChase(t, { replayDetection: 'revoke' })
    let { token } = chase
    const parties = others.length > 0
      ? others
      : ['1', '2', '3'].map(end => ({ address: `2001:db8:0:7::${end}`, userAgent: `App/${end}` }))

    for (let round = 0; round < 3; round++) {
      for (const party of parties) {
        token = await chase.generation(
          token,
          others.length > 0 ? client : { address: '2001:db8:0:7::9', userAgent: 'x' },
          party
        )
      }
    }

    t.strictSame(shadowsIn(chase), [])
  })
}

t.test('a generation without a replay resets the count', async t => {
  const chase = await startChase(t, { replayDetection: 'revoke' })
  let { token } = chase

  for (let round = 0; round < 4; round++) {
    token = await chase.generation(token, client, thief)
    token = await chase.generation(token, client, thief, thief, thief)
    token = await chase.generation(token, client, client)
  }

  t.strictSame(shadowsIn(chase), [])
})

t.test('isSameClient replaces the comparison of clients', async t => {
  const asked: unknown[] = []
  const chase = await startChase(t, {
    replayDetection: 'report',
    isSameClient (one, other) {
      asked.push([one, other])
      return one.address === other.address
    }
  })
  let { token } = chase
  const elsewhere = { ...client, address: thief.address }

  for (let i = 0; i < 3; i++) {
    token = await chase.generation(token, client, elsewhere)
  }

  t.equal(shadowsIn(chase).length, 1)
  t.strictSame(asked[0], [client, elsewhere])
})

t.test('without replayDetection no client is compared', async t => {
  const chase = await startChase(t, {
    replayDetection: false,
    isSameClient: () => t.fail('a client is compared')
  })
  let { token } = chase

  for (let i = 0; i < 5; i++) {
    token = await chase.generation(token, client, thief)
  }

  t.strictSame(shadowsIn(chase), [])
})
