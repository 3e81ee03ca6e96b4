import { generateKeyPairSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import t from 'tap'
import type { Test } from 'tap'
import type { TokenAuthOptions, TokenResponse, TokenStore } from '../../src/index.js'
import { MemoryStore } from '../../src/stores/memory/index.js'
import { createTestApp, SECRET } from '../helpers/app.js'
import type { TestApp } from '../helpers/app.js'
import { createClock, MINUTE } from '../helpers/clock.js'
import type { TestClock } from '../helpers/clock.js'
import { guide } from './guide.js'

type Options = Partial<TokenAuthOptions>

const generateKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

const LIFETIME = 15 * MINUTE

// Variables of the settings in the guide.
const variables: Readonly<Record<string, unknown>> = {
  secret: SECRET,
  oldSecret: 'r8Zl3nWy1UaSc6Xo9Mt4Ke7Ig0Hd2Qb5',
  newSecret: 's9Am4oXz2VbTd7Yp0Nu5Lf8Jh1Ie3Rc6',
  issuer: 'https://auth.example.org',
  oldIssuer: 'https://old.example.org',
  newIssuer: 'https://new.example.org',
  audience: 'https://api.example.org',
  oldAudience: 'https://old-api.example.org',
  newAudience: 'https://new-api.example.org',
  oldKey: generateKey(),
  newKey: generateKey()
}

/** The settings of each deploy, from the old ones to the new ones, by the name of the change. */
const changes: Readonly<Record<string, readonly Options[]>> = Object.fromEntries(
  Array.from(
    guide.matchAll(/^\| ([^|]+) \| ([^|]+ → [^|]+) \| `\w+\.lifetime` \|$/gm),
    ([, name = '', steps = '']) => [
      name.replaceAll('`', ''),
      Array.from(steps.matchAll(/`([^`]+)`/g), ([, code = '']) => evaluate(code))
    ]
  )
)

t.test('the guide has a row for each change, with four deploys', async t => {
  t.equal(Object.keys(changes).length, 11)

  for (const [name, stages] of Object.entries(changes)) {
    t.equal(stages.length, 4, name)
  }
})

// Combinations of changes of the guide.
const combinations: Readonly<Record<string, readonly Options[]>> = {
  'keys in another realm': [
    'issuer, audience, name: "staff"',
    'issuer, audience, name: "staff", keys: ["secret", newKey]',
    'issuer, audience, name: "staff", keys: [newKey, "secret"]',
    'issuer, audience, name: "staff", keys: [newKey]'
  ].map(evaluate),
  'keys instead of accessToken.secret': [
    'issuer, audience, accessToken: { secret: oldSecret }',
    'issuer, audience, accessToken: { secret: oldSecret }, keys: ["secret", newKey]',
    'issuer, audience, accessToken: { secret: oldSecret }, keys: [newKey, "secret"]',
    'issuer, audience, keys: [newKey]'
  ].map(evaluate),
  'a first issuer with keys': [
    'secret',
    'issuer: [null, newIssuer], audience: [null, newAudience], keys: ["secret", newKey]',
    'issuer: [newIssuer, null], audience: [newAudience, null], keys: [newKey, "secret"]',
    'issuer: newIssuer, audience: newAudience, keys: [newKey]'
  ].map(evaluate)
}

for (const [name, stages] of Object.entries({ ...changes, ...combinations })) {
  t.test(`a rolling deploy of ${name} rejects no token`, async t => {
    const fleet = createFleet(t)
    let live: TokenResponse[] = []

    for (const [i, stage] of stages.entries()) {
      const next = stages[i + 1]
      live = await fleet.use([stage, stage], live)

      if (next !== undefined) {
        // The last deploy removes the old value, so the last tokens with it must have expired.
        if (i === stages.length - 2) {
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

function evaluate (code: string): Options {
  // eslint-disable-next-line no-new-func -- The code is from the guide of this repository.
  const read = new Function(...Object.keys(variables), `return ({ ${code} })`)
  return (read as (...values: unknown[]) => Options)(...Object.values(variables))
}

t.test('a deploy with other lifetimes rejects no token', async t => {
  const fleet = createFleet(t)
  const [old, next] = [{}, {
    accessToken: { lifetime: '5m' },
    refreshToken: { lifetime: '1d', maxLifetime: '10d' }
  }] as const
  let live = await fleet.use([old, old], [])
  live = await fleet.use([old, next], live)
  await fleet.use([next, next], live)
})

t.test('a deploy with another name rejects all tokens', async t => {
  const fleet = createFleet(t)
  const [before, after] = await fleet.start([{}, { name: 'staff' }])
  const tokens = await login(before)
  t.equal((await after?.get('/protected', tokens.access_token))?.statusCode, 401)
  t.equal((await after?.refresh(tokens.refresh_token))?.statusCode, 401)
})
