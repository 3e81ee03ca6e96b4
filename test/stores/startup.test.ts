import t from 'tap'
import { TokenAuthError } from '../../src/errors.js'
import { StoreStartup } from '../../src/stores/startup.js'
import type { StoreDown } from '../../src/stores/startup.js'
import { StoreSetupError } from '../../src/stores/token-store.js'

const REFUSED = Object.assign(new Error('connect to 10.0.0.5'), { code: 'ECONNREFUSED' })
const MISSING = new StoreSetupError(['table "x" is missing'], 'run migrate')

interface Trial {
  readonly startup: StoreStartup
  readonly logged: string[]
  /** Results of the next checks: warnings, an error, or `null` for no response. */
  readonly checks: Array<readonly string[] | Error | null>
  starts: number
}

function createTrial (storeDown: StoreDown, checks: Trial['checks'], given = {}): Trial {
  const logged: string[] = []

  const log = (level: string) => (facts: object, message: string): void => {
    logged.push(`${level} ${message} ${JSON.stringify(facts)}`)
  }

  const trial: Trial = {
    logged,
    checks,
    starts: 0,
    startup: new StoreStartup({
      stores: [{
        async check () {
          const result = checks.length > 1 ? checks.shift() : checks[0]

          if (result instanceof Error) {
            throw result
          }

          return result ?? new Promise(() => {})
        }
      }],
      async start () {
        trial.starts++
      },
      storeDown,
      maxWait: 10_000,
      checkTimeout: 20,
      name: 'auth',
      logger: { error: log('error'), warn: log('warn'), info: log('info') },
      ...given
    })
  }
  return trial
}

async function waitUntil (isTrue: () => boolean): Promise<void> {
  while (!isTrue()) {
    await new Promise(resolve => {
      setTimeout(resolve, 5)
    })
  }
}

t.test('warnings of a store are logged once, and then the start goes on', async t => {
  const trial = createTrial('fail', [['a', 'b', 'a']])
  await trial.startup.run()
  t.strictSame(trial.logged, ['warn a {"registration":"auth"}', 'warn b {"registration":"auth"}'])
  t.equal(trial.starts, 1)
  t.equal(trial.startup.isReady, true)
})

for (const storeDown of ['fail', 'wait', 'serve'] as const) {
  t.test(`a store that lacks a table fails the startup with "${storeDown}"`, async t => {
    const trial = createTrial(storeDown, [MISSING])
    await t.rejects(trial.startup.run(), MISSING)
    t.equal(trial.starts, 0)
    t.equal(trial.startup.isReady, false)
  })
}

t.test('a store that does not respond fails the startup, with the cause', async t => {
  await t.rejects(createTrial('fail', [REFUSED]).startup.run(), {
    message: 'fastify-token-auth: the store does not respond at startup (Error ECONNREFUSED); ' +
      'start the database, check the address and the credentials, or set "startup.storeDown"',
    cause: REFUSED
  })
  await t.rejects(createTrial('fail', [null]).startup.run(), {
    cause: { message: 'no response within 20 ms' }
  })
})

t.test('"wait" tries again until the store responds', async t => {
  const trial = createTrial('wait', [REFUSED, null, ['a']])
  await trial.startup.run()
  t.equal(trial.starts, 1)
  t.strictSame(trial.logged, [
    'warn the store is not available, waiting for it ' +
    '{"registration":"auth","cause":"Error ECONNREFUSED"}',
    'warn a {"registration":"auth"}',
    'info the store is available {"registration":"auth"}'
  ])
})

t.test('"wait" fails after the longest wait, and when a table turns out to be missing', async t => {
  await t.rejects(createTrial('wait', [REFUSED], { maxWait: 1 }).startup.run(), { cause: REFUSED })
  await t.rejects(createTrial('wait', [REFUSED, MISSING]).startup.run(), MISSING)
})

t.test('"serve" resolves without the store, and goes on by itself', async t => {
  const trial = createTrial('serve', [REFUSED, REFUSED, MISSING, []])
  await trial.startup.run()
  t.equal(trial.startup.isReady, false)
  await waitUntil(() => trial.startup.isReady)
  t.equal(trial.starts, 1)
  t.strictSame(trial.logged, [
    'warn the store is not available, requests get 503 until it is ' +
    '{"registration":"auth","cause":"Error ECONNREFUSED"}',
    'error the store cannot be used ' +
    '{"registration":"auth","cause":"table \\"x\\" is missing; run migrate"}',
    'info the store is available {"registration":"auth"}'
  ])
})

t.test('a store that fails after its check is an outage too', async t => {
  let starts = 0
  const trial = createTrial('serve', [[]], {
    async start () {
      if (++starts === 1) {
        throw new TokenAuthError('AUTH_STORE_UNAVAILABLE')
      }
    }
  })
  await trial.startup.run()
  await waitUntil(() => trial.startup.isReady)
  t.equal(starts, 2)
})

t.test('an error of the app fails the startup', async t => {
  const start = (): Promise<void> => Promise.reject(new TypeError('subscribe is broken'))

  for (const storeDown of ['fail', 'wait', 'serve'] as const) {
    const trial = createTrial(storeDown, [[]], { start })
    await t.rejects(trial.startup.run(), { message: 'subscribe is broken' })
  }
})

t.test('stop ends the attempts', async t => {
  const trial = createTrial('serve', [REFUSED])
  await trial.startup.run()
  trial.checks[0] = []
  trial.startup.stop()
  await new Promise(resolve => {
    setTimeout(resolve, 150)
  })
  t.equal(trial.starts, 0)
  t.equal(trial.startup.isReady, false)
})
