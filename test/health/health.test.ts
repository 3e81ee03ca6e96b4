import t from 'tap'
import { judgeHealth } from '../../src/health/health.js'
import type { Measurements } from '../../src/health/health.js'

const HEALTHY: Measurements = {
  store: { roundTrip: 250, failure: null, pendingRotations: 0 },
  revocations: { age: 5000 },
  clock: { isKnown: true, offset: -1000 },
  hashes: { running: 4, waiting: 20, expectedWait: 1000 },
  usage: { pending: 500, hasFailed: false },
  lastSweep: { at: 1, deleted: 0, took: 1, failed: false },
  isStale: false,
  maxRevocationAge: 5000
}

t.test('an instance within all limits is ok', async t => {
  const { isStale, maxRevocationAge, ...measured } = HEALTHY
  t.strictSame(judgeHealth(HEALTHY), {
    status: 'ok',
    reasons: [],
    acceptsTokens: true,
    ...measured
  })
})

t.test('an instance without a feed, a sweep and a queue length is ok', async t => {
  t.equal(
    judgeHealth({
      ...HEALTHY,
      store: { roundTrip: 1, failure: null, pendingRotations: null },
      revocations: null,
      maxRevocationAge: null,
      lastSweep: null
    }).status,
    'ok'
  )
})

const faults: ReadonlyArray<
  readonly [code: string, measured: Partial<Measurements>, message: RegExp]
> = [
  ['store-slow', { store: { ...HEALTHY.store, roundTrip: 251 } }, /251 ms/],
  ['revocations-late', { revocations: { age: 5001 } }, /5001 ms ago/],
  ['clock-skew', { clock: { isKnown: true, offset: 1001 } }, /1001 ms behind the store's/],
  ['clock-skew', { clock: { isKnown: true, offset: -1001 } }, /1001 ms ahead of the store's/],
  ['hashes-waiting', { hashes: { ...HEALTHY.hashes, expectedWait: 1001 } }, /20 .* 1001 ms/],
  ['usage-failed', { usage: { pending: 500, hasFailed: true } }, /sessions: 500/],
  ['sweep-failed', { lastSweep: { at: 1, deleted: 0, took: 1, failed: true } }, /sweep failed/]
]

for (const [code, measured, message] of faults) {
  t.test(`an instance with ${code} is degraded (${message.source})`, async t => {
    const { status, reasons, acceptsTokens } = judgeHealth({ ...HEALTHY, ...measured })
    t.match({ status, reasons, acceptsTokens }, {
      status: 'degraded',
      reasons: [{ code, status: 'degraded', message }],
      acceptsTokens: true
    })
    t.equal(reasons.length, 1)
  })
}

const outages: ReadonlyArray<
  readonly [code: string, measured: Partial<Measurements>, acceptsTokens: boolean]
> = [
  [
    'store-failed',
    { store: { roundTrip: null, failure: 'Error ECONNREFUSED', pendingRotations: 0 } },
    true
  ],
  ['clock-unknown', { clock: { isKnown: false, offset: null } }, false],
  ['revocations-stale', { isStale: true }, false]
]

for (const [code, measured, acceptsTokens] of outages) {
  t.test(`an instance with ${code} is unavailable`, async t => {
    const health = judgeHealth({ ...HEALTHY, ...measured, usage: { pending: 1, hasFailed: true } })
    t.match(health, {
      status: 'unavailable',
      reasons: [{ code, status: 'unavailable' }, { code: 'usage-failed', status: 'degraded' }],
      acceptsTokens
    })
  })
}

t.test('revocations that are stale are not reported as late, too', t => {
  const late = { ...HEALTHY, revocations: { age: 60_000 } }
  const getCodes = (isStale: boolean): string[] =>
    judgeHealth({ ...late, isStale }).reasons.map(({ code }) => code)

  t.strictSame(getCodes(false), ['revocations-late'])
  t.strictSame(getCodes(true), ['revocations-stale'])
  t.end()
})
