import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse, TokenStore } from '../../../src/index.js'
import { MemoryStore } from '../../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../../helpers/app.js'
import type { TestApp } from '../../helpers/app.js'
import { createClock, MINUTE } from '../../helpers/clock.js'
import type { TestClock } from '../../helpers/clock.js'

type Options = Partial<TokenAuthOptions>

const generateKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

const LIFETIME = 15 * MINUTE
const OWN_SECRET = 'r8Zl3nWy1UaSc6Xo9Mt4Ke7Ig0Hd2Qb5'
const NEXT_SECRET = 's9Am4oXz2VbTd7Yp0Nu5Lf8Jh1Ie3Rc6'
const [oldIssuer, newIssuer] = ['https://old.example.org', 'https://new.example.org']
const [oldAudience, newAudience] = ['https://old-api.example.org', 'https://api.example.org']
const [oldKey, newKey] = [generateKey(), generateKey()]
const parties = { issuer: newIssuer, audience: newAudience }

// The settings of each deploy, from the old ones to the new ones.
const changes: Readonly<Record<string, readonly Options[]>> = {
  'another issuer': [
    { issuer: oldIssuer },
    { issuer: [oldIssuer, newIssuer] },
    { issuer: [newIssuer, oldIssuer] },
    { issuer: newIssuer }
  ],
  'another audience': [
    { audience: oldAudience },
    { audience: [oldAudience, newAudience] },
    { audience: [newAudience, oldAudience] },
    { audience: newAudience }
  ],
  'a first issuer and audience': [
    {},
    { issuer: [null, newIssuer], audience: [null, newAudience] },
    { issuer: [newIssuer, null], audience: [newAudience, null] },
    parties
  ],
  'no issuer': [
    { issuer: oldIssuer },
    { issuer: [oldIssuer, null] },
    { issuer: [null, oldIssuer] },
    {}
  ],
  'another key': [
    { ...parties, keys: [oldKey] },
    { ...parties, keys: [oldKey, newKey] },
    { ...parties, keys: [newKey, oldKey] },
    { ...parties, keys: [newKey] }
  ],
  'keys instead of a secret': [
    {},
    { issuer: [null, newIssuer], audience: [null, newAudience], keys: ['secret', newKey] },
    { issuer: [newIssuer, null], audience: [newAudience, null], keys: [newKey, 'secret'] },
    { ...parties, keys: [newKey] }
  ],
  'keys instead of the secret of another realm': [
    { ...parties, name: 'staff' },
    { ...parties, name: 'staff', keys: ['secret', newKey] },
    { ...parties, name: 'staff', keys: [newKey, 'secret'] },
    { ...parties, name: 'staff', keys: [newKey] }
  ],
  'a secret instead of keys': [
    { ...parties, keys: [oldKey] },
    { ...parties, keys: [oldKey, 'secret'] },
    { ...parties, keys: ['secret', oldKey] },
    parties
  ],
  'keys instead of accessToken.secret': [
    { ...parties, accessToken: { secret: OWN_SECRET } },
    { ...parties, accessToken: { secret: OWN_SECRET }, keys: ['secret', newKey] },
    { ...parties, accessToken: { secret: OWN_SECRET }, keys: [newKey, 'secret'] },
    { ...parties, keys: [newKey] }
  ],
  'another accessToken.secret': [
    { accessToken: { secret: OWN_SECRET } },
    { accessToken: { secret: [OWN_SECRET, NEXT_SECRET] } },
    { accessToken: { secret: [NEXT_SECRET, OWN_SECRET] } },
    { accessToken: { secret: NEXT_SECRET } }
  ],
  'a first accessToken.secret': [
    {},
    { accessToken: { secret: [SECRET, OWN_SECRET] } },
    { accessToken: { secret: [OWN_SECRET, SECRET] } },
    { accessToken: { secret: OWN_SECRET } }
  ],
  'no accessToken.secret': [
    { accessToken: { secret: OWN_SECRET } },
    { accessToken: { secret: [OWN_SECRET, SECRET] } },
    { accessToken: { secret: [SECRET, OWN_SECRET] } },
    {}
  ]
}

/** Changes whose previous value is needed as long as a refresh token lives. */
const refreshChanges: Readonly<Record<string, readonly Options[]>> = {
  'another secret': [
    { secret: SECRET },
    { secret: [SECRET, NEXT_SECRET] },
    { secret: [NEXT_SECRET, SECRET] }
  ],
  'a first refreshToken.secret': [
    {},
    { refreshToken: { secret: [SECRET, OWN_SECRET] } },
    { refreshToken: { secret: [OWN_SECRET, SECRET] } }
  ]
}

for (const [name, stages] of Object.entries({ ...changes, ...refreshChanges })) {
  t.test(`a rolling deploy of ${name} rejects no token`, async t => {
    const fleet = createFleet(t)
    const hasLastStep = name in changes
    let live: TokenResponse[] = []

    for (const [i, stage] of stages.entries()) {
      const next = stages[i + 1]
      live = await fleet.use([stage, stage], live)

      if (next !== undefined) {
        const removes = hasLastStep && i === stages.length - 2

        // The last step removes the old value, so the last tokens with it must have expired.
        if (removes) {
          fleet.clock.advance(LIFETIME)
          live = await fleet.refresh(stage, live)
        }

        live = await fleet.use([stage, next], live)
      }
    }
  })

  t.test(`${name} without these steps rejects tokens`, async t => {
    const fleet = createFleet(t)
    const [oldStage = {}, newStage = {}] = [stages[0], stages.at(-1)]
    const [before, after] = await fleet.start([oldStage, newStage])
    const { access_token: token, refresh_token: refreshToken } = await login(after)
    const response = await before?.get('/protected', token)
    const refreshed = await before?.refresh(refreshToken)
    t.ok(response?.statusCode === 401 || refreshed?.statusCode === 401)
  })
}

interface Fleet {
  readonly clock: TestClock
  start(stages: readonly Options[]): Promise<TestApp[]>
  /** Asserts that instances with these settings accept all tokens. Returns newer tokens. */
  use(stages: readonly Options[], live: readonly TokenResponse[]): Promise<TokenResponse[]>
  refresh(stage: Options, live: readonly TokenResponse[]): Promise<TokenResponse[]>
}

function createFleet (t: Test): Fleet {
  const clock = createClock()
  const store: TokenStore = new MemoryStore()

  async function start (stages: readonly Options[]): Promise<TestApp[]> {
    const instances = await Promise.all(
      stages.map(options => createTestApp({ clock, store, options }))
    )
    t.teardown(() => Promise.all(instances.map(({ app }) => app.close())))
    return instances
  }

  async function refreshAll (
    instances: readonly TestApp[],
    live: readonly TokenResponse[]
  ): Promise<TokenResponse[]> {
    return Promise.all(live.map(async ({ refresh_token: token }, i) => {
      const response = await instances[i % instances.length]?.refresh(token)
      t.equal(response?.statusCode, 200, 'refresh')
      return response?.json<TokenResponse>() as TokenResponse
    }))
  }

  async function assertAccepted (
    instances: readonly TestApp[],
    live: readonly TokenResponse[]
  ): Promise<void> {
    for (const instance of instances) {
      for (const { access_token: token } of live) {
        t.equal((await instance.get('/protected', token)).statusCode, 200, 'access')
      }
    }
  }

  return {
    clock,
    start,
    async use (stages, live) {
      const instances = await start(stages)
      const all = [...live, ...await Promise.all(instances.map(login))]
      await assertAccepted(instances, all)
      clock.advance(MINUTE)
      const refreshed = await refreshAll([...instances].reverse(), all)
      await assertAccepted(instances, [...all, ...refreshed])
      return refreshed
    },
    refresh: async (stage, live) => refreshAll(await start([stage]), live)
  }
}

async function login (instance: TestApp | undefined): Promise<TokenResponse> {
  return instance?.login() as Promise<TokenResponse>
}
